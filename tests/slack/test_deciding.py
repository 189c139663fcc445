"""A card in Slack, from the held call to who decided."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import text
from tests.slack.desk import PAGES, desk
from tests.slack.fake import FakeSlack

pytestmark = pytest.mark.anyio


async def test_a_held_call_is_approved_with_the_button_and_runs_once(
    tmp_path: Path, socket: bool
) -> None:
    async with desk(tmp_path, socket=socket) as d, d.w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x", "n": 12345}))
        card = await d.slack.card()
        assert list(card.buttons) == ["approve", "deny", "details"]
        assert '"x"' in card.shown
        assert "12345" in card.shown
        assert "(all 2 arguments shown)" in card.shown
        assert (await d.press(card, "approve")).status_code == 200
        assert "did x" in text(await calling)
        await d.slack.settled(card, "Approved by Bob · ran at")
        assert card.buttons == {}
        [reply] = await d.slack.replied(card, 1)
        assert reply.startswith("Approved by Bob")
        assert len(d.slack.cards) == 1
        assert d.slack.refused == []
    assert len(d.w.upstream.seen) == 1


async def test_a_denial_gets_its_reason_in_a_dialog(tmp_path: Path, socket: bool) -> None:
    async with desk(tmp_path, socket=socket) as d, d.w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        card = await d.slack.card()
        await d.press(card, "deny")
        assert [view["callback_id"] for view in d.slack.views] == ["denial"]
        sent = await d.send(d.slack.submission(preset="Wrong target", words="not this one"))
        assert (sent.status_code, sent.content) == (200, b"")
        said = text(await calling)
        assert "Wrong target: not this one" in said
        await d.slack.settled(card, "Denied by Bob: Wrong target: not this one")
        assert card.buttons == {}
    assert d.w.upstream.seen == []


async def test_a_call_nobody_answered_is_shown_as_denied(tmp_path: Path, socket: bool) -> None:
    async with desk(tmp_path, socket=socket, approval={"timeout": "2s"}) as d:
        await d.w.parked()
        card = await d.slack.card()
        await d.slack.settled(card, "Expired")
        assert card.buttons == {}


async def test_a_withdrawn_call_and_one_decided_elsewhere_are_shown(
    tmp_path: Path, socket: bool
) -> None:
    async with desk(tmp_path, socket=socket) as d:
        first = await d.w.parked({"what": "a"})
        card = await d.slack.card()
        await d.w.rest("POST", f"/v1/approvals/{first['id']}/cancel", by="carol", json_body={})
        await d.slack.settled(card, "Cancelled")
        second = await d.w.parked({"what": "b"})
        other = await d.slack.card(2)
        await d.w.deny(second, by="carol", reason="no")
        await d.slack.settled(other, "Denied by Carol: no")
        late = await d.send(d.slack.block_actions(other, button_of(other, "approve")))
        assert late.status_code == 200
        [(_, member, said)] = d.slack.ephemeral
        assert member == "U0BOB00"
        assert said.startswith("Carol denied this")
        assert said.endswith("before you.")


async def test_two_people_are_needed_and_each_is_shown(tmp_path: Path, socket: bool) -> None:
    async with desk(tmp_path, socket=socket, approval={"required": 2}) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        confirm = card.buttons["approve"]["confirm"]["text"]["text"]
        assert "One more person must approve." in confirm
        await d.press(card, "approve", by="bob")
        await d.slack.settled(card, "Approved by Bob")
        assert "approve" in card.buttons
        again = await d.press(card, "approve", by="bob")
        assert again.status_code == 200
        assert (await d.w.status(approval["id"]))["status"] == "pending"
        await d.press(card, "approve", by="carol")
        await d.slack.settled(card, "Approved by Bob, Approved by Carol")
        assert (await d.w.status(approval["id"]))["status"] == "approved"
        decisions = (await d.w.status(approval["id"]))["decisions"]
        assert [(one["person"], one["channel"], one["assurance"]) for one in decisions] == [
            ("bob", "slack", "slack"),
            ("carol", "slack", "slack"),
        ]


async def test_details_are_shown_in_a_dialog(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        await d.press(card, "details")
        [view] = d.slack.views
        assert approval["digest"] in str(view)
        assert '\\"x\\"' in str(view) or '"x"' in str(view)


async def test_reminders_extensions_and_escalations_reach_the_people(tmp_path: Path) -> None:
    approval = {
        "approvers": ["person:bob"],
        "timeout": "6s",
        "max_timeout": "1h",
        "remind_at": [0.2],
        "escalate": {"after": "3s", "approvers": ["person:carol"], "channels": ["slack:#ops"]},
    }
    async with desk(tmp_path, approval=approval) as d:
        await d.w.parked()
        card = await d.slack.card()
        other = await d.slack.card(2)
        assert (card.channel, other.channel) == ("C000001", "C000002")
        reminder, escalated = await d.slack.replied(card, 2)
        assert reminder.startswith("Still waiting. If nobody answers: denied")
        assert escalated.startswith("More people are asked now.")
        await d.press(other, "approve", by="carol")
        for shown in (card, other):
            await d.slack.settled(shown, "Approved by Carol")


async def test_what_is_hidden_is_reviewed_on_its_page_and_never_in_slack(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        body = {
            "server": "up",
            "tool": "act",
            "arguments": {"what": "x", "api_key": "sk-very-secret"},
            "justification": "I use sk-very-secret for it.",
        }
        created = await d.w.rest("POST", "/v1/approvals", by="bot", json_body=body)
        approval = created.json()["approval"]
        assert approval["justification"] is None
        card = await d.slack.card()
        assert list(card.buttons) == ["review", "deny", "details"]
        assert "in words that may repeat what is hidden" in card.shown
        assert card.buttons["review"]["url"] == f"{PAGES}/a/{approval['id']}"
        assert "sk-very-secret" not in str(card.versions)
        forged = {**card.buttons["deny"], "action_id": "approve"}
        await d.send(d.slack.block_actions(card, forged))
        assert (await d.w.status(approval["id"]))["status"] == "pending"
        assert "cannot be approved here" in d.slack.ephemeral[-1][2]
        await d.press(card, "details")
        assert "sk-very-secret" not in str(d.slack.views)


@pytest.mark.parametrize("size", [20_000, 1_000_000])
async def test_what_does_not_fit_is_reviewed_and_cannot_be_approved(
    tmp_path: Path, size: int
) -> None:
    async with desk(tmp_path) as d:
        approval = await d.w.parked({"what": "x" * size, "n": 1})
        card = await d.slack.card()
        assert list(card.buttons) == ["review", "deny", "details"]
        assert f"what  ({size + 2} characters)" in card.shown
        forged = {**card.buttons["deny"], "action_id": "approve"}
        await d.send(d.slack.block_actions(card, forged))
        assert (await d.w.status(approval["id"]))["status"] == "pending"
        assert "too large to be approved here" in d.slack.ephemeral[-1][2]
        await d.press(card, "details")
        assert d.slack.refused == []


async def test_the_same_clicks_come_over_socket_mode(tmp_path: Path) -> None:
    async with desk(tmp_path, socket=True) as d, d.w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        card = await d.slack.card()
        await d.slack.over_socket(d.slack.click(card, "approve"))
        assert "did x" in text(await calling)
        await d.slack.settled(card, "Approved by Bob · ran at")
        assert len({one["envelope_id"] for one in d.slack.acknowledged}) == 1
        second = asyncio.create_task(agent.call_tool("act", {"what": "y"}))
        other = await d.slack.card(2)
        await d.slack.over_socket(d.slack.click(other, "deny"))
        async with asyncio.timeout(5):
            while not d.slack.views:
                await asyncio.sleep(0.02)
        await d.slack.over_socket(d.slack.submission(words="no"))
        assert "no" in text(await second)


async def test_a_ticket_that_opened_nothing_is_not_used_again_and_is_in_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    slack = FakeSlack()
    slack.refused_sockets = 1
    caplog.set_level(logging.DEBUG)
    async with desk(tmp_path, slack=slack, socket=True) as d:
        await d.w.parked()
        card = await slack.card()
        await slack.over_socket(slack.click(card, "approve"))
        await slack.settled(card, "Approved by Bob")
    assert len(set(slack.tickets)) == len(slack.tickets) == 2
    ours = [r.getMessage() + (r.exc_text or "") for r in caplog.records if "access" not in r.name]
    assert not any(ticket in line for line in ours for ticket in slack.tickets)


def button_of(card: Any, action: str) -> dict[str, Any]:
    """A button as an earlier version of the card had it."""
    [button] = [
        element
        for block in card.versions[0]
        if block["type"] == "actions"
        for element in block["elements"]
        if element["action_id"] == action
    ]
    found: dict[str, Any] = button
    return found
