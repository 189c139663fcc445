"""Many people and the clock at once: one winner, over real HTTP."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from approvals.domain.states import Status
from tests.e2e.world import World, text, world

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("deployment")]


async def test_of_200_people_deciding_at_once_one_wins_and_the_others_hear_who(
    tmp_path: Path,
) -> None:
    people: dict[str, Any] = {f"p{n}": {} for n in range(200)}
    people |= {"alice": {}, "carol": {"roles": ["admin"]}}
    async with world(tmp_path, people=people) as w:
        approval = await w.parked()
        deciding = [
            w.approve(approval, by=f"p{n}") if n % 2 else w.deny(approval, by=f"p{n}")
            for n in range(200)
        ]
        random.Random(7).shuffle(deciding)
        responses = await asyncio.gather(*deciding)
        assert Counter(r.status_code for r in responses) == {200: 1, 409: 199}
        [won] = [r.json() for r in responses if r.status_code == 200]
        [decision] = won["decisions"]
        verb = "Approved" if decision["decision"] == "approve" else "Denied"
        for lost in (r.json() for r in responses if r.status_code == 409):
            assert lost["code"] == "already_decided"
            assert lost["detail"].startswith(f"{verb} by {decision['person'].title()} at ")
        stored = await w.services.store.approval(approval["id"])
        assert stored is not None
        assert len(stored.decisions) == 1
        events = await w.services.store.events(approval["id"])
        assert len(events) == 2


async def test_expiry_racing_an_approval_gives_one_of_them_and_never_late(
    tmp_path: Path,
) -> None:
    """200 times an approval arrives within 50 ms of the deadline, on either side of it."""
    async with world(tmp_path, timeout="2s") as w:
        spread = random.Random(11)
        outcomes = Counter(
            await asyncio.gather(*(_race(w, n, spread.uniform(-0.05, 0.05)) for n in range(200)))
        )
        assert outcomes["approved"] + outcomes["expired"] == 200
        assert outcomes["approved"] > 0
        assert outcomes["expired"] > 0


async def _race(w: World, n: int, offset: float) -> str:
    await asyncio.sleep(n * 0.05)  # one race after the other, so that each arrives when it means to
    approval = await w.parked({"what": f"race {n}"})
    deadline = datetime.fromisoformat(approval["expires_at"])
    moment = deadline + timedelta(seconds=offset)
    await asyncio.sleep((moment - w.services.clock.now()).total_seconds())
    response = await w.approve(approval)
    async with asyncio.timeout(5):
        while (stored := await w.services.store.approval(approval["id"])) is not None:
            if stored.status is not Status.PENDING:
                break
            await asyncio.sleep(0.05)
    assert stored is not None
    told = [e.fact.type for e in await w.services.store.events(stored.id)]
    types = [kind for kind in told if kind != "reminded"]
    if response.status_code == 200:
        assert stored.status is Status.APPROVED
        assert types == ["parked", "approved"]
        assert stored.decisions[0].at < deadline
        return "approved"
    assert response.json()["code"] == "expired"
    assert types == ["parked", "expired"]
    assert not stored.decisions
    return "expired"


async def test_500_different_calls_are_held_at_once_and_all_released_after_their_decisions(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, hold=timedelta(seconds=300)) as w, w.agent() as agent:
        calls = {
            n: asyncio.create_task(agent.call_tool("act", {"what": f"call {n}"}))
            for n in range(500)
        }
        async with asyncio.timeout(240):  # only to catch a hang
            while await _count(w, Status.PENDING) < 500:
                await asyncio.sleep(1)
        assert w.upstream.calls == 0
        async with asyncio.timeout(20):  # what is told of them is written meanwhile, now and then
            while await w.services.store.is_busy():  # type: ignore[attr-defined]
                await asyncio.sleep(0.01)
        await _approve_all(w)
        results = await asyncio.gather(*calls.values())
        assert [text(r) for r in results] == [f"did call {n} 0" for n in range(500)]
        assert w.upstream.ran == {f"call {n}": 1 for n in range(500)}


async def _approve_all(w: World) -> None:
    """Some at a time: clients, replicas and the upstream share this event loop."""
    path = "/v1/approvals?status=pending&limit=20"
    while waiting := (await w.rest("GET", path, by="carol")).json()["approvals"]:
        for response in await asyncio.gather(*(w.approve(a) for a in waiting)):
            assert response.status_code == 200


async def _count(w: World, status: Status) -> int:
    path, total, cursor = f"/v1/approvals?status={status}&limit=200", 0, ""
    while True:
        page = (await w.rest("GET", path + cursor, by="carol")).json()
        total += len(page["approvals"])
        if page["next_cursor"] is None:
            return total
        cursor = f"&cursor={page['next_cursor']}"
