"""More time, reminders, more people: what happens to a call while nobody has decided."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from approvals.domain import approval as machine
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.states import Answer, Approval, CancelReason, NoticeKind, Pending
from approvals.errors import AlreadyDecided, Cancelled, Expired, IllegalTransition, InvalidInput
from tests.domain.builders import MINUTE, NOON, approval, decision

LATER = NOON + MINUTE
HOUR = 60 * MINUTE
CAROL = frozenset({"person:carol"})
TRADING = frozenset({"group:trading"})
ESCALATING = Requirement(
    stages=(Stage(approvers=frozenset({"person:bob"}), escalates_to=CAROL),),
    escalate_after=5 * MINUTE,
    escalate_channels=("log", "slack:#ops"),
)


def extended(asked: Approval, until: datetime, *, now: datetime = LATER) -> Approval:
    return machine.extend(asked, until, actor="person:bob", now=now, event_id="evt_1").after


def escalated(asked: Approval, *, now: datetime = LATER) -> Approval:
    return machine.escalate(asked, actor="service", now=now, event_id="evt_1").after


def denied(asked: Approval) -> Approval:
    said = decision(answer=Answer.DENY, of=asked)
    step = machine.decide(asked, said, now=LATER, event_id="evt_8")
    assert step is not None
    return step.after


def ended(asked: Approval) -> list[tuple[Approval, type[Exception]]]:
    gone = machine.cancel(
        asked, CancelReason.CANCELLED, actor="agent:x", now=LATER, event_id="evt_8"
    )
    expired = machine.expire(asked, now=asked.expires_at, event_id="evt_8")
    return [(denied(asked), AlreadyDecided), (gone.after, Cancelled), (expired.after, Expired)]


def test_more_time_moves_the_deadline_and_nothing_else() -> None:
    asked = approval()
    until = NOON + 24 * HOUR
    step = machine.extend(asked, until, actor="person:bob", now=LATER, event_id="evt_1")
    assert step.after == replace(
        asked, expires_at=until, version=asked.version + 1, head=step.event.head
    )
    assert step.after.digest == asked.digest
    assert (step.valid_from, step.valid_until) == (None, asked.expires_at)
    assert (step.event.fact.type, step.event.fact.actor) == ("extended", "person:bob")
    assert step.event.fact.detail == {
        "from": "2026-11-20T12:15:00+00:00",
        "to": "2026-11-21T12:00:00+00:00",
    }


@pytest.mark.parametrize(
    "until",
    [
        NOON,
        NOON + 15 * MINUTE,
        NOON + 24 * HOUR + timedelta(microseconds=1),
        NOON + 48 * HOUR,
    ],
)
def test_a_deadline_moves_forward_only_and_at_most_to_max_timeout(until: datetime) -> None:
    with pytest.raises(InvalidInput) as refused:
        extended(approval(), until)
    assert str(refused.value) == (
        "`until` must be later than 2026-11-20T12:15:00Z and not later than 2026-11-21T12:00:00Z."
    )


def test_max_timeout_counts_from_parking_however_often_the_deadline_moves() -> None:
    asked = approval(Requirement(max_timeout=HOUR))
    once = extended(asked, NOON + HOUR)
    assert once.latest_deadline == NOON + HOUR
    with pytest.raises(InvalidInput):
        extended(once, NOON + HOUR + MINUTE)


def test_a_timeout_longer_than_max_timeout_stands_and_cannot_be_moved() -> None:
    asked = approval(Requirement(timeout=2 * HOUR, max_timeout=HOUR))
    assert asked.latest_deadline == asked.expires_at == NOON + 2 * HOUR
    with pytest.raises(InvalidInput):
        extended(asked, NOON + 3 * HOUR)


def test_what_has_ended_gets_neither_more_time_nor_more_people() -> None:
    asked = approval(ESCALATING)
    for after, error in ended(asked):
        with pytest.raises(error):
            extended(after, NOON + HOUR)
        with pytest.raises(error):
            escalated(after)
    with pytest.raises(Expired):
        extended(asked, NOON + HOUR, now=asked.expires_at)
    with pytest.raises(Expired):
        escalated(asked, now=asked.expires_at)


def test_a_decision_counts_until_the_new_deadline() -> None:
    later = extended(approval(), NOON + HOUR)
    step = machine.decide(later, decision(of=later), now=NOON + 59 * MINUTE, event_id="evt_2")
    assert step is not None
    assert step.valid_until == NOON + HOUR
    with pytest.raises(Expired):
        machine.decide(later, decision(of=later), now=NOON + HOUR, event_id="evt_2")


def test_people_are_reminded_at_the_parts_of_the_time_that_the_requirement_names() -> None:
    asked = approval(Requirement(timeout=10 * MINUTE))
    assert asked.remind_at == asked.due_at == NOON + 5 * MINUTE
    step = machine.remind(asked, now=NOON + 5 * MINUTE, event_id="evt_1")
    assert (step.valid_from, step.valid_until) == (NOON + 5 * MINUTE, asked.expires_at)
    assert step.notice is NoticeKind.REMINDER
    assert (step.event.fact.type, step.event.fact.actor) == ("reminded", "service")
    assert (step.after.reminded, step.after.state) == (1, Pending())
    assert step.after.remind_at == NOON + 8 * MINUTE
    last = machine.remind(step.after, now=NOON + 8 * MINUTE, event_id="evt_2").after
    assert last.remind_at is None
    assert last.due_at is None
    with pytest.raises(IllegalTransition):
        machine.remind(last, now=NOON + 9 * MINUTE, event_id="evt_3")


def test_reminders_that_were_missed_are_one() -> None:
    thrice = approval(Requirement(remind_at=(Decimal("0.1"), Decimal("0.2"), Decimal("0.9"))))
    step = machine.remind(thrice, now=NOON + 10 * MINUTE, event_id="evt_1")
    assert step.after.reminded == 2
    assert step.valid_from == thrice.remind_at
    every = machine.remind(thrice, now=NOON + 14 * MINUTE, event_id="evt_1")
    assert every.after.reminded == 3
    assert every.after.remind_at is None


def test_only_what_still_waits_is_reminded_of() -> None:
    for after, _ in ended(approval()):
        with pytest.raises(IllegalTransition):
            machine.remind(after, now=LATER, event_id="evt_2")
        assert after.due_at is None
    with pytest.raises(IllegalTransition):
        machine.remind(approval(Requirement(remind_at=())), now=LATER, event_id="evt_2")


def test_reminders_move_with_the_deadline() -> None:
    asked = extended(approval(), NOON + 100 * MINUTE)
    assert asked.remind_at == NOON + 50 * MINUTE


def test_an_escalation_asks_more_people_on_more_channels_and_gives_the_full_time_again() -> None:
    asked = approval(ESCALATING)
    now = NOON + 5 * MINUTE
    step = machine.escalate(asked, actor="service", now=now, event_id="evt_1")
    assert step.after.escalated_at == now
    assert step.after.expires_at == now + 15 * MINUTE
    assert step.after.channels == ("log", "slack:#ops")
    assert step.after.stages == (replace(asked.stages[0], approvers=CAROL | {"person:bob"}),)
    assert asked.stages == asked.requirement.stages
    assert (step.after.digest, step.after.requirement) == (asked.digest, asked.requirement)
    assert (step.notice, step.valid_until) == (NoticeKind.ESCALATED, asked.expires_at)
    assert (step.event.fact.type, step.event.fact.actor) == ("escalated", "service")


def test_an_escalation_comes_once_and_only_where_there_is_one() -> None:
    once = escalated(approval(ESCALATING))
    assert once.escalate_at is None
    for nobody_left in (once, approval()):
        with pytest.raises(IllegalTransition):
            escalated(nobody_left)


def test_an_escalation_never_goes_beyond_max_timeout_nor_shortens_the_time() -> None:
    soon = approval(replace(ESCALATING, max_timeout=16 * MINUTE))
    assert escalated(soon, now=NOON + 5 * MINUTE).expires_at == NOON + 16 * MINUTE
    long = extended(approval(ESCALATING), NOON + 10 * HOUR)
    assert escalated(long, now=NOON + 5 * MINUTE).expires_at == NOON + 10 * HOUR


def test_the_next_thing_due_is_the_reminder_or_the_escalation() -> None:
    asked = approval(ESCALATING)
    assert asked.due_at == asked.escalate_at == NOON + 5 * MINUTE
    after = escalated(asked, now=NOON + 5 * MINUTE)
    assert after.due_at == after.remind_at == NOON + 10 * MINUTE
    silent = approval(replace(ESCALATING, remind_at=()))
    assert silent.due_at == NOON + 5 * MINUTE
    assert approval(Requirement(remind_at=())).due_at is None


def test_neither_reminder_nor_time_nor_escalation_makes_a_decision_stale() -> None:
    asked = approval(ESCALATING)
    said = decision("bob", of=asked)
    reminded = machine.remind(asked, now=NOON + 8 * MINUTE, event_id="evt_1").after
    for after in (reminded, extended(asked, NOON + HOUR), escalated(asked)):
        step = machine.decide(after, said, now=NOON + 9 * MINUTE, event_id="evt_2")
        assert step is not None
        assert step.event.fact.type == "approved"
