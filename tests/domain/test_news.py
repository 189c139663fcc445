"""What those who were told before are told next."""

from __future__ import annotations

from datetime import timedelta

import pytest

from approvals.domain import approval as machine
from approvals.domain.card import card
from approvals.domain.news import news
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.states import Answer, Approval
from tests.domain.builders import MINUTE, NOON, PEOPLE, approval, decision

TWO = Requirement(stages=(Stage(approvers=frozenset({"everyone"}), required=2),))


def said(event: str, asked: Approval) -> str:
    return news(event, asked, card(asked, directory=PEOPLE, now=NOON + MINUTE))


def decided(asked: Approval, answer: Answer = Answer.APPROVE) -> Approval:
    one = decision("bob", answer, of=asked, reason="wrong order")
    step = machine.decide(asked, one, now=NOON + MINUTE, event_id="evt_1")
    assert step is not None
    return step.after


def test_a_decision_below_the_quorum_says_what_is_still_needed() -> None:
    assert said("approval_counted", decided(approval(TWO))) == (
        "Approved by Bob. Needs 2 of 2 people."
    )


def test_a_decision_says_who_and_why() -> None:
    assert said("approved", decided(approval())).startswith("Approved by Bob")
    assert said("denied", decided(approval(), Answer.DENY)) == "Denied by Bob: wrong order"


@pytest.mark.parametrize(
    ("event", "begins"),
    [
        ("reminded", "Still waiting."),
        ("escalated", "More people are asked now."),
        ("extended", "There is more time."),
    ],
)
def test_who_waits_is_told_until_when(event: str, begins: str) -> None:
    assert said(event, approval()) == (
        f"{begins} If nobody answers: denied 12:15:00 UTC (in 14 min)"
    )
    assert said(event, decided(approval())) == ""


@pytest.mark.parametrize("event", ["parked", "expired", "succeeded", "adopted"])
def test_of_other_events_the_card_itself_tells(event: str) -> None:
    assert said(event, approval()) == ""


def test_a_call_of_which_nobody_was_told_says_so_on_its_card() -> None:
    later = NOON + timedelta(seconds=61)
    missed = machine.miss(approval(), now=later, event_id="evt_1").after
    shown = card(missed, directory=PEOPLE, now=later)
    assert "Nobody was notified of this call within a minute of its asking." in shown.notes
