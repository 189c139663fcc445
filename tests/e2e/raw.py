"""A client that is no library: what it sends is what the test says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

    from tests.e2e.world import World

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
}


ROUTING = {
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "act",
}
"""Headers of a call of `act` in the 2026 era."""


def call(id_: int, *, modern: bool = False) -> dict[str, Any]:
    """A call of `act` as a client writes it."""
    params: dict[str, Any] = {"name": "act", "arguments": {"what": "x"}}
    if modern:
        params["_meta"] = MODERN
    return {"id": id_, "method": "tools/call", "params": params}


async def opened(w: World, capabilities: dict[str, Any] | None = None) -> dict[str, str]:
    """The headers of a session of the older era."""
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": capabilities or {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    answer = await post(w, {}, {"id": 1, "method": "initialize", "params": params})
    session = {"mcp-session-id": answer.headers["mcp-session-id"]}
    await post(w, session, {"method": "notifications/initialized"})
    return session


async def post(w: World, session: dict[str, str], said: dict[str, Any]) -> httpx2.Response:
    """One message of bot in a session."""
    accept = {"accept": "application/json, text/event-stream"}
    body = {"jsonrpc": "2.0", **said}
    return await w.rest("POST", "/mcp/up", by="bot", json_body=body, headers={**accept, **session})


async def asked(w: World, era: str) -> asyncio.Task[httpx2.Response]:
    """A request that says nothing when it is dropped: clients of the older era mostly cancel."""
    session = await opened(w) if era == "legacy" else ROUTING
    return asyncio.create_task(post(w, session, call(7, modern=era != "legacy")))
