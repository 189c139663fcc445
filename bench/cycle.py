"""Cycles over REST: a program asks, waits held, a person approves, the program is released."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from bench.load import Client, Run, run

if TYPE_CHECKING:
    from bench.service import Service


class Cycle:
    """One agent on one replica, one person on the same or another."""

    def __init__(self, service: Service, *, people_on: int = 0) -> None:
        self._agent = Client(service.urls[0], service.agent)
        self._person = Client(service.urls[people_on], service.bob)
        self._run = time.monotonic_ns()

    async def create(self, n: int) -> tuple[str, str]:
        """Park one call; its id and digest."""
        arguments = {
            "symbol": "BTCUSDT",
            "quantity": 0.25,
            "side": "SELL",
            "clientOrderId": f"{self._run}-{n}",
            "note": "close the position before the market flips",
        }
        asked = {"server": "exchange", "tool": "place_order", "arguments": arguments}
        made = await self._agent.json("POST", "/v1/approvals", asked)
        return made["approval"]["id"], made["approval"]["digest"]

    async def decide(self, approval: tuple[str, str]) -> None:
        """Approve it."""
        id_, digest = approval
        await self._person.json("POST", f"/v1/approvals/{id_}/approve", {"digest": digest})

    async def wait(self, approval: tuple[str, str]) -> float:
        """Held until it is approved; when that was."""
        found = await self._agent.json("GET", f"/v1/approvals/{approval[0]}?wait=55")
        if found["status"] != "approved":
            raise RuntimeError(f"released as {found['status']}")
        return time.perf_counter()

    async def one(self, n: int) -> float | None:
        """Ask, wait held, decide, be released."""
        approval = await self.create(n)
        waiting = asyncio.ensure_future(self.wait(approval))
        await asyncio.sleep(0)
        await self.decide(approval)
        await waiting
        return None

    async def release(self, n: int) -> float | None:
        """Seconds from the decision's request to the release of a call that was held before."""
        approval = await self.create(n)
        waiting = asyncio.ensure_future(self.wait(approval))
        await asyncio.sleep(0.02)
        began = time.perf_counter()
        await self.decide(approval)
        return await waiting - began

    def close(self) -> None:
        self._agent.close()
        self._person.close()


async def cycles(service: Service, *, count: int, at_once: int, seconds: float) -> Run:
    """A run of whole cycles."""
    cycle = Cycle(service)
    try:
        found = await run(cycle.one, count=count, at_once=at_once, seconds=seconds)
    finally:
        cycle.close()
    if found.errors:
        raise RuntimeError(f"{len(found.errors)} errors, the first: {found.errors[0]}")
    return found
