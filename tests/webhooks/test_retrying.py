"""A letter that was not taken comes again with the same bytes; who answers late delays nobody."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from approvals.channels.retrying import retry_after
from approvals.service.telling import Pace
from tests.e2e.world import World, text
from tests.webhooks.receiver import (
    DESK,
    OPS,
    OTHER,
    Fault,
    Letter,
    Receiver,
    deliveries,
    desk,
    ended,
    is_of,
    redelivered,
)

pytestmark = pytest.mark.anyio
FAST = Pace(first_retry=timedelta(milliseconds=200), last_retry=timedelta(seconds=1))
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def check_same(letters: list[Letter]) -> None:
    """One letter however often it came: the same id and the same bytes."""
    assert len({letter.id for letter in letters}) == 1
    assert len({letter.body for letter in letters}) == 1


async def told_of(w: World, approval: dict[str, Any], channel: str) -> list[str]:
    """The statuses of the channel's deliveries about this approval."""
    found = await deliveries(w, f"&approval={approval['id']}&channel={channel}")
    return [one["status"] for one in found]


async def errors_of(w: World, approval: dict[str, Any]) -> list[str | None]:
    """What each try of its first delivery came to."""
    [first, *_] = await deliveries(w, f"&approval={approval['id']}&channel={OPS}")
    return [attempt["error"] for attempt in first["attempts"]]


async def test_the_same_bytes_come_again_although_the_approval_has_changed(tmp_path: Path) -> None:
    ops = Receiver()
    ops.fail(500)
    async with desk(tmp_path, {OPS: ops}) as w:
        approval = await w.parked()
        await ops.tries(1)
        await w.approve(approval)
        letter = await ops.letter("approval.requested")
        check_same(ops.tried[:2])
        assert letter.approval["status"] == "pending"
        assert letter.approval["version"] == 1
        later = await ops.letter("approval.approved")
        assert later.approval["version"] > 1
        assert later.id != letter.id
        assert await errors_of(w, approval) == ["it answered 500", None]
    assert len(ops.tried) == 3
    assert ops.tried[1].at - ops.tried[0].at > 0.7


async def test_later_letters_about_a_call_wait_for_the_one_that_does_not_get_through(
    tmp_path: Path,
) -> None:
    ops = Receiver()
    ops.fail(500, 503, 404)
    async with desk(tmp_path, {OPS: ops}, pace=FAST) as w:
        approval = await w.parked()
        await w.deny(approval)
        await ops.letter("approval.denied")
    assert [one.type for one in ops.tried] == [*["approval.requested"] * 4, "approval.denied"]
    check_same(ops.tried[:4])


async def test_each_failure_is_waited_for_longer(tmp_path: Path) -> None:
    ops = Receiver()
    ops.fail(500, 500, 500)
    async with desk(tmp_path, {OPS: ops}) as w:
        await w.parked()
        await ops.taken(1)
    at = [one.at for one in ops.tried]
    pauses = [after - before for before, after in itertools.pairwise(at)]
    assert all(pause > least for pause, least in zip(pauses, (0.7, 1.4, 2.9), strict=True))


async def test_after_three_days_it_is_given_up_and_an_admin_can_have_it_sent_all_the_same(
    tmp_path: Path,
) -> None:
    """Three days as two seconds."""
    assert Pace().keep_trying == timedelta(days=3)
    pace = replace(FAST, keep_trying=timedelta(seconds=2))
    ops = Receiver()
    ops.always(500)
    async with desk(tmp_path, {OPS: ops}, pace=pace) as w:
        approval = await w.parked()
        [lost] = await ended(w, "given_up", 1)
        assert lost["tries"] >= 3
        assert {attempt["error"] for attempt in lost["attempts"]} == {"it answered 500"}
        check_same(ops.tried)
        ops.always(200)
        await w.deny(approval)
        await ops.letter("approval.denied")
        assert await redelivered(w, lost["id"]) == 200
        letter = await ops.letter("approval.requested")
        check_same([letter, ops.tried[0]])


