"""Clicks that are forged, late, of strangers, or of cards that are not what they seem."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from approvals.errors import Unavailable
from tests.slack.desk import PEOPLE, TRADING, Desk, desk
from tests.slack.fake import APP, TEAM, signed

pytestmark = pytest.mark.anyio


async def refusals(d: Desk) -> list[tuple[str, str]]:
    """Who was refused, and why, as the audit has it."""
    found = await d.w.rest("GET", "/v1/audit?type=click_refused&limit=100", by="carol")
    return [(event["actor"], event["detail"]["why"]) for event in found.json()["events"]]


async def test_nothing_but_slack_itself_is_listened_to(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        click = d.slack.click(card, "approve")
        body, headers = signed(click)
        url = f"{d.w.people_url}/slack/interactions"
        wrong: list[tuple[bytes, dict[str, str]]] = [
            (body, {}),
            (body, {**headers, "x-slack-signature": "v0=" + "0" * 64}),
            (body, {**headers, "x-slack-signature": ""}),
            (body, {**headers, "x-slack-signature": "v0=é"}),
            (body, {**headers, "x-slack-signature": headers["x-slack-signature"].upper()}),
            (body, {**headers, "x-slack-request-timestamp": "soon"}),
            (body, {**headers, "x-slack-request-timestamp": "1e9"}),
            (body, {**headers, "x-slack-request-timestamp": "9" * 400}),
            (body, {**headers, "x-slack-request-timestamp": "NaN"}),
            (body + b"&x=1", headers),
            (b"\xff\xfe" + body, headers),
            signed(click, at=time.time() - 301),
            signed(click, at=time.time() + 400),
            signed(click, secret="another secret"),
            signed(b"\xff\xfe\x00"),
            signed(b""),
            signed(b"payload="),
            signed(b"payload=%7B"),
            signed(urlencode({"payload": "[]"}).encode()),
            signed(urlencode({"payload": "1"}).encode()),
            signed(urlencode({"payload": '{"type": NaN}'}).encode()),
            signed(urlencode({"payload": '{"type":"block_actions","type":"x"}'}).encode()),
            signed(urlencode([("payload", json.dumps(click)), ("payload", "{}")]).encode()),
            signed(json.dumps(click).encode()),
            signed({}),
            signed({**click, "type": 1}),
            signed({**click, "actions": []}),
            signed({**click, "actions": "approve"}),
            signed({**click, "actions": [[]]}),
            signed({**click, "container": None}),
            signed({**click, "user": "U0BOB00"}),
            signed({**click, "user": {"id": None}}),
            signed({**click, "team": None, "user": {"id": "U0BOB00"}}),
            signed({**click, "team": None, "user": {"id": "U0BOB00", "team_id": "T9"}}),
            signed({**click, "team": {"id": "T0OTHER"}}),
            signed({**click, "api_app_id": "A0OTHER"}),
            signed({**click, "type": "view_submission"}),
            signed({**click, "type": "view_submission", "view": {"private_metadata": "{"}}),
        ]
        for content, sent in wrong:
            as_bytes = {name.encode(): value.encode() for name, value in sent.items()}
            answer = await d.w.http.post(url, content=content, headers=as_bytes)
            assert answer.status_code == 401, (content[:80], sent, answer.status_code)
            assert answer.text == "not signed by Slack for this app"
        assert (await d.w.status(approval["id"]))["decisions"] == []
        assert await refusals(d) == [("slack:U0BOB00", "another_workspace_or_app")] * 3
        large = await d.w.http.post(url, content=b"x" * (3 * 1024 * 1024), headers=headers)
        assert large.status_code == 413
        assert (await d.w.http.get(url)).status_code == 405
        assert (await d.send(click)).status_code == 200
        assert (await d.w.status(approval["id"]))["status"] == "approved"


async def test_what_is_no_click_is_acknowledged_and_does_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.w.parked()
        await d.slack.card()
        for other in ({"type": "shortcut"}, {"type": "view_closed", "view": {}}):
            assert (await d.send(other)).status_code == 200
        assert d.slack.ephemeral == []


async def test_the_same_bytes_twice_are_one_decision_and_one_event(tmp_path: Path) -> None:
    async with desk(tmp_path, approval={"required": 2}) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        body, headers = signed(d.slack.click(card, "approve"))
        url = f"{d.w.people_url}/slack/interactions"
        sent = [d.w.http.post(url, content=body, headers=headers) for _ in range(20)]
        assert {answer.status_code for answer in await asyncio.gather(*sent)} == {200}
        found = await d.w.status(approval["id"])
        assert [one["person"] for one in found["decisions"]] == ["bob"]
        events = await d.w.services.store.events(approval["id"])
        assert [e.fact.type for e in events].count("approval_counted") == 1
        assert await refusals(d) == []


async def test_who_may_not_decide_is_told_so_and_nobody_else_is(tmp_path: Path) -> None:
    people = {**PEOPLE, "eve": {"slack": "U0EVE000", "roles": ["auditor"]}}
    async with desk(tmp_path, people=people) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        for member in ("stranger", "alice", "U0EVE000"):
            for action in ("approve", "deny"):
                assert (await d.press(card, action, by=member)).status_code == 200
        assert (await d.w.status(approval["id"]))["decisions"] == []
        assert d.slack.views == []
        said = [(member, text) for _, member, text in d.slack.ephemeral]
        assert len(said) == 6
        assert "An admin adds your Slack member id U0NOBODY" in said[0][1]
        assert said[2] == (
            "U0ALICE",
            "You own bot, so somebody else has to decide on its calls.",
        )
        assert said[4][1] == "You are not among the people who may decide on this call."
        assert sorted(set(await refusals(d))) == [
            ("person:alice", "owner_excluded"),
            ("person:eve", "not_an_approver"),
            ("slack:U0NOBODY", "unknown_member"),
        ]


async def test_rights_are_judged_when_the_button_is_pressed(tmp_path: Path) -> None:
    """bob left the group between the card and the click."""
    groups = {"groups": {"desk": ["bob", "carol"]}}
    asked = {"approvers": ["group:desk"]}
    async with desk(tmp_path, approval=asked, more=groups) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        config = tmp_path / "approvals.yaml"
        said = json.loads(config.read_text())
        config.write_text(json.dumps({**said, "groups": {"desk": ["carol"]}}))
        assert (await d.w.rest("POST", "/v1/policies/reload", by="carol")).status_code == 200
        await d.press(card, "approve", by="bob")
        await d.press(card, "deny", by="bob")
        assert (await d.w.status(approval["id"]))["decisions"] == []
        assert d.slack.views == []
        assert await refusals(d) == [("person:bob", "not_an_approver")] * 2


async def test_a_click_after_the_deadline_or_on_other_content_decides_nothing(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path, approval={"timeout": "3s"}) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        old = {**card.buttons["approve"], "value": f"{approval['id']}:v1:sha256:{'0' * 64}"}
        await d.send(d.slack.block_actions(card, old))
        assert "names other content" in d.slack.ephemeral[-1][2]
        none = {**card.buttons["approve"], "value": approval["id"]}
        await d.send(d.slack.block_actions(card, none))
        click = d.slack.click(card, "approve")
        await d.slack.settled(card, "Expired")
        await d.send(click)
        assert d.slack.ephemeral[-1][2] == "Nobody answered in time, so this call was denied."
        found = await d.w.status(approval["id"])
        assert (found["status"], found["decisions"]) == ("expired", [])


@pytest.mark.parametrize(
    "value", ["", "apr_none:v1:sha256:0", "apr_" + "x" * 3000 + ":v1", "\x00:\x00", "é:é", ":::"]
)
async def test_a_button_about_nothing_decides_nothing(tmp_path: Path, value: str) -> None:
    async with desk(tmp_path) as d:
        await d.w.parked()
        card = await d.slack.card()
        for action in ("approve", "deny", "details"):
            button = {**card.buttons["approve"], "action_id": action, "value": value}
            assert (await d.send(d.slack.block_actions(card, button))).status_code == 200
        assert {text for _, _, text in d.slack.ephemeral} == {"There is no such approval."}


async def test_a_card_that_we_did_not_know_of_is_adopted(tmp_path: Path) -> None:
    """A reply of Slack was lost, or somebody shared the card: it too shows how the call ends."""
    async with desk(tmp_path, approval={"required": 2}) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        copy = d.slack.copied(card)
        await d.press(copy, "approve", by="bob")
        assert (await d.w.status(approval["id"]))["progress"][0]["approved"] == 1
        await d.slack.settled(copy, "Approved by Bob")
        await d.press(card, "approve", by="carol")
        for shown in (card, copy):
            await d.slack.settled(shown, "Approved by Bob, Approved by Carol")
            assert shown.buttons == {}
        later = d.slack.copied(card)
        later.blocks = card.versions[0]
        await d.press(later, "approve", by="bob")
        await d.slack.settled(later, "Approved by Bob, Approved by Carol")


async def test_a_rule_that_asks_for_more_than_slack_is_decided_elsewhere(tmp_path: Path) -> None:
    stage = {"name": "desk", "approvers": ["everyone"], "required": 1, "min_assurance": "web"}
    settings = {"stages": [stage], "channels": [TRADING]}
    async with desk(tmp_path, approval=settings) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        assert list(card.buttons) == ["review", "deny", "details"]
        assert '"x"' in card.shown
        forged = {**card.buttons["deny"], "action_id": "approve"}
        await d.send(d.slack.block_actions(card, forged))
        assert (await d.w.status(approval["id"]))["decisions"] == []
        assert "decided with web sign-in" in d.slack.ephemeral[-1][2]


async def test_a_denial_takes_the_words_and_no_more_of_them_than_fit(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        await d.press(card, "deny")
        await d.send(d.slack.submission(words="<!channel> " + "w" * 3000))
        [decision] = (await d.w.status(approval["id"]))["decisions"]
        assert decision["reason"] == ("<!channel> " + "w" * 3000)[:1000]
        await d.slack.settled(card, "Denied by Bob: <!channel>")
        assert d.slack.refused == []


async def test_a_sample_says_what_it_has_passed(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        posted = await d.w.rest(
            "POST", "/v1/slack/test", by="carol", json_body={"channel": "#trading"}
        )
        assert posted.status_code == 204
        [sample] = d.slack.cards
        await d.press(sample, "try", by="bob")
        assert f"workspace {TEAM} and app {APP} are ours" in sample.shown
        assert "you are Bob (approver)" in sample.shown
        assert "its signature is right" in sample.shown
        assert sample.buttons == {}
        nowhere = await d.w.rest(
            "POST", "/v1/slack/test", by="carol", json_body={"channel": "#nowhere"}
        )
        assert nowhere.status_code == 502
        assert nowhere.json()["detail"] == "slack:#nowhere: Slack refused: channel_not_found."


async def test_a_click_is_acknowledged_in_time_also_when_deciding_takes_long(
    tmp_path: Path,
) -> None:
    from tests.e2e.world import Slowed

    async with desk(tmp_path, wrap_store=Slowed("approved", before=4)) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        began = time.monotonic()
        assert (await d.press(card, "approve")).status_code == 200
        assert time.monotonic() - began < 3
        await d.slack.settled(card, "Approved by Bob")
        assert (await d.w.status(approval["id"]))["status"] == "approved"


async def test_a_decision_that_could_not_be_written_is_said(tmp_path: Path) -> None:
    from tests.e2e.world import Broken

    async with desk(tmp_path, wrap_store=Broken("approved")) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        assert (await d.press(card, "approve")).status_code == 200
        assert (await d.w.status(approval["id"]))["decisions"] == []
        [(_, _, said)] = d.slack.ephemeral
        assert "The database does not answer." in said


class Forgetful:
    """The outbox, which cannot be asked for messages."""

    def __init__(self, outbox: Any) -> None:
        self._outbox = outbox

    async def messages(self, approval_id: str, channel: str) -> list[str]:
        raise Unavailable("The database does not answer.")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outbox, name)


async def test_what_was_decided_is_never_said_not_to_be(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        approval = await d.w.parked()
        card = await d.slack.card()
        clicks: Any = d.w.services.interactions._clicks  # type: ignore[union-attr]
        clicks._use = replace(clicks._use, outbox=Forgetful(clicks._use.outbox))
        assert (await d.press(card, "approve")).status_code == 200
        assert (await d.w.status(approval["id"]))["status"] == "approved"
        assert d.slack.ephemeral == []


@pytest.mark.parametrize("action", ["deny", "details"])
async def test_a_dialog_that_slack_does_not_open_is_said(tmp_path: Path, action: str) -> None:
    async with desk(tmp_path) as d:
        await d.w.parked()
        card = await d.slack.card()
        d.slack.fail("views.open", 500)
        assert (await d.press(card, action)).status_code == 200
        [(_, _, said)] = d.slack.ephemeral
        assert said == "Slack did not open this. Press again, or use the page."
