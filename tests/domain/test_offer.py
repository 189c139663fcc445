"""Which buttons a person is offered on a call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from approvals.domain import approval as machine
from approvals.domain.directory import Assurance
from approvals.domain.offer import ALREADY, REVEAL, Offer, approvable, offer
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.states import Answer, Approval
from tests.domain.builders import MINUTE, NOON, PEOPLE, approval, decision

BOTH = Offer(approve=True, deny=True)
TWO = Requirement(stages=(Stage(required=2),))
TWO_DENIALS = Requirement(stages=(Stage(required=2, deny_threshold=2),))


def offered(
    asked: Approval, person: str = "bob", *, web: bool = True, revealed: bool = False
) -> Offer:
    assurance = Assurance.WEB if web else Assurance.KEY
    return offer(asked, person=person, assurance=assurance, directory=PEOPLE, revealed=revealed)


def after(asked: Approval, answer: Answer, person: str = "bob") -> Approval:
    given = decision(person, answer, of=asked)
    step = machine.decide(asked, given, now=NOON + MINUTE, event_id="evt_1")
    assert step is not None
    return step.after


def test_who_may_decide_is_offered_both() -> None:
    assert offered(approval()) == BOTH


@pytest.mark.parametrize(
    ("person", "why"),
    [
        ("alice", "You own trader-bot"),
        ("dan", "You are not among the people"),
        ("mallory", "You are not among the people"),
    ],
)
def test_who_may_not_is_offered_nothing_and_told_why(person: str, why: str) -> None:
    found = offered(approval(), person)
    assert found == Offer(why_not=found.why_not)
    assert found.why_not.startswith(why)


def test_nothing_is_offered_on_a_call_that_is_over() -> None:
    for answer in Answer:
        assert offered(after(approval(), answer)) == Offer()


def test_who_has_approved_may_still_deny() -> None:
    waiting = after(approval(TWO), Answer.APPROVE)
    assert offered(waiting) == Offer(deny=True, why_not=ALREADY)
    assert offered(waiting, "carol") == BOTH


def test_who_has_denied_is_offered_nothing_more() -> None:
    waiting = after(approval(TWO_DENIALS), Answer.DENY)
    assert not offered(waiting).approve
    assert not offered(waiting).deny
    assert offered(waiting, "carol") == BOTH


def test_hidden_values_are_revealed_before_approve_is_offered() -> None:
    hiding = replace(approval(), hidden=("/symbol",))
    assert offered(hiding) == Offer(deny=True, reveal=True, why_not=REVEAL)
    assert offered(hiding, revealed=True) == BOTH


def test_where_hidden_values_cannot_be_revealed_only_deny_is_offered() -> None:
    hiding = replace(approval(), hidden=("/symbol",))
    found = offered(hiding, web=False)
    assert (found.approve, found.deny, found.reveal) == (False, True, False)
    assert "hidden here" in found.why_not


def test_who_does_not_decide_is_not_shown_hidden_values_either() -> None:
    assert not offered(replace(approval(), hidden=("/symbol",)), "alice").reveal


def test_a_message_for_everybody_offers_to_approve_what_somebody_may_approve_there() -> None:
    weak, strong = Assurance.SLACK, Assurance.WEB
    both = Requirement(
        stages=(
            Stage(approvers=frozenset({"everyone"}), required=1),
            Stage(approvers=frozenset({"person:carol"}), required=1, assurance=strong),
        ),
        ordered=True,
    )
    assert approvable(approval(), assurance=weak)
    assert approvable(approval(both), assurance=weak)
    first = machine.decide(
        approval(both), decision("bob", of=approval(both)), now=NOON + MINUTE, event_id="evt_1"
    )
    assert first is not None
    assert not approvable(first.after, assurance=weak)
    assert approvable(first.after, assurance=strong)


def test_a_message_offers_to_approve_nothing_that_is_hidden_erased_or_over() -> None:
    asked = approval()
    assert not approvable(approval(hidden=("/symbol",)), assurance=Assurance.SLACK)
    assert not approvable(replace(asked, erased="k:x"), assurance=Assurance.SLACK)
    ended = machine.expire(asked, now=asked.expires_at, event_id="evt_1").after
    assert not approvable(ended, assurance=Assurance.SLACK)
