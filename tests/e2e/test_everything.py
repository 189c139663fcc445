"""npm's server-everything: what a client sees is the same through the gateway and without it.

In `make test-all`: it needs Node.js.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.e2e.everything import ALLOW, CALLS, serving, stable
from tests.e2e.world import ERAS, world

if TYPE_CHECKING:
    pass

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning"),
]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_every_feature_is_the_same_through_the_gateway(
    tmp_path: Path, era: str, transport: str
) -> None:
    with serving(transport) as (entry, direct):
        heard: set[str] = set()
        async with _client(direct, era, heard) as client:
            without = await features(client, heard)
        heard = set()
        more = {"servers": {"up": {**entry, "policy": ALLOW}}}
        async with (
            world(tmp_path, more=more) as w,
            _http(w.keys["bot"]) as http,
            _client(
                streamable_http_client(f"{w.url}/mcp/up", http_client=http), era, heard
            ) as client,
        ):
            through = await features(client, heard)
    assert through == without
    assert len(without["tools"]) > 12
    assert without["progress"] == [1, 2, 3, 4]
    assert set(without["told"]) >= {"LoggingMessageNotification", "ResourceUpdatedNotification"}


async def features(client: Client, heard: set[str]) -> dict[str, Any]:
    """What this client sees of the server's features; `heard` are messages outside of requests."""
    progress: list[float] = []

    async def tell(
        progress_: float, total: float | None = None, message: str | None = None
    ) -> None:
        del total, message
        progress.append(progress_)

    await asyncio.sleep(1)  # it adds tools once it knows what the client can do
    found: dict[str, Any] = {
        "tools": [tool.model_dump() for tool in (await client.list_tools()).tools],
        "resources": [r.model_dump() for r in (await client.list_resources()).resources],
        "templates": (await client.list_resource_templates()).model_dump(),
        "prompts": (await client.list_prompts()).model_dump(),
        "version": client.protocol_version,
    }
    for name, arguments in CALLS.items():
        found[name] = await _outcome(client, name, arguments, tell)
    found["progress"] = progress
    for uri in ("demo://resource/dynamic/text/1", "demo://resource/static/document/features.md"):
        found[uri] = [stable(c.model_dump()) for c in (await client.read_resource(uri)).contents]
    found["prompt"] = (await client.get_prompt("args-prompt", {"city": "Bonn"})).model_dump()
    reference = types.PromptReference(type="ref/prompt", name="completable-prompt")
    asked = {"name": "department", "value": "E"}
    found["completion"] = (await client.complete(reference, asked)).model_dump()
    found["told"] = await _told(client, heard)
    return found


async def _outcome(client: Client, name: str, arguments: dict[str, Any], tell: Any) -> Any:
    try:
        result = await client.call_tool(name, arguments, progress_callback=tell)
    except Exception as error:  # noqa: BLE001 (what a client sees of a failure)
        return str(error)
    return stable(result.model_dump())


async def _told(client: Client, told: set[str]) -> list[str]:
    """Log messages and updates that come outside of any request."""
    await client.set_logging_level("debug")
    await client.call_tool("toggle-simulated-logging", {})
    await client.subscribe_resource("demo://resource/dynamic/text/1")
    await client.call_tool("toggle-subscriber-updates", {})
    async with asyncio.timeout(20):
        while not told >= {"LoggingMessageNotification", "ResourceUpdatedNotification"}:
            await asyncio.sleep(0.1)
    await client.call_tool("toggle-simulated-logging", {})
    await client.call_tool("toggle-subscriber-updates", {})
    return sorted(told & {"LoggingMessageNotification", "ResourceUpdatedNotification"})


def _client(transport: Any, era: str, heard: set[str]) -> Client:
    """A client that answers whatever it is asked, and notes what it hears."""

    async def sample(context: object, params: object) -> types.CreateMessageResult:
        del context, params
        said = types.TextContent(type="text", text="sampled")
        return types.CreateMessageResult(role="assistant", content=said, model="m")

    async def answer(context: object, params: object) -> types.ElicitResult:
        del context, params
        return types.ElicitResult(action="accept", content={"name": "Ada", "check": True})

    async def roots(context: object) -> types.ListRootsResult:
        del context
        return types.ListRootsResult(
            roots=[types.Root.model_validate({"uri": "file:///tmp", "name": "tmp"})]
        )

    async def hear(message: object) -> None:
        heard.add(type(message).__name__)

    return Client(
        transport,
        mode=era,
        sampling_callback=sample,
        elicitation_callback=answer,
        list_roots_callback=roots,
        message_handler=hear,
    )


def _http(key: str) -> httpx2.AsyncClient:
    headers = {"authorization": f"Bearer {key}"}
    return httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False)
