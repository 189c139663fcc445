"""Held calls through `/mcp`: one POST that waits, one approval, the upstream's answer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from bench.load import Client, Run, run

if TYPE_CHECKING:
    from bench.service import Service

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
HEADERS = (
    "MCP-Protocol-Version: 2026-07-28",
    "Mcp-Method: tools/call",
    "Mcp-Name: place_order",
)
SEEN_EVERY = 0.02


class Held:
    """An agent's held calls, and a person who approves what the list shows."""

    def __init__(self, service: Service) -> None:
        self._agent = Client(service.urls[0], service.agent)
        self._person = Client(service.urls[0], service.bob)
        self._run = str(time.monotonic_ns())
        self._decided: set[str] = set()

    async def call(self, n: int) -> float | None:
        """One held call until its result."""
        arguments = {"symbol": "BTCUSDT", "quantity": 0.25, "clientOrderId": f"{self._run}-{n}"}
        body = {
            "jsonrpc": "2.0",
            "id": n,
            "method": "tools/call",
            "params": {"name": "place_order", "arguments": arguments, "_meta": META},
        }
        status, content = await self._agent.request("POST", "/mcp/exchange", body, HEADERS)
        text = content.decode()
        if status != 200 or "placed" not in text:  # noqa: PLR2004 (HTTP)
            raise RuntimeError(f"{status} {text[:300]}")
        return None

    async def approve_all(self) -> None:
        """Approve whatever is pending, until cancelled; many at once."""
        while True:
            found = await self._person.json("GET", "/v1/approvals?status=pending&limit=200")
            fresh = [a for a in found["approvals"] if a["id"] not in self._decided]
            await asyncio.gather(*(self._approve(a) for a in fresh))
            if not fresh:
                await asyncio.sleep(SEEN_EVERY)

    async def _approve(self, approval: dict[str, str]) -> None:
        self._decided.add(approval["id"])
        path = f"/v1/approvals/{approval['id']}/approve"
        await self._person.json("POST", path, {"digest": approval["digest"]})

    def close(self) -> None:
        self._agent.close()
        self._person.close()


async def held_calls(service: Service, *, count: int, at_once: int, seconds: float) -> Run:
    """A run of held calls."""
    held = Held(service)
    deciding = asyncio.create_task(held.approve_all())
    try:
        found = await run(held.call, count=count, at_once=at_once, seconds=seconds)
    finally:
        deciding.cancel()
        await asyncio.gather(deciding, return_exceptions=True)
        held.close()
    if found.errors:
        raise RuntimeError(f"{len(found.errors)} errors, the first: {found.errors[0]}")
    return found
