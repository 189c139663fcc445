"""Slack is slow, refuses, loses its answers or is gone: every card arrives and shows its end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from approvals.service.telling import Pace
from tests.slack.desk import TRADING, Desk, desk
from tests.slack.fake import FakeSlack, Refusal

pytestmark = pytest.mark.anyio


FAST = Pace(first_retry=timedelta(milliseconds=200), last_retry=timedelta(seconds=1))
"""Days of trying, as seconds."""


def named(slack: FakeSlack, what: str) -> list[Any]:
    """Its cards; a digest is none."""
    return [card for card in slack.cards if f'"{what}"' in card.shown and "sha " in card.shown]


async def ended(d: Desk, count: int) -> None:
    """Every card there is shows how its call ended, and there is one for each."""
    async with asyncio.timeout(60):
        while len(d.slack.cards) < count or any(card.buttons for card in d.slack.cards):
            await asyncio.sleep(0.05)


async def attempts(d: Desk, approval: dict[str, Any]) -> list[tuple[str, list[str | None]]]:
    found = await d.w.rest("GET", f"/v1/deliveries?approval={approval['id']}", by="carol")
    return [
        (one["event"], [attempt["error"] for attempt in one["attempts"]])
        for one in found.json()["deliveries"]
    ]


@pytest.mark.parametrize("as_date", [False, True])
async def test_a_pause_that_slack_asks_for_is_kept(tmp_path: Path, as_date: bool) -> None:
    slack = FakeSlack()
    until = datetime.now(UTC) + timedelta(seconds=4)  # noqa: TID251 (as Slack's clock has it)
    pause = format_datetime(until, usegmt=True) if as_date else "2"
    slack.fail("chat.postMessage", (429, {"Retry-After": pause}))
    async with desk(tmp_path, slack=slack, pace=FAST) as d:
        approval = await d.w.parked()
        await d.slack.card()
        times = [at for method, at in slack.calls if method == "chat.postMessage"]
        assert len(times) == 2
        assert times[1] - times[0] > 1.5
        [(event, tried)] = await attempts(d, approval)
        assert (event, tried) == ("parked", ["Slack asks for a pause", None])


async def test_whatever_happens_to_it_each_card_arrives_once_and_shows_its_end(
    tmp_path: Path,
) -> None:
    slack = FakeSlack()
    slack.fail("chat.postMessage", 500, (429, {"Retry-After": "1"}), "down", 503, (429, {}), 500)
    slack.fail("chat.update", 500, "down", "lost", (429, {"retry-after": "1"}))
    async with desk(tmp_path, slack=slack, pace=FAST) as d:
        asked = [await d.w.parked({"what": f"x{n}"}) for n in range(6)]
        await d.slack.card(6)
        for number, approval in enumerate(asked):
            if number % 2:
                await d.w.deny(approval, by="bob", reason="no")
            else:
                await d.w.rest("POST", f"/v1/approvals/{approval['id']}/cancel", by="carol")
        await ended(d, 6)
        assert [len(named(slack, f"x{n}")) for n in range(6)] == [1] * 6
        assert slack.refused == []


async def test_a_lost_answer_makes_one_card_too_many_and_that_one_ends_too_once_it_is_pressed(
    tmp_path: Path,
) -> None:
    slack = FakeSlack()
    slack.fail("chat.postMessage", "lost")
    async with desk(tmp_path, slack=slack, pace=FAST, approval={"required": 2}) as d:
        approval = await d.w.parked()
        await d.slack.card(2)
        first, second = slack.cards
        [(_, tried)] = await attempts(d, approval)
        assert tried[0] is not None
        assert tried[0].startswith("Slack gave no answer")
        assert "auth.test" in [method for method, _ in slack.calls]
        await d.press(first, "approve", by="bob")
        await d.w.deny(approval, by="carol", reason="no")
        for card in (first, second):
            await d.slack.settled(card, "Denied by Carol: no")
        assert len(slack.cards) == 2


async def test_while_slack_says_nothing_at_all_no_card_is_posted_into_the_dark(
    tmp_path: Path,
) -> None:
    pace = replace(FAST, attempt=timedelta(milliseconds=300))
    slack = FakeSlack()
    slack.always("chat.postMessage", "late")
    slack.always("auth.test", "late")
    async with desk(tmp_path, slack=slack, pace=pace) as d:
        approval = await d.w.parked()
        async with asyncio.timeout(20):
            while Counter(method for method, _ in slack.calls)["auth.test"] < 4:
                await asyncio.sleep(0.05)
        assert Counter(method for method, _ in slack.calls)["chat.postMessage"] == 1
        slack.faults.clear()
        await d.slack.card()
        await d.w.deny(approval, by="bob")
        await ended(d, 1)
        assert len(slack.cards) == 1


async def test_slack_is_down_for_an_hour(tmp_path: Path) -> None:
    """An hour as four seconds: what ended meanwhile arrives without buttons."""
    slack = FakeSlack()
    slack.always("*", "down")
    async with desk(tmp_path, slack=slack, pace=FAST) as d:
        asked = [await d.w.parked({"what": f"x{n}"}) for n in range(5)]
        for approval in asked[:3]:
            assert (await d.w.deny(approval, by="bob", reason="no")).status_code == 200
        began = time.monotonic()
        async with asyncio.timeout(20):
            while time.monotonic() - began < 4:
                await asyncio.sleep(0.1)
        assert slack.cards == []
        slack.faults.clear()
        await d.slack.card(5)
        for number in range(3):
            [card] = named(slack, f"x{number}")
            assert card.buttons == {}
            assert len(card.versions) >= 1
            assert not any("actions" in str(version) for version in card.versions)
            assert "Denied by Bob: no" in card.shown
        for number in (3, 4):
            [card] = named(slack, f"x{number}")
            assert "approve" in card.buttons
        for approval in asked[3:]:
            await d.w.deny(approval, by="bob", reason="no")
        await ended(d, 5)
        assert len(slack.cards) == 5


async def test_a_message_that_was_deleted_is_forgotten(tmp_path: Path) -> None:
    async with desk(tmp_path, approval={"required": 2}) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        del d.slack.messages[card.channel, card.ts]
        await d.w.approve(approval, by="bob")
        await d.w.deny(approval, by="carol")
        async with asyncio.timeout(20):
            while len(done := await attempts(d, approval)) < 3 or not all(e for _, e in done):
                await asyncio.sleep(0.05)
        assert done[1:] == [("approval_counted", [None]), ("denied", [None])]
        assert len(d.slack.cards) == 0


async def test_a_channel_that_the_app_was_taken_out_of_shows_the_end_once_it_is_back(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path, pace=FAST) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        d.slack.fail("chat.update", Refusal("not_in_channel"), Refusal("is_archived"))
        await d.w.deny(approval, by="bob", reason="no")
        await d.slack.settled(card, "Denied by Bob: no")
        assert card.buttons == {}
        [_, (_, tried)] = await attempts(d, approval)
        assert tried[:2] == ["Slack refused: not_in_channel", "Slack refused: is_archived"]


async def test_a_slow_channel_holds_up_no_other(tmp_path: Path) -> None:
    slack = FakeSlack()
    slack.always("chat.postMessage", "late")
    pace = replace(FAST, attempt=timedelta(seconds=6))
    async with desk(tmp_path, slack=slack, pace=pace, channels=(TRADING, "log")) as d:
        began = time.monotonic()
        approval = await d.w.parked()
        async with asyncio.timeout(4):
            while True:
                path = f"/v1/deliveries?approval={approval['id']}&status=told"
                told = (await d.w.rest("GET", path, by="carol")).json()["deliveries"]
                if told:
                    break
                await asyncio.sleep(0.02)
        assert [one["channel"] for one in told] == ["log"]
        assert time.monotonic() - began < 5  # while the other is still being asked


async def test_a_call_of_which_nobody_was_told_is_marked(tmp_path: Path) -> None:
    pace = replace(FAST, noticed_within=timedelta(seconds=1))
    slack = FakeSlack()
    slack.always("chat.postMessage", 500)
    async with desk(tmp_path, slack=slack, pace=pace, channels=(TRADING, "log")) as d:
        approval = await d.w.parked()
        async with asyncio.timeout(20):
            while True:
                events = await d.w.services.store.events(approval["id"])
                if "nobody_notified" in [event.fact.type for event in events]:
                    break
                await asyncio.sleep(0.05)
        path = f"/v1/approvals/{approval['id']}/card"
        notes = (await d.w.rest("GET", path, by="bob")).json()["notes"]
        assert "Nobody was notified of this call within a minute of its asking." in notes
        metrics = (await d.w.http.get(f"{d.w.people_url}/metrics")).text
        assert "approvals_nobody_notified_total" in metrics
        slack.faults.clear()
        card = await d.slack.card()
        assert "Nobody was notified" in card.shown
        events = await d.w.services.store.events(approval["id"])
        assert [e.fact.type for e in events].count("nobody_notified") == 1


async def test_of_many_calls_at_once_people_are_told_in_one_digest_and_their_cards_follow(
    tmp_path: Path,
) -> None:
    pace = replace(FAST, minute=timedelta(seconds=3), digest_every=timedelta(seconds=1))
    async with desk(tmp_path, pace=pace) as d:
        asked = await asyncio.gather(*(d.w.parked({"what": f"x{n}"}) for n in range(28)))
        first = await d.slack.card(11)
        digests = [c for c in d.slack.cards if "more calls wait for a decision" in c.shown]
        assert len(digests) >= 1
        assert first is not None
        gone = asked[-1]
        await d.w.deny(gone, by="bob", reason="no")
        async with asyncio.timeout(60):
            while sum(len(named(d.slack, f"x{n}")) == 1 for n in range(28)) < 27:
                await asyncio.sleep(0.1)
        times = [at for method, at in d.slack.calls if method == "chat.postMessage"]
        for at in times:  # ten cards, and a digest or two, in each of these short minutes
            assert sum(at <= other < at + 2 for other in times) <= 13
        path = f"/v1/deliveries?approval={gone['id']}"
        async with asyncio.timeout(20):
            while True:
                found = (await d.w.rest("GET", path, by="carol")).json()["deliveries"]
                if all(one["status"] == "told" for one in found):
                    break
                await asyncio.sleep(0.1)
        assert d.slack.refused == []


async def test_what_was_given_twice_without_an_answer_is_not_given_a_third_time(
    tmp_path: Path,
) -> None:
    slack = FakeSlack()
    slack.always("chat.postMessage", "lost")
    pace = replace(FAST, noticed_within=timedelta(seconds=1))
    async with desk(tmp_path, slack=slack, pace=pace) as d:
        approval = await d.w.parked()
        async with asyncio.timeout(20):
            while True:
                path = "/v1/deliveries?status=given_up"
                found = (await d.w.rest("GET", path, by="carol")).json()["deliveries"]
                if found:
                    break
                await asyncio.sleep(0.05)
        assert "so not once more" in found[0]["attempts"][-1]["error"]
        assert len(slack.cards) == 2
        async with asyncio.timeout(20):
            while True:
                events = await d.w.services.store.events(approval["id"])
                if "nobody_notified" in [event.fact.type for event in events]:
                    break
                await asyncio.sleep(0.05)
        slack.faults.clear()
        for card in list(slack.cards):
            await d.press(card, "approve", by="bob")
        for card in list(slack.cards):
            await slack.settled(card, "Approved by Bob")
        assert len(slack.cards) == 2


async def test_what_goes_to_more_people_is_paced_as_well(tmp_path: Path) -> None:
    approval = {
        "approvers": ["person:bob"],
        "escalate": {"after": "1s", "approvers": ["person:carol"], "channels": ["slack:#ops"]},
    }
    async with desk(tmp_path, channels=("log",), approval=approval) as d:
        for number in range(14):
            await d.w.parked({"what": f"x{number}"})
        await d.slack.card(11)
        await d.w.services.deliveries.settled()
        cards = [card for card in d.slack.cards if "sha " in card.shown]
        digests = [card for card in d.slack.cards if "more calls wait" in card.shown]
        assert (len(cards), len(digests)) == (10, 1)


async def test_a_pause_is_kept_for_a_digest_too(tmp_path: Path) -> None:
    slack = FakeSlack()
    async with desk(tmp_path, slack=slack, pace=FAST) as d:
        for number in range(10):
            await d.w.parked({"what": f"x{number}"})
        await slack.card(10)
        slack.fail("chat.postMessage", (429, {"Retry-After": "3"}))
        began = time.monotonic()
        late = await d.w.parked({"what": "late"})
        await slack.card(11)
        assert time.monotonic() - began > 2.5
        [(_, tried)] = await attempts(d, late)
        assert tried[0] == "the digest: Slack asks for a pause"


async def test_two_replicas_keep_one_pace(tmp_path: Path, replicas: None) -> None:
    async with desk(tmp_path) as d:
        await asyncio.gather(*(d.w.parked({"what": f"x{n}"}) for n in range(30)))
        await d.slack.card(11)
        async with asyncio.timeout(20):
            while True:
                waiting = await d.w.rest("GET", "/v1/deliveries?status=waiting", by="carol")
                if all(one["digested"] for one in waiting.json()["deliveries"]):
                    break
                await asyncio.sleep(0.05)
        cards = [card for card in d.slack.cards if "sha " in card.shown]
        digests = [card for card in d.slack.cards if "more calls wait" in card.shown]
        assert len(cards) == 10
        assert len(digests) == 1