async def test_any_2xx_is_taken_as_received(tmp_path: Path) -> None:
    ops = Receiver()
    ops.fail(200, 201, 202, 204, 299)
    async with desk(tmp_path, {OPS: ops}) as w:
        for number in range(5):
            await w.parked({"what": f"x{number}"})
        approval = await w.parked({"what": "the last"})
        await ops.letter("approval.requested", approval)
        await w.services.deliveries.settled()
        [told] = await deliveries(w, f"&approval={approval['id']}")
        assert told["status"] == "told"
        assert await deliveries(w) == []
    assert len(ops.tried) == 6


async def test_a_2xx_is_taken_as_received_also_where_its_body_breaks_off(tmp_path: Path) -> None:
    """Any 2xx (webhooks.md): the status came, and what follows it is thrown away anyhow."""
    ops = Receiver()
    ops.fail("cut")
    async with desk(tmp_path, {OPS: ops}) as w:
        approval = await w.parked()
        await ops.tries(1)
        await w.deny(approval)
        await ops.letter("approval.denied")
        assert await errors_of(w, approval) == [None]
    assert [one.type for one in ops.tried] == ["approval.requested", "approval.denied"]


async def test_a_connection_that_breaks_off_is_tried_again(tmp_path: Path) -> None:
    ops = Receiver()
    ops.fail("down", "down")
    async with desk(tmp_path, {OPS: ops}, pace=FAST) as w:
        approval = await w.parked()
        await ops.taken(1)
        check_same(ops.tried)
        assert len(ops.tried) == 3
        await w.services.deliveries.settled()
        [first, second, last] = await errors_of(w, approval)
        assert str(first).startswith("no answer came")
        assert str(second).startswith("no answer came")
        assert last is None


async def test_a_receiver_that_is_away_has_the_letter_when_it_is_back_and_after_a_restart(
    tmp_path: Path,
) -> None:
    """The bytes are kept in the database, with what was true when they were first sent."""
    first, second = Receiver(), Receiver()
    first.always(500)
    async with desk(tmp_path, {OPS: first}) as w:
        approval = await w.parked()
        await first.tries(1)
        await w.deny(approval)
    async with desk(tmp_path, {OPS: second}):
        letter = await second.letter("approval.requested")
        await second.letter("approval.denied")
    assert letter.approval["status"] == "pending"
    check_same([*first.tried, letter])
    assert len(second.tried) == 2


async def test_retry_after_in_seconds_is_waited_for_by_every_letter_of_this_webhook(
    tmp_path: Path,
) -> None:
    ops, other = Receiver(), Receiver(OTHER)
    ops.fail((429, {"retry-after": "4"}))
    async with desk(tmp_path, {OPS: ops, DESK: other}) as w:
        await w.parked({"what": "a"})
        await ops.tries(1)
        second = await w.parked({"what": "b"})
        elsewhere = await other.letter("approval.requested", second)
        await ops.taken(2)
    asked = ops.tried[0].at
    assert all(letter.at >= asked + 3.9 for letter in ops.letters)
    assert elsewhere.at < asked + 3
    assert len(ops.tried) == 3


async def test_retry_after_as_a_date_is_waited_for(tmp_path: Path) -> None:
    ops = Receiver()
    until_then: list[int] = []

    def busy(_: Letter) -> Fault:
        until_then.append(int(time.time()) + 5)
        return 503, {"Retry-After": formatdate(until_then[0], usegmt=True)}

    ops.fail(busy)
    async with desk(tmp_path, {OPS: ops}) as w:
        await w.parked()
        [letter] = await ops.taken(1)
    check_same(ops.tried)
    assert until_then[0] - 0.1 <= letter.at < until_then[0] + 5


@pytest.mark.parametrize("said", ["soon", "-5", "1e9", "²", "9" * 500, "Wed, 99 Nov 2026", ""])
async def test_a_retry_after_that_cannot_be_read_is_none(tmp_path: Path, said: str) -> None:
    ops = Receiver()
    ops.fail((503, {"retry-after": said}))
    async with desk(tmp_path, {OPS: ops}) as w:
        await w.parked()
        await ops.taken(1, within=8)


