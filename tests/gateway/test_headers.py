"""What of the headers reaches a server: its own credentials, and arguments as they were judged."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from mcp.server.mcpserver import MCPServer
from pydantic import Field

from approvals.demo.stage import served
from approvals.domain.strictjson import as_read, parse
from approvals.gateway.upstream import plainly
from tests.e2e.test_hostile_input import META, mcp
from tests.e2e.upstream import Recorder, Upstream
from tests.e2e.world import World, policy, text, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette

pytestmark = pytest.mark.anyio

CREDENTIAL = "Bearer upstream-credential"


def test_whole_numbers_are_written_alike_at_any_depth() -> None:
    read = parse(b'{"a":1.0,"b":{"c":2.00,"d":2.5},"e":"1.0"}')
    assert isinstance(read, dict)
    assert as_read(plainly(read)) == '{"a":1,"b":{"c":2,"d":2.5},"e":"1.0"}'


def routed() -> tuple[Starlette, list[dict[str, str]]]:
    """A server that wants to see `to` in a header, and keeps what it saw."""
    upstream = Upstream()
    server = MCPServer("routed", log_level="ERROR")

    @server.tool(structured_output=False)
    def pay(to: Annotated[str, Field(json_schema_extra={"x-mcp-header": "To"})]) -> str:
        """Pay."""
        return f"paid {to}"

    app = server.streamable_http_app(json_response=True)
    app.add_middleware(Recorder, upstream=upstream)
    return app, upstream.headers


@pytest.fixture
async def server() -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    app, headers = routed()
    async with served(app) as url:
        yield f"{url}/mcp", headers


def more(url: str, document: dict[str, Any]) -> dict[str, Any]:
    entry = {"url": url, "policy": document, "headers": {"Authorization": CREDENTIAL}}
    return {"servers": {"up": entry}, "agents": {"bot": {"servers": ["up"], "owner": "alice"}}}


async def pay(w: World, to: str, **headers: str) -> Any:
    params = {"name": "pay", "arguments": {"to": to}, "_meta": json.loads(META)}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    routing = {"mcp_method": "tools/call", "mcp_name": "pay"}
    return await mcp(w, json.dumps(message).encode(), **routing, **headers)


async def test_a_header_that_repeats_an_argument_says_what_the_argument_says(
    tmp_path: Path, server: tuple[str, list[dict[str, str]]]
) -> None:
    url, seen = server
    rule = {"require": [{"conditions": [{"path": "args.to", "op": "eq", "value": "bob"}]}]}
    async with world(tmp_path, more=more(url, policy(hide=[], tools={"pay": rule}))) as w:
        for wrong in ({"mcp_param_to": "mallory"}, {"mcp_param_other": "bob"}, {}):
            answer = await pay(w, "bob", **wrong)
            assert answer.status_code == 400
            assert answer.json()["error"]["code"] == -32020
        answer = await pay(w, "bob", mcp_param_to="bob", mcp_param_other="x")
        assert "paid bob" in answer.text
        [called] = [headers for headers in seen if headers.get("mcp-name") == "pay"]
        assert called["mcp-param-to"] == "bob"
        assert "mcp-param-other" not in called


async def test_a_server_sees_its_own_credentials_on_every_request_and_no_agents_key(
    tmp_path: Path, server: tuple[str, list[dict[str, str]]]
) -> None:
    url, seen = server
    asks: dict[str, Any] = {"require_approval_if": [{"conditions": []}]}
    document = policy(hide=[], tools={"pay": asks})
    async with world(tmp_path, more=more(url, document), hold=timedelta(seconds=5)) as w:
        for era in ("auto", "legacy"):
            async with w.agent(era) as agent:
                calling = asyncio.create_task(agent.call_tool("pay", {"to": era}))
                [approval] = await w.pending()
                await w.approve(approval)
                assert text(await calling) == f"paid {era}"
        assert seen
        assert {headers["authorization"] for headers in seen} == {CREDENTIAL}
        held = await pay(w, "x")  # answered after five seconds: pending
        assert CREDENTIAL not in f"{held.headers} {held.text}"
