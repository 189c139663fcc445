"""An MCP server with everything that the MCP conformance suite requires of a server.

`python tests/conformance/server.py PORT` serves http://127.0.0.1:PORT/mcp, both eras of the
protocol, until it is interrupted.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import uvicorn
from mcp import MCPError
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    EmptyResult,
    ListToolsResult,
    PaginatedRequestParams,
    SetLevelRequestParams,
)

# A script finds modules beside itself only, and an installed project finds those of its checkout.
sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.conformance import answering, asking, reading, requesting
from tests.conformance.events import Events

if TYPE_CHECKING:
    from tests.conformance.entry import Answer, Context, Entry

NAME = "conformance-fixture"
RETRY_MS = 100
CACHED = CacheHint(ttl_ms=1000, scope="public")
TOOLS = (*answering.TOOLS, *requesting.TOOLS, *asking.TOOLS)


def shown() -> dict[str, Entry]:
    extra = [answering.EXTRA] if answering.EXTRA_TOOL in answering.SHOWN else []
    return {entry.tool.name: entry for entry in (*TOOLS, *extra)}


async def list_tools(context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
    return ListToolsResult(tools=[entry.tool for entry in shown().values()])


async def call_tool(context: Context, params: CallToolRequestParams) -> Answer:
    entry = shown().get(params.name)
    if entry is None:
        raise MCPError(INVALID_PARAMS, f"There is no tool {params.name}")
    return await entry.run(context, params)


async def set_level(context: Context, params: SetLevelRequestParams) -> EmptyResult:
    return EmptyResult()


def built() -> Server:
    server = Server(
        NAME,
        version="1.0.0",
        cache_hints=dict.fromkeys(
            get_args(CacheableMethod), CacheHint(ttl_ms=1000, scope="public")
        ),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_prompts=reading.list_prompts,
        on_get_prompt=reading.get_prompt,
        on_completion=reading.complete,
        on_list_resources=reading.list_resources,
        on_list_resource_templates=reading.list_templates,
        on_read_resource=reading.read_resource,
        on_subscribe_resource=reading.subscribe,
        on_unsubscribe_resource=reading.unsubscribe,
        on_subscriptions_listen=ListenHandler(answering.BUS),
    )
    server.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)
    boundary = RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME)
    server.middleware.append(boundary)
    return server


def main(port: int) -> None:
    # The era through 2025-11-25 has logging and sampling; the SDK warns of both at each use.
    warnings.filterwarnings("ignore", category=MCPDeprecationWarning)
    app = built().streamable_http_app(event_store=Events(), retry_interval=RETRY_MS)
    # httptools, which uvicorn prefers, leaves the spaces after the value of a header.
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        http="h11",
        log_level="warning",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
