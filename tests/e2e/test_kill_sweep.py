"""kill -9 before and after every write of a held call's life, with all invariants checked after."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from approvals.ports import ListFilter
from tests.contracts.suite import is_whole
from tests.e2e.test_killed import Killed, Service, prepared
from tests.e2e.world import policy

pytestmark = [pytest.mark.anyio, pytest.mark.long, pytest.mark.usefixtures("database")]

LIMITED = policy(
    tools={
        "act": {
            "require_approval_if": [{"conditions": []}],
            "limits": [{"counter": "c", "window": "day", "max": 1, "scope": "agent"}],
        }
    }
)
WRITES = {
    "approve": ("parked", "approved", "sent", "succeeded", "delivered"),
    "limited": ("parked", "approved", "reserved", "sent", "succeeded", "delivered"),
    "deny": ("parked", "denied"),
    "cancel": ("parked", "cancelled"),
    "nothing": ("parked", "expired"),
}


@pytest.mark.parametrize(
    ("ending", "point"),
    [
        (ending, f"{when}:{write}")
        for ending, writes in WRITES.items()
        for write in writes
        for when in ("before", "after")
    ],
)
async def test_whatever_write_it_dies_at_nothing_is_lost_and_nothing_runs_twice(
    tmp_path: Path, ending: str, point: str
) -> None:
    timeout = "2s" if ending == "nothing" else "15m"
    document = LIMITED if ending == "limited" else None
    async with prepared(tmp_path, timeout=timeout, document=document) as killed:
        async with killed.service(point) as service:
            calling = asyncio.create_task(service.call())
            await asyncio.wait({asyncio.create_task(answered(service, ending))}, timeout=3)
            await service.dies()
            await asyncio.gather(calling, return_exceptions=True)
        before = killed.upstream.calls
        assert before <= 1
        await settled(killed)
        assert killed.upstream.calls == before
        await invariants(killed)
        if ending == "limited":
            await asked_again(killed)


async def asked_again(killed: Killed) -> None:
    """At most one a day: the same call may still run where it did not, another one never beside."""
    async with killed.service("never") as service:
        asking = [asyncio.create_task(service.call())]
        body = {"server": "up", "tool": "act", "arguments": {"what": "another"}}
        await asyncio.sleep(0.5)
        for approval in await service.approvals():
            if approval["status"] == "pending":
                await service.approve(approval)
        await asyncio.wait(asking, timeout=5)
        reserved = await service.rest("POST", "/v1/approvals", by="bot", body=body)
        assert reserved["refusal"]["code"] == "rate_limited"
        assert killed.upstream.calls <= 1
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def answered(service: Service, ending: str) -> None:
    """What people do; the service may die under their hands."""
    try:
        approval = await service.pending()
        if ending in {"approve", "limited"}:
            await service.approve(approval)
        elif ending in {"deny", "cancel"}:
            path = f"/v1/approvals/{approval['id']}/{ending}"
            await service.rest("POST", path, by="carol", body={})
    except (httpx2.HTTPError, ValueError):
        return


async def settled(killed: Killed) -> None:
    """A start on the same database, long enough for recovery and sweep."""
    async with killed.service("never") as service:
        async with asyncio.timeout(25):
            while any(
                (a["release"] or {}).get("status") == "sent" for a in await service.approvals()
            ):
                await asyncio.sleep(0.1)
        await asyncio.sleep(1)


def is_sent(approval: dict[str, Any]) -> bool:
    return (approval["release"] or {}).get("status") == "sent"


async def invariants(killed: Killed) -> None:
    async with killed.store() as store:
        for approval in (await store.page(ListFilter())).approvals:
            assert await is_whole(store, approval)
            kinds = [event.fact.type for event in await store.events(approval.id)]
            assert kinds.count("sent") <= 1
            if killed.upstream.calls:
                assert kinds.count("sent") == 1
                assert kinds[-1] in {"succeeded", "outcome_unknown", "delivered", "undelivered"}
        assert await store.being_sent(limit=10) == []
