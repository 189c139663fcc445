"""What a webhook is told of a call, from the request to its outcome; every letter is verified."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import World, text
from tests.webhooks.receiver import (
    DESK,
    OLD,
    OPS,
    OTHER,
    SECRET,
    Letter,
    Receiver,
    desk,
    until,
    whole,
)

pytestmark = pytest.mark.anyio


def moment(said: str) -> datetime:
    """A time as letters have it: UTC, with its Z."""
    assert said.endswith("Z")
    return datetime.fromisoformat(said)


def check_order(letters: list[Letter]) -> None:
    """One approval, told in the order in which it happened, each letter once."""
    assert len({letter.approval["id"] for letter in letters}) == 1
    assert len({letter.id for letter in letters}) == len(letters)
    versions = [letter.approval["version"] for letter in letters]
    assert versions == sorted(versions)
    times = [moment(letter.said["timestamp"]) for letter in letters]
    assert times == sorted(times)


def without_viewer(shown: dict[str, Any]) -> dict[str, Any]:
    """The resource of rest.md as a webhook has it, but for what only a letter has."""
    return {name: value for name, value in shown.items() if name not in {"viewer", "links"}}


async def resource_equals(w: World, letter: Letter) -> None:
    """It shows the approval as it is now, in the words of the REST API."""
    now = without_viewer(await w.status(letter.approval["id"]))
    told = {**letter.approval}
    assert told.pop("arguments_complete") is True
    links = told.pop("links")
    assert links["self"] == f"/v1/approvals/{told['id']}"
    assert told == now


async def test_a_held_call_is_told_and_decided_from_its_letter_and_its_outcome_is_told(
    tmp_path: Path,
) -> None:
    ops = Receiver()
    arguments = {"what": "Überweisung \u202e x", "n": 10**18 + 1}
    async with desk(tmp_path, {OPS: ops}) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", arguments))
        letter = await ops.letter("approval.requested")
        assert set(letter.said) == {"type", "timestamp", "data"}
        assert set(letter.said["data"]) == {"approval"}
        approval = letter.approval
        await resource_equals(w, letter)
        assert approval["status"] == "pending"
        assert approval["version"] == 1
        assert approval["arguments"] == arguments
        assert approval["decisions"] == []
        assert approval["agent"] == {"name": "bot", "owner": "alice"}
        assert "viewer" not in approval
        assert b"1000000000000000001" in letter.body
        assert letter.said["timestamp"] == approval["created_at"]
        assert abs(moment(letter.said["timestamp"]).timestamp() - time.time()) < 30
        answered = await w.approve(approval, by="bob")
        assert answered.status_code == 200, answered.text
        assert "did Überweisung" in text(await calling)
        told = await ops.letter("release.succeeded")
        assert told.approval["status"] == "released"
        assert told.approval["release"]["status"] == "succeeded"
        assert told.approval["digest"] == approval["digest"]
        [decision] = told.approval["decisions"]
        assert (decision["person"], decision["decision"]) == ("bob", "approve")
        assert (decision["channel"], decision["assurance"]) == ("rest", "key")
    assert ops.types() == ["approval.requested", "approval.approved", "release.succeeded"]
    assert ops.tried == ops.letters
    check_order(ops.letters)
    assert len(w.upstream.seen) == 1


async def test_a_letter_is_a_plain_post_with_nothing_in_it_but_what_the_standard_asks_for(
    tmp_path: Path,
) -> None:
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}) as w:
        await w.parked()
        [letter] = await ops.taken(1)
    assert letter.headers["content-type"] == "application/json"
    assert abs(int(letter.headers["webhook-timestamp"]) - letter.at) < 5
    assert len(letter.headers["webhook-signature"].split(" ")) == 1
    assert letter.headers["webhook-signature"].startswith("v1,")
    standard = {"webhook-id", "webhook-timestamp", "webhook-signature"}
    plain = {"host", "content-type", "content-length", "user-agent"}
    assert set(letter.headers) == standard | plain | {"connection"} & set(letter.headers)
    for secret in w.keys.values():
        assert secret not in whole(letter)
    assert SECRET not in whole(letter)


async def test_a_signature_covers_a_message_id_without_a_full_stop(tmp_path: Path) -> None:
    """Id, time and body are signed with full stops between them: one inside would be ambiguous."""
    ops = Receiver()
    async with desk(tmp_path, {"webhook:O-p_s": ops}) as w:
        await w.parked()
        [letter] = await ops.taken(1)
    assert "." not in letter.id
    assert letter.id.isascii()
    assert letter.id.isprintable()


async def test_a_denial_is_told_with_who_denied_and_why(tmp_path: Path) -> None:
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}) as w:
        approval = await w.parked()
        await ops.letter("approval.requested")
        await w.deny(approval, by="carol", reason="not <b>this</b> one")
        letter = await ops.letter("approval.denied")
        await resource_equals(w, letter)
        assert letter.approval["status"] == "denied"
        [decision] = letter.approval["decisions"]
        assert (decision["person"], decision["decision"]) == ("carol", "deny")
        assert decision["reason"] == "not <b>this</b> one"
        assert letter.said["timestamp"] == decision["at"]
    assert ops.types() == ["approval.requested", "approval.denied"]
    check_order(ops.letters)


async def test_a_call_nobody_answered_is_told_as_expired(tmp_path: Path) -> None:
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}, approval={"timeout": "2s", "remind_at": []}) as w:
        approval = await w.parked()
        letter = await ops.letter("approval.expired")
        await resource_equals(w, letter)
        assert letter.approval["status"] == "expired"
        assert letter.said["timestamp"] >= approval["expires_at"]
    assert ops.types() == ["approval.requested", "approval.expired"]
    check_order(ops.letters)


async def test_a_withdrawn_call_is_told_as_cancelled(tmp_path: Path) -> None:
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}) as w:
        approval = await w.parked()
        await ops.letter("approval.requested")
        path = f"/v1/approvals/{approval['id']}/cancel"
        assert (await w.rest("POST", path, by="bot", json_body={})).status_code == 200
        letter = await ops.letter("approval.cancelled")
        await resource_equals(w, letter)
        assert letter.approval["status"] == "cancelled"
    assert ops.types() == ["approval.requested", "approval.cancelled"]
    check_order(ops.letters)


async def test_below_the_quorum_each_decision_is_told(tmp_path: Path) -> None:
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}, approval={"required": 2}) as w:
        approval = await w.parked()
        await ops.letter("approval.requested")
        await w.approve(approval, by="bob")
        first = await ops.letter("approval.decided")
        await resource_equals(w, first)
        assert first.approval["status"] == "pending"
        [progress] = first.approval["progress"]
        assert (progress["approved"], progress["required"]) == (1, 2)
        assert [one["person"] for one in first.approval["decisions"]] == ["bob"]
        await w.approve(approval, by="carol")
        second = await ops.letter("approval.approved")
        await resource_equals(w, second)
        assert second.approval["status"] == "approved"
        assert [one["person"] for one in second.approval["decisions"]] == ["bob", "carol"]
    assert ops.types() == ["approval.requested", "approval.decided", "approval.approved"]
    check_order(ops.letters)


async def test_reminders_and_escalations_are_told_there_and_where_it_was_escalated_to(
    tmp_path: Path,
) -> None:
    ops, other = Receiver(), Receiver(OTHER)
    approval = {
        "approvers": ["person:bob"],
        "timeout": "6s",
        "max_timeout": "1h",
        "remind_at": [0.2],
        "channels": [OPS],
        "escalate": {"after": "3s", "approvers": ["person:carol"], "channels": [DESK]},
    }
    async with desk(tmp_path, {OPS: ops, DESK: other}, approval=approval) as w:
        parked = await w.parked()
        reminder = await ops.letter("approval.reminder")
        assert moment(reminder.said["timestamp"]) >= moment(parked["created_at"]) + timedelta(
            seconds=1.2
        )
        assert other.letters == []
        escalated = await ops.letter("approval.escalated")
        there = await other.letter("approval.escalated")
        for letter in (escalated, there):
            [stage] = letter.approval["requirement"]["stages"]
            assert stage["approvers"] == ["person:bob", "person:carol"]
            assert letter.approval["requirement"]["escalated_at"] == letter.said["timestamp"]
        assert escalated.id != there.id
        await w.approve(there.approval, by="carol")
        for receiver in (ops, other):
            assert (await receiver.letter("approval.approved")).approval["status"] == "approved"
    told = ["approval.requested", "approval.reminder", "approval.escalated"]
    assert ops.types()[:3] == told
    assert ops.types()[-1] == "approval.approved"
    assert "approval.requested" not in other.types()
    check_order(ops.letters)
    check_order(other.letters)


async def test_an_approval_nobody_used_is_told_as_lapsed(tmp_path: Path) -> None:
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}, approval={"use_within": "1s"}) as w:
        approval = await w.parked()
        await ops.letter("approval.requested")
        await w.approve(approval)
        letter = await ops.letter("approval.lapsed")
        await resource_equals(w, letter)
        assert letter.approval["status"] == "lapsed"
    assert ops.types() == ["approval.requested", "approval.approved", "approval.lapsed"]
    check_order(ops.letters)


async def test_a_call_that_failed_and_one_whose_outcome_is_unknown_are_told(tmp_path: Path) -> None:
    ops = Receiver()
    patience = timedelta(seconds=1)
    async with desk(tmp_path, {OPS: ops}, upstream_timeout=patience) as w, w.agent() as agent:
        failing = asyncio.create_task(agent.call_tool("break_it", {"what": "x"}))
        first = await ops.letter("approval.requested")
        await w.approve(first.approval)
        letter = await ops.letter("release.failed")
        await failing
        assert letter.approval["release"]["status"] == "failed"
        w.upstream.pause.clear()
        hanging = asyncio.create_task(agent.call_tool("act", {"what": "y"}))
        [asked] = await w.pending()
        await w.approve(asked)
        lost = await ops.letter("release.outcome_unknown")
        w.upstream.pause.set()
        await hanging
        assert lost.approval["release"]["status"] == "outcome_unknown"
        assert lost.approval["id"] == asked["id"]


@pytest.mark.parametrize("status", ["succeeded", "failed", "not_sent"])
async def test_what_an_agent_reports_of_its_own_release_is_told(
    tmp_path: Path, status: str
) -> None:
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}) as w:
        approval = await w.parked()
        await w.approve(approval)
        taken = {"release_token": "t" * 32, "digest": approval["digest"]}
        path = f"/v1/approvals/{approval['id']}/release"
        assert (await w.rest("POST", path, by="bot", json_body=taken)).status_code == 200
        report = {"release_token": "t" * 32, "status": status}
        said = await w.rest("POST", f"{path}/outcome", by="bot", json_body=report)
        assert said.status_code == 200, said.text
        letter = await ops.letter(f"release.{status}")
        assert letter.approval["release"]["status"] == status
    check_order(ops.letters)


async def test_a_longer_deadline_is_no_news_for_a_webhook(tmp_path: Path) -> None:
    """Only what webhooks.md lists is sent; what is not sent holds up nothing."""
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}) as w:
        approval = await w.parked()
        later = moment(approval["expires_at"]) + timedelta(minutes=5)
        path = f"/v1/approvals/{approval['id']}/extend"
        body = {"until": later.isoformat()}
        extended = await w.rest("POST", path, by="bob", json_body=body)
        assert extended.status_code == 200, extended.text
        await w.deny(approval)
        letter = await ops.letter("approval.denied")
        assert moment(letter.approval["expires_at"]) == later
    assert ops.types() == ["approval.requested", "approval.denied"]


async def test_letters_of_many_calls_are_each_whole_and_each_calls_come_in_order(
    tmp_path: Path,
) -> None:
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}) as w:
        approvals = [await w.parked({"what": f"x{number}"}) for number in range(25)]
        for number, approval in enumerate(approvals):
            await (w.approve(approval) if number % 2 else w.deny(approval))
        await ops.taken(50)
    assert len({letter.id for letter in ops.letters}) == 50
    for number, approval in enumerate(approvals):
        ended = "approval.approved" if number % 2 else "approval.denied"
        assert ops.types(approval) == ["approval.requested", ended]
    for letter in ops.letters:
        [number] = [n for n, one in enumerate(approvals) if one["id"] == letter.approval["id"]]
        assert letter.approval["arguments"] == {"what": f"x{number}"}


async def test_each_webhook_is_told_with_its_own_secret_and_its_own_ids(tmp_path: Path) -> None:
    ops, other = Receiver(), Receiver(OTHER)
    async with desk(tmp_path, {OPS: ops, DESK: other}) as w:
        await w.parked()
        [here], [there] = await ops.taken(1), await other.taken(1)
    assert here.id != there.id
    assert here.said == there.said
    assert here.headers["webhook-signature"] != there.headers["webhook-signature"]


async def test_while_a_secret_is_changed_both_receivers_verify_and_a_stranger_does_not(
    tmp_path: Path,
) -> None:
    """`secret: [new, old]`."""
    new, old, stranger = Receiver(SECRET), Receiver(OLD), Receiver(OTHER)
    names = {"webhook:new": new, "webhook:old": old, "webhook:stranger": stranger}
    both = {"secret": [SECRET, OLD]}
    async with desk(tmp_path, names, channels=dict.fromkeys(names, both)) as w:
        approval = await w.parked()
        for receiver in (new, old):
            letter = await receiver.letter("approval.requested")
            assert len(letter.headers["webhook-signature"].split(" ")) == 2
        await w.deny(approval)
        for receiver in (new, old):
            await receiver.letter("approval.denied")
        assert stranger.letters == []
        assert all("No matching signature" in why for why in stranger.forged)
        assert stranger.forged
        stranger.forged.clear()
        stranger.secret = SECRET
        assert [one.type for one in await stranger.taken(2)] == new.types()


async def test_after_the_change_the_old_secret_verifies_nothing(tmp_path: Path) -> None:
    receiver = Receiver(OLD)
    async with desk(tmp_path, {OPS: receiver}, channels={OPS: {"secret": SECRET}}) as w:
        await w.parked()
        await until(lambda: receiver.forged)
        receiver.secret = SECRET
        receiver.forged.clear()
        [letter] = await receiver.taken(1)
    assert json.loads(letter.body) == letter.said
