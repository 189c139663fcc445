"""The state machine: every legal step, and that there are no others. The example to copy."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from approvals.domain import approval as machine
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.states import (
    Answer,
    Approved,
    CancelReason,
    Denied,
    Lapsed,
    NoticeKind,
    Outcome,
    Overdue,
    Pending,
    Released,
    ReleaseStatus,
    Status,
    Transition,
    Withdrawn,
)
from approvals.errors import (
    AlreadyDecided,
    AlreadyReleased,
    Cancelled,
    DigestMismatch,
    Expired,
    IllegalTransition,
    YouAlreadyDecided,
)
from tests.domain.builders import MINUTE, NOON, approval, decision

LATER = NOON + MINUTE


def decided(answer: Answer = Answer.APPROVE) -> Transition:
    asked = approval()
    step = machine.decide(asked, decision(answer=answer, of=asked), now=LATER, event_id="evt_1")
    assert step is not None
    return step


def sent() -> Transition:
    return machine.send(decided().after, token="token", process="prc", now=LATER, event_id="evt_2")


def outcome(status: ReleaseStatus, *, delivered: bool = True) -> Outcome:
    return Outcome(status=status, detail="", at=LATER, delivered=delivered)


def test_an_approval_that_reaches_quorum_may_be_used_for_five_minutes() -> None:
    step = decided()
    assert step.after.state == Approved(
        decided_at=LATER, use_from=LATER, use_by=LATER + timedelta(minutes=5)
    )
    assert step.valid_until == step.before.expires_at
    assert step.notice is NoticeKind.DECIDED


def test_one_denial_denies() -> None:
    step = decided(Answer.DENY)
    assert step.after.state == Denied(at=LATER)
    assert step.notice is NoticeKind.ENDED


def test_below_quorum_it_stays_pending_and_counts() -> None:
    asked = approval(Requirement(stages=(Stage(required=2),)))
    step = machine.decide(asked, decision(of=asked), now=LATER, event_id="evt_1")
    assert step is not None
    assert step.after.state == Pending()
    assert step.after.tally.approved == (1,)
    assert step.event.fact.type == "approval_counted"


def test_a_denial_below_its_threshold_is_counted_and_ends_nothing() -> None:
    asked = approval(Requirement(stages=(Stage(deny_threshold=2),)))
    said = decision(answer=Answer.DENY, of=asked)
    step = machine.decide(asked, said, now=LATER, event_id="evt_1")
    assert step is not None
    assert step.after.status is Status.PENDING
    assert step.event.fact.type == "denial_counted"


def test_the_same_answer_twice_changes_nothing() -> None:
    after = decided().after
    assert machine.decide(after, decision(of=after), now=LATER, event_id="evt_2") is None


def test_an_approval_may_be_replaced_by_a_denial_while_it_is_pending() -> None:
    asked = approval(Requirement(stages=(Stage(required=2),)))
    first = machine.decide(asked, decision(of=asked), now=LATER, event_id="evt_1")
    assert first is not None
    second = machine.decide(
        first.after,
        decision(answer=Answer.DENY, of=asked),
        now=LATER,
        event_id="evt_2",
    )
    assert second is not None
    assert second.after.status is Status.DENIED


def test_a_denial_stands() -> None:
    asked = approval(Requirement(stages=(Stage(deny_threshold=2),)))
    first = machine.decide(
        asked, decision(answer=Answer.DENY, of=asked), now=LATER, event_id="evt_1"
    )
    assert first is not None
    with pytest.raises(YouAlreadyDecided):
        machine.decide(first.after, decision(of=asked), now=LATER, event_id="evt_2")


def test_the_second_decider_is_told_who_was_first() -> None:
    after = decided(Answer.DENY).after
    with pytest.raises(AlreadyDecided, match="Denied by Bob at 12:01:00 UTC"):
        machine.decide(after, decision("carol", of=after), now=LATER, event_id="evt_2")


def test_no_decision_counts_at_the_deadline_even_if_no_sweep_ran() -> None:
    asked = approval()
    with pytest.raises(Expired):
        machine.decide(asked, decision(of=asked), now=asked.expires_at, event_id="evt_1")


def test_a_decision_on_other_content_is_refused() -> None:
    asked = approval()
    stale = replace(decision(of=asked), digest="v1:sha256:0")
    with pytest.raises(DigestMismatch):
        machine.decide(asked, stale, now=LATER, event_id="evt_1")


def test_an_approval_without_a_digest_is_refused_and_a_denial_is_not() -> None:
    asked = approval()
    with pytest.raises(DigestMismatch):
        machine.decide(asked, replace(decision(of=asked), digest=None), now=LATER, event_id="evt_1")
    said = replace(decision(answer=Answer.DENY, of=asked), digest=None)
    step = machine.decide(asked, said, now=LATER, event_id="evt_1")
    assert step is not None
    assert step.after.status is Status.DENIED


def test_what_nobody_answered_expires_and_only_after_its_deadline() -> None:
    asked = approval()
    step = machine.expire(asked, now=asked.expires_at, event_id="evt_1")
    assert step.after.state == Overdue(at=asked.expires_at)
    assert step.valid_from == asked.expires_at
    with pytest.raises(IllegalTransition):
        machine.expire(step.after, now=asked.expires_at, event_id="evt_2")
    with pytest.raises(Expired):
        machine.check_undecided(step.after, now=asked.expires_at)


def test_what_nobody_used_lapses_and_only_after_use_by() -> None:
    approved = decided().after
    assert isinstance(approved.state, Approved)
    step = machine.lapse(approved, now=approved.state.use_by, event_id="evt_2")
    assert step.after.state == Lapsed(at=approved.state.use_by)
    assert step.valid_from == approved.state.use_by
    with pytest.raises(IllegalTransition):
        machine.lapse(step.after, now=LATER, event_id="evt_3")


@pytest.mark.parametrize("start", [approval(), decided().after], ids=["pending", "approved"])
def test_what_was_not_sent_can_be_withdrawn_for_any_reason(start: object) -> None:
    assert isinstance(start, type(approval()))
    for reason in CancelReason:
        step = machine.cancel(start, reason, actor="person:carol", now=LATER, event_id="evt_9")
        assert step.after.state == Withdrawn(reason=reason, at=LATER)


def test_what_has_ended_or_was_sent_cannot_be_withdrawn() -> None:
    asked = approval()
    gone = machine.cancel(
        asked, CancelReason.CANCELLED, actor="agent:x", now=LATER, event_id="evt_1"
    )
    expired = machine.expire(asked, now=asked.expires_at, event_id="evt_1")
    for after, error in (
        (gone.after, Cancelled),
        (expired.after, Expired),
        (sent().after, AlreadyReleased),
        (decided(Answer.DENY).after, AlreadyDecided),
    ):
        with pytest.raises(error):
            machine.cancel(
                after, CancelReason.CANCELLED, actor="agent:x", now=LATER, event_id="evt_2"
            )


def test_only_an_approved_call_is_sent_and_only_in_its_window() -> None:
    step = sent()
    assert isinstance(step.before.state, Approved)
    assert (step.valid_from, step.valid_until) == (
        step.before.state.use_from,
        step.before.state.use_by,
    )
    for other in (approval(), decided(Answer.DENY).after, step.after):
        with pytest.raises(IllegalTransition):
            machine.send(other, token="token", process="prc", now=LATER, event_id="evt_3")


def test_only_the_senders_token_finishes_and_only_once() -> None:
    after = sent().after
    with pytest.raises(IllegalTransition):
        machine.finish(after, outcome(ReleaseStatus.SUCCEEDED), token="other", event_id="evt_3")
    done = machine.finish(
        after, outcome(ReleaseStatus.SUCCEEDED), token="token", event_id="evt_3", result="{}"
    )
    assert done.result == "{}"
    assert isinstance(done.after.state, Released)
    assert done.after.state.release_status is ReleaseStatus.SUCCEEDED
    with pytest.raises(IllegalTransition):
        machine.finish(done.after, outcome(ReleaseStatus.FAILED), token="token", event_id="evt_4")
    with pytest.raises(IllegalTransition):
        machine.finish(approval(), outcome(ReleaseStatus.FAILED), token="token", event_id="evt_4")


def test_a_lost_call_is_outcome_unknown_and_a_late_result_corrects_it() -> None:
    lost = machine.lose(sent().after, now=LATER, event_id="evt_3").after
    assert isinstance(lost.state, Released)
    assert lost.state.release_status is ReleaseStatus.OUTCOME_UNKNOWN
    with pytest.raises(IllegalTransition):
        machine.lose(lost, now=LATER, event_id="evt_4")
    with pytest.raises(IllegalTransition):
        machine.finish(lost, outcome(ReleaseStatus.NOT_SENT), token="token", event_id="evt_4")
    late = machine.finish(lost, outcome(ReleaseStatus.SUCCEEDED), token="token", event_id="evt_4")
    assert isinstance(late.after.state, Released)
    assert late.after.state.release_status is ReleaseStatus.SUCCEEDED


def test_an_outcome_is_handed_over_once_and_can_be_taken_back() -> None:
    done = machine.finish(
        sent().after,
        outcome(ReleaseStatus.SUCCEEDED, delivered=False),
        token="token",
        event_id="evt_3",
    ).after
    given = machine.hand_over(done, delivered=True, now=LATER, event_id="evt_4").after
    with pytest.raises(IllegalTransition):
        machine.hand_over(given, delivered=True, now=LATER, event_id="evt_5")
    back = machine.hand_over(given, delivered=False, now=LATER, event_id="evt_5").after
    assert isinstance(back.state, Released)
    assert back.state.outcome is not None
    assert not back.state.outcome.delivered
    with pytest.raises(IllegalTransition):
        machine.hand_over(sent().after, delivered=True, now=LATER, event_id="evt_5")


def test_every_step_raises_the_version_by_one_and_extends_the_chain() -> None:
    step = sent()
    assert step.after.version == step.before.version + 1
    assert step.event.previous == step.before.head.hash
    assert step.event.seq == step.before.head.seq + 1
    assert step.after.head == step.event.head


def test_an_approval_is_open_until_its_outcome_is_known() -> None:
    assert approval().is_open
    assert decided().after.is_open
    assert sent().after.is_open
    assert not decided(Answer.DENY).after.is_open
    lost = machine.lose(sent().after, now=LATER, event_id="evt_3").after
    assert not lost.is_open


def test_what_waits_is_missed_once() -> None:
    asked = approval(channels=("slack:#a", "log"))
    step = machine.miss(asked, now=LATER, event_id="evt_1")
    assert (step.after.unnoticed, step.after.state, step.after.version) == (True, Pending(), 2)
    assert (step.event.fact.type, step.event.fact.actor) == ("nobody_notified", "service")
    assert step.event.fact.detail == {"channels": ["slack:#a", "log"]}
    assert (step.notice, step.valid_until) == (None, asked.expires_at)
    with pytest.raises(IllegalTransition):
        machine.miss(step.after, now=LATER, event_id="evt_2")
    with pytest.raises(IllegalTransition):
        machine.miss(sent().after, now=LATER, event_id="evt_2")


def test_what_waits_to_be_decided_or_sent_may_be_detached_once() -> None:
    asked = approval()
    step = machine.detach(asked, now=NOON, event_id="evt_1")
    assert (step.after.detached, step.after.state, step.after.version) == (True, Pending(), 2)
    assert step.valid_until == asked.expires_at
    assert (step.event.fact.type, step.event.fact.actor) == ("detached", "agent:trader-bot")
    with pytest.raises(IllegalTransition):
        machine.detach(step.after, now=NOON, event_id="evt_2")
    allowed = decided().after
    assert isinstance(allowed.state, Approved)
    step = machine.detach(allowed, now=LATER, event_id="evt_2")
    assert (step.after.detached, step.after.state) == (True, allowed.state)
    assert step.valid_until == allowed.state.use_by
    with pytest.raises(IllegalTransition):
        machine.detach(sent().after, now=LATER, event_id="evt_3")
    with pytest.raises(IllegalTransition):
        machine.detach(decided(Answer.DENY).after, now=LATER, event_id="evt_2")
