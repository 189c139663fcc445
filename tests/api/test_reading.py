"""The card, the history and the hints over REST."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import World, world

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def listening(w: World, by: str) -> AsyncIterator[AsyncIterator[str]]:
    """The events that somebody is sent, by their first lines."""
    headers = {"authorization": f"Bearer {w.keys[by]}"}
    async with w.http.stream("GET", f"{w.people_url}/v1/events", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        yield stream.aiter_lines()


async def until(lines: AsyncIterator[str], wanted: str) -> str:
    async with asyncio.timeout(20):
        async for line in lines:
            if wanted in line:
                return line
    raise AssertionError(f"the stream ended without {wanted}")


async def test_who_listens_is_told_to_look_and_then_what_changes(tmp_path: Path) -> None:
    async with world(tmp_path) as w, listening(w, "bob") as lines:
        assert await anext(lines) == "event: reset"
        approval = await w.parked()
        hint = json.loads((await until(lines, approval["id"])).removeprefix("data: "))
        assert hint == {"id": approval["id"], "version": 1}
        await w.deny(approval)
        assert '"version":2' in await until(lines, approval["id"])


async def test_nobody_is_told_anything_for_five_seconds_after_a_key_is_revoked(
    tmp_path: Path,
) -> None:
    """However much happens meanwhile."""
    async with world(tmp_path) as w, listening(w, "dan") as lines:
        await until(lines, "reset")
        keys = (await w.rest("GET", "/v1/keys", by="carol")).json()["keys"]
        [dans] = [key["id"] for key in keys if key["person"] == "dan"]
        await w.rest("DELETE", f"/v1/keys/{dans}", by="carol")
        revoked = time.monotonic()
        busy = asyncio.create_task(much(w))
        try:
            async with asyncio.timeout(20):
                async for _ in lines:
                    pass
        finally:
            busy.cancel()
        assert time.monotonic() - revoked < 5


async def much(w: World) -> None:
    for number in range(1000):
        await w.parked({"what": f"{number}"})
        await asyncio.sleep(0.1)


async def test_the_card_is_what_a_decision_names_and_the_history_what_happened(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked({"what": "x", "n": 10**18 + 1})
        card = (await w.rest("GET", f"/v1/approvals/{approval['id']}/card", by="bob")).json()
        assert card["digest"] == approval["digest"]
        assert {"name": "n", "value": "1000000000000000001", "flags": []} in card["arguments"]
        assert (card["complete"], card["offer"]["approve"]) == (True, True)
        await w.approve(approval)
        path = f"/v1/approvals/{approval['id']}/events"
        events: list[dict[str, Any]] = (await w.rest("GET", path, by="bob")).json()["events"]
        assert [event["type"] for event in events] == ["parked", "approved"]
        assert events[1]["previous"] == events[0]["hash"]
        card = (await w.rest("GET", f"/v1/approvals/{approval['id']}/card", by="bob")).json()
        assert card["offer"] == {"approve": False, "deny": False, "why_not": ""}


async def test_of_several_answers_each_has_its_own_end(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        one, other, late = [await w.parked({"what": f"{n}"}) for n in range(3)]
        await w.deny(late, by="carol")
        said = [
            {"approval_id": one["id"], "decision": "approve", "digest": one["digest"]},
            {"approval_id": other["id"], "decision": "approve", "digest": one["digest"]},
            {"approval_id": late["id"], "decision": "deny", "reason": "no"},
            {"approval_id": "apr_nothing", "decision": "deny"},
        ]
        answer = await w.rest("POST", "/v1/decisions", by="bob", json_body=said)
        results = answer.json()["results"]
        assert [result["status"] for result in results] == [200, 409, 409, 404]
        assert results[1]["error"]["code"] == "digest_mismatch"
        assert results[0]["approval"]["status"] == "approved"


@pytest.mark.parametrize("said", [[], "x", [{"decision": "approve"}], "twice", "no digest"])
async def test_a_list_that_cannot_be_meant_decides_nothing(tmp_path: Path, said: object) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked()
        deny = {"approval_id": approval["id"], "decision": "deny"}
        made = {"twice": [deny, deny], "no digest": [{**deny, "decision": "approve"}]}
        body = made.get(said, said) if isinstance(said, str) else said
        answer = await w.rest("POST", "/v1/decisions", by="bob", json_body=body)
        assert answer.status_code == 422
        assert (await w.status(approval["id"]))["status"] == "pending"
