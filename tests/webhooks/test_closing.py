"""410: a receiver that wants to hear nothing more, until an admin or a new address opens it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from approvals.service.redelivery import Redelivery
from tests.e2e.world import ADMIN, World
from tests.webhooks.receiver import DESK, OPS, OTHER, Receiver, deliveries, desk, ended, redelivered

pytestmark = pytest.mark.anyio


async def test_410_closes_it_and_what_comes_later_is_given_up_without_asking(
    tmp_path: Path,
) -> None:
    ops, other = Receiver(), Receiver(OTHER)
    ops.fail(410)
    async with desk(tmp_path, {OPS: ops, DESK: other}) as w:
        first = await w.parked({"what": "a"})
        [gone] = await ended(w, "given_up", 1)
        assert gone["approval_id"] == first["id"]
        assert gone["event"] == "parked"
        assert [one["error"] for one in gone["attempts"]] == [
            "it answered 410: it wants to be told nothing more"
        ]
        assert gone["done_at"] is not None
        second = await w.parked({"what": "b"})
        await w.deny(first)
        lost = (await ended(w, "given_up", 3))[1:]
        assert {one["approval_id"] for one in lost} == {first["id"], second["id"]}
        for one in lost:
            [attempt] = one["attempts"]
            assert "wants to be told nothing more" in attempt["error"]
        assert len(ops.tried) == 1
        assert await deliveries(w, "&status=given_up") == [gone, *lost]
        await other.taken(3)


async def test_a_redelivery_by_an_admin_opens_it_and_the_letter_arrives(tmp_path: Path) -> None:
    ops = Receiver()
    ops.fail(410)
    async with desk(tmp_path, {OPS: ops}) as w:
        approval = await w.parked()
        [gone] = await ended(w, "given_up", 1)
        for by in ("bob", "dan", "alice", "bot"):
            assert await redelivered(w, gone["id"], by=by) == 403
        assert len(ops.tried) == 1
        assert await redelivered(w, "evt_none:webhook:ops") == 404
        assert await redelivered(w, gone["id"]) == 200
        [letter] = await ops.taken(1)
        assert letter.id == ops.tried[0].id
        assert letter.body == ops.tried[0].body
        later = await w.parked({"what": "later"})
        await ops.letter("approval.requested", later)
        await w.services.deliveries.settled()
        told = await deliveries(w, f"&approval={approval['id']}")
        assert [one["status"] for one in told] == ["told"]
        assert [one["error"] for one in told[0]["attempts"]] == [
            "it answered 410: it wants to be told nothing more",
            None,
        ]
        found = await w.rest("GET", "/v1/audit?type=redelivered", by="carol")
        [event] = found.json()["events"]
        assert event["actor"] == "person:carol"
        assert event["detail"] == {"approval": approval["id"], "channel": OPS, "id": gone["id"]}


async def test_what_was_taken_comes_again_when_an_admin_redelivers_it(tmp_path: Path) -> None:
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}) as w:
        approval = await w.parked()
        await ops.letter("approval.requested")
        await w.deny(approval)
        await ops.letter("approval.denied")
        [first, _] = await _told(w, approval)
        assert await redelivered(w, first["id"]) == 200
        [before, _, after] = await ops.taken(3)
        assert (before.id, before.body) == (after.id, after.body)
        assert after.approval["status"] == "pending"


async def test_it_closes_again_when_it_still_answers_410(tmp_path: Path) -> None:
    ops = Receiver()
    ops.fail(410, 410)
    async with desk(tmp_path, {OPS: ops}) as w:
        await w.parked()
        [gone] = await ended(w, "given_up", 1)
        assert await redelivered(w, gone["id"]) == 200
        await ops.tries(2)
        [again] = await ended(w, "given_up", 1)
        assert again["id"] == gone["id"]
        await w.parked({"what": "b"})
        await ended(w, "given_up", 2)
    assert len(ops.tried) == 2


async def test_it_is_closed_also_after_a_restart_and_open_at_another_address(
    tmp_path: Path,
) -> None:
    ops = Receiver()
    ops.fail(410)
    async with desk(tmp_path, {OPS: ops}) as w:
        await w.parked()
        await ended(w, "given_up", 1)
    same = {OPS: {"url": ops.url}}
    async with desk(tmp_path, {OPS: Receiver()}, channels=same) as w:
        await w.parked({"what": "b"})
        lost = await ended(w, "given_up", 2)
        assert "wants to be told nothing more" in lost[1]["attempts"][0]["error"]
    elsewhere = Receiver()
    async with desk(tmp_path, {OPS: elsewhere}) as w:
        approval = await w.parked({"what": "c"})
        [letter] = await elsewhere.taken(1)
        assert letter.approval["id"] == approval["id"]
        assert len(await deliveries(w, "&status=given_up")) == 2


class Between:
    """The outbox, of which the worker takes what is due before it does what comes next."""

    def __init__(self, w: World, outbox: Any) -> None:
        self._w = w
        self._outbox = outbox

    async def redeliver(self, delivery_id: str) -> Any:
        found = await self._outbox.redeliver(delivery_id)
        await self._worked()
        return found

    async def channel_of(self, delivery_id: str) -> Any:
        return await self._outbox.channel_of(delivery_id)

    async def open(self, channel: str) -> None:
        await self._outbox.open(channel)
        await self._worked()

    async def _worked(self) -> None:
        await self._w.services.deliveries.deliver_due()
        await self._w.services.deliveries.settled()


async def test_a_redelivery_opens_the_webhook_also_when_the_worker_comes_in_between(
    tmp_path: Path,
) -> None:
    """The row is due and the channel is opened by two writes: whatever runs between them."""
    ops = Receiver()
    ops.fail(410)
    async with desk(tmp_path, {OPS: ops}) as w:
        await w.parked()
        [gone] = await ended(w, "given_up", 1)
        service = w.services.redelivery
        interleaved = Redelivery(
            outbox=Between(w, service._outbox),  # type: ignore[arg-type]
            channels=w.services.channels,
            journal=service._journal,
            wake=w.services.deliveries.wake,
        )
        await interleaved.redeliver(ADMIN, gone["id"])
        [letter] = await ops.taken(1, within=5)
        assert letter.id == gone["id"]
        assert await deliveries(w, "&status=given_up") == []


async def test_who_is_no_person_does_not_look_at_deliveries(tmp_path: Path) -> None:
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}) as w:
        await w.parked()
        await ops.taken(1)
        assert (await w.rest("GET", "/v1/deliveries", by="bot")).status_code == 403
        assert (await w.http.get(f"{w.people_url}/v1/deliveries")).status_code == 401


async def _told(w: World, approval: dict[str, Any]) -> Sequence[dict[str, Any]]:
    await w.services.deliveries.settled()
    return await deliveries(w, f"&approval={approval['id']}&channel={OPS}")