@pytest.mark.parametrize(
    ("said", "pause"),
    [
        (None, None),
        ("", None),
        ("3", 3),
        (" 3 ", 3),
        ("0", 0),
        ("3.5", None),
        ("3, 4", None),
        ("٣", None),
        ("9" * 30, 86_400),
        ("Fri, 20 Nov 2026 12:00:10 GMT", 10),
        ("Friday, 20-Nov-26 12:00:10 GMT", 10),
        ("Fri Nov 20 12:00:10 2026", 10),
        ("Fri, 20 Nov 2026 12:00:10 -0000", 10),
        ("Fri, 20 Nov 2026 14:00:10 +0200", 10),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 86_400),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0),
        ("Fri, 20 Nov 2026 25:00:00 GMT", None),
        ("2026-11-20T12:00:10Z", None),
    ],
)
def test_a_retry_after_is_read_in_seconds_or_as_a_date_and_nothing_else(
    said: str | None, pause: int | None
) -> None:
    expected = None if pause is None else timedelta(seconds=pause)
    assert retry_after(said, now=NOW) == expected


async def test_what_an_admin_redelivers_is_told_now_although_the_receiver_wanted_to_rest(
    tmp_path: Path,
) -> None:
    """`POST /v1/deliveries/redeliver` "tells it again now, whatever became of it" (rest.md)."""
    ops = Receiver()
    ops.fail((503, {"retry-after": "3600"}))
    async with desk(tmp_path, {OPS: ops}) as w:
        await w.parked()
        await ops.tries(1)
        async with asyncio.timeout(10):
            while not (waiting := await deliveries(w, f"&channel={OPS}"))[0]["attempts"]:
                await asyncio.sleep(0.05)
        assert await redelivered(w, waiting[0]["id"]) == 200
        await ops.taken(1, within=8)


async def test_a_receiver_that_never_answers_delays_no_other_channel(tmp_path: Path) -> None:
    """Neither a second webhook, nor the log, nor the call itself."""
    ops, other = Receiver(), Receiver(OTHER)
    ops.always("late")
    async with desk(tmp_path, {OPS: ops, DESK: other}, log=True) as w, w.agent() as agent:
        begun = time.time()
        approvals = [await w.parked({"what": f"x{number}"}) for number in range(15)]
        calling = asyncio.create_task(agent.call_tool("act", {"what": "held"}))
        await ops.tries(1)
        for approval in approvals:
            await w.deny(approval)
        held = await other.letter("approval.requested", (await w.pending())[0])
        await w.approve(held.approval)
        assert "did held" in text(await calling)
        await other.letter("release.succeeded")
        await other.taken(33)
        assert time.time() - begun < 8  # before the first letter to the other was given up
        assert ops.letters == []
        for approval in approvals:
            assert await told_of(w, approval, DESK) == ["told", "told"]
            assert await told_of(w, approval, "log") == ["told", "told"]
            assert await told_of(w, approval, OPS) == ["waiting", "waiting"]
        ops.always(200)
        ops.let_go.set()
        await ops.taken(33)
        for approval in approvals:
            assert ops.types(approval) == ["approval.requested", "approval.denied"]


@pytest.mark.long
async def test_a_receiver_that_does_not_answer_in_time_gets_the_same_letter_again(
    tmp_path: Path,
) -> None:
    ops = Receiver()
    ops.fail("late")
    async with desk(tmp_path, {OPS: ops}) as w:
        approval = await w.parked()
        await ops.tries(2)
        check_same(ops.tried)
        assert ops.tried[1].at - ops.tried[0].at > 8
        await ops.taken(1)
        async with asyncio.timeout(5):
            while len(errors := await errors_of(w, approval)) < 2:
                await asyncio.sleep(0.05)
        assert errors == ["no answer came in 9 s", None]


async def test_one_letter_that_is_never_taken_holds_up_no_other_call(tmp_path: Path) -> None:
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}) as w:
        ops.always(500)
        first = await w.parked({"what": "a"})
        ops.always(lambda letter: 500 if is_of(letter, first) else 200)
        await ops.tries(1)
        second = await w.parked({"what": "b"})
        await w.deny(second)
        await ops.letter("approval.denied", second)
        await ops.tries(4)
        assert ops.types(first) == []
        assert ops.types(second) == ["approval.requested", "approval.denied"]
