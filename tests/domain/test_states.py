"""What an operation is known by when it is submitted a second time."""

from __future__ import annotations

from approvals.domain.approval import expire, park
from approvals.domain.chain import NO_EVENTS
from approvals.domain.states import NoticeKind
from tests.domain.builders import approval


def test_an_operation_is_known_by_the_id_of_its_event() -> None:
    asked = approval()
    assert park(asked, event_id="evt_7", max_pending=3).op_id == "evt_7"
    assert expire(asked, now=asked.expires_at, event_id="evt_8").op_id == "evt_8"


def test_an_operation_leaves_the_approval_as_it_is_after_it() -> None:
    parking = park(approval(), event_id="evt_7", max_pending=3)
    assert parking.leaves is parking.approval
    late = expire(parking.leaves, now=parking.leaves.expires_at, event_id="evt_8")
    assert late.leaves is late.after


def test_parking_starts_the_stream_of_the_approval_and_announces_it() -> None:
    asked = approval()
    parking = park(asked, event_id="evt_7", max_pending=3)
    assert parking.event.previous == NO_EVENTS.hash
    assert parking.event.stream == asked.id
    assert parking.approval.head == parking.event.head
    assert parking.notice is NoticeKind.REQUESTED
    assert parking.event.fact.actor == "agent:trader-bot"
    assert parking.event.fact.detail == {
        "digest": asked.digest,
        "policy": asked.policy_hash,
        "rule": asked.rule,
    }
    assert parking.max_pending == 3


def test_of_hidden_values_the_audit_keeps_their_keyed_hashes() -> None:
    asked = approval(hidden=("/secret",))
    parking = park(asked, event_id="e", max_pending=1, hidden={"/secret": "k:1"})
    assert parking.event.fact.detail["hidden"] == {"/secret": "k:1"}
