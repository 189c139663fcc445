"""What channels were told is there to be looked at, and to be done again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import World, world

pytestmark = pytest.mark.anyio


async def listed(w: World, query: str, *, by: str = "bob") -> list[dict[str, Any]]:
    found = await w.rest("GET", f"/v1/deliveries?{query}", by=by)
    assert found.status_code == 200, found.text
    deliveries: list[dict[str, Any]] = found.json()["deliveries"]
    return deliveries


async def told(w: World, approval: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """What was told of it, once so much was."""
    async with asyncio.timeout(20):
        while len(found := await listed(w, f"approval={approval['id']}&status=told")) < count:
            await asyncio.sleep(0.02)
    return found


async def test_what_was_told_of_an_approval_is_listed_in_order(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked()
        await w.deny(approval, reason="no")
        first, second = await told(w, approval, 2)
        assert (first["event"], first["channel"], first["status"]) == ("parked", "log", "told")
        assert (second["event"], second["tries"]) == ("denied", 1)
        assert [attempt["error"] for attempt in first["attempts"]] == [None]
        assert first["due_at"] is None
        assert first["done_at"] is not None
        assert first["digested"] is False
        assert await listed(w, "") == []  # nothing waits, nothing was given up


async def test_deliveries_come_page_by_page(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked()
        await w.deny(approval)
        every = await told(w, approval, 2)
        query = f"/v1/deliveries?approval={approval['id']}&limit=1"
        first = (await w.rest("GET", query, by="bob")).json()
        rest = (await w.rest("GET", f"{query}&cursor={first['next_cursor']}", by="bob")).json()
        assert [*first["deliveries"], *rest["deliveries"]] == every


@pytest.mark.parametrize("query", ["who=x", "status=lost", "status=told", "limit=0", "cursor=x"])
async def test_a_filter_that_does_not_exist_is_refused(tmp_path: Path, query: str) -> None:
    async with world(tmp_path) as w:
        found = await w.rest("GET", f"/v1/deliveries?{query}", by="bob")
        assert (found.status_code, found.json()["code"]) == (422, "invalid_filter")


async def test_an_admin_has_it_told_again_and_that_is_on_record(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked()
        [one] = await told(w, approval, 1)
        path = "/v1/deliveries/redeliver"
        refused = await w.rest("POST", path, by="bob", json_body={"id": one["id"]})
        assert refused.status_code == 403
        nothing = await w.rest("POST", path, by="carol", json_body={"id": "nothing"})
        assert nothing.status_code == 404
        again = await w.rest("POST", path, by="carol", json_body={"id": one["id"]})
        assert (again.status_code, again.json()["status"]) == (200, "waiting")
        async with asyncio.timeout(20):
            while (await told(w, approval, 1))[0]["tries"] < 2:
                await asyncio.sleep(0.02)
        found = await w.rest("GET", "/v1/audit?type=redelivered", by="carol")
        [event] = found.json()["events"]
        assert event["actor"] == "person:carol"
        assert event["detail"]["approval"] == approval["id"]
