"""From the approval to the outcome: when it may be sent, by whom, and what is given back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from approvals.domain import approval as machine
from approvals.domain.call import Executor
from approvals.domain.quorum import Requirement
from approvals.domain.states import (
    Approval,
    Approved,
    CancelReason,
    Outcome,
    Released,
    ReleaseStatus,
    Transition,
    Withdrawn,
)
from approvals.errors import Cancelled, IllegalTransition
from tests.domain.builders import MINUTE, NOON, approval, call, decision

LATER = NOON + MINUTE
DELAYED = Requirement(release_delay=2 * MINUTE, use_within=3 * MINUTE)


def approved(asked: Approval) -> Approval:
    step = machine.decide(asked, decision(of=asked), now=LATER, event_id="evt_1")
    assert step is not None
    return step.after


def sent(asked: Approval) -> Transition:
    return machine.send(approved(asked), token="token", process="prc", now=LATER, event_id="evt_2")


def by_caller() -> Approval:
    return approval(call=call(executor=Executor.CALLER))


def finished(status: ReleaseStatus) -> Transition:
    outcome = Outcome(status=status, detail="", at=LATER, delivered=True)
    return machine.finish(sent(approval()).after, outcome, token="token", event_id="evt_3")


def test_a_release_delay_moves_the_whole_window_of_use() -> None:
    state = approved(approval(DELAYED)).state
    assert state == Approved(
        decided_at=LATER, use_from=LATER + 2 * MINUTE, use_by=LATER + 5 * MINUTE
    )


def test_a_delayed_call_is_sent_from_the_end_of_its_delay_until_its_use_by() -> None:
    step = sent(approval(DELAYED))
    assert (step.valid_from, step.valid_until) == (LATER + 2 * MINUTE, LATER + 5 * MINUTE)
    lapsed = machine.lapse(step.before, now=NOON + 6 * MINUTE, event_id="evt_3")
    assert lapsed.valid_from == LATER + 5 * MINUTE


def test_a_call_may_be_revoked_while_its_delay_runs_and_says_why() -> None:
    step = machine.cancel(
        approved(approval(DELAYED)),
        CancelReason.REVOKED,
        actor="person:carol",
        now=LATER + MINUTE,
        event_id="evt_2",
        because="Wrong account.",
    )
    assert step.after.state == Withdrawn(reason=CancelReason.REVOKED, at=LATER + MINUTE)
    assert step.event.fact.actor == "person:carol"
    assert step.event.fact.detail == {"reason": "revoked", "because": "Wrong account."}


def test_who_comes_after_a_revocation_is_not_told_that_nobody_had_decided() -> None:
    revoked = machine.cancel(
        approved(approval()), CancelReason.REVOKED, actor="person:b", now=LATER, event_id="evt_2"
    ).after
    with pytest.raises(Cancelled) as refused:
        machine.check_undecided(revoked, now=LATER)
    assert "before it was decided" not in str(refused.value)


def test_a_withdrawal_without_a_reason_has_none_in_the_audit() -> None:
    step = machine.cancel(
        approval(), CancelReason.CANCELLED, actor="agent:x", now=LATER, event_id="evt_2"
    )
    assert step.event.fact.detail == {"reason": "cancelled"}


def test_only_the_sending_stops_at_a_freeze() -> None:
    assert sent(approval()).freezable
    assert not finished(ReleaseStatus.SUCCEEDED).freezable
    asked = approval()
    assert not machine.expire(asked, now=asked.expires_at, event_id="evt_1").freezable


def test_a_program_that_sends_for_itself_has_ten_minutes_to_tell_how_it_went() -> None:
    step = sent(by_caller())
    assert isinstance(step.after.state, Released)
    assert step.after.state.report_by == LATER + timedelta(minutes=10)
    assert step.event.fact.actor == "agent:trader-bot"
    assert step.event.fact.detail == {"digest": step.before.digest, "process": "prc"}


def test_what_the_gateway_sends_has_nobody_to_wait_for() -> None:
    step = sent(approval())
    assert isinstance(step.after.state, Released)
    assert step.after.state.report_by is None
    assert step.event.fact.actor == "service"


@pytest.mark.parametrize(
    ("asked", "detail"),
    [
        (approval(), "The service stopped after sending and before an answer came."),
        (by_caller(), "The program that sent the call did not tell how it went."),
    ],
    ids=["gateway", "caller"],
)
def test_a_lost_call_says_who_did_not_answer(asked: Approval, detail: str) -> None:
    step = machine.lose(sent(asked).after, now=LATER + 10 * MINUTE, event_id="evt_3")
    assert isinstance(step.after.state, Released)
    assert step.after.state.outcome == Outcome(
        status=ReleaseStatus.OUTCOME_UNKNOWN,
        detail=detail,
        at=LATER + 10 * MINUTE,
        delivered=False,
    )
    assert step.event.fact.type == "outcome_unknown"


def test_a_program_that_reports_is_named_in_the_audit() -> None:
    outcome = Outcome(status=ReleaseStatus.SUCCEEDED, detail="", at=LATER, delivered=True)
    step = machine.finish(
        sent(by_caller()).after,
        outcome,
        token="token",
        event_id="evt_3",
        actor="agent:trader-bot",
    )
    assert step.event.fact.actor == "agent:trader-bot"


@pytest.mark.parametrize("status", [s for s in ReleaseStatus if s is not ReleaseStatus.SENT])
def test_what_was_reserved_is_given_back_only_if_no_byte_went_out(status: ReleaseStatus) -> None:
    assert finished(status).gives_back is (status is ReleaseStatus.NOT_SENT)


def test_no_other_step_gives_anything_back() -> None:
    asked = approval()
    steps = (
        sent(asked),
        machine.lapse(approved(asked), now=NOON + 9 * MINUTE, event_id="e"),
        machine.expire(asked, now=asked.expires_at, event_id="e"),
        machine.lose(sent(asked).after, now=LATER, event_id="e"),
    )
    assert not any(step.gives_back for step in steps)


def test_input_is_given_to_a_call_that_is_being_sent_where_the_rule_lets_it() -> None:
    lets = approval(Requirement(allow_input=True))
    step = give(sent(lets).after)
    assert isinstance(step.after.state, Released)
    assert (step.after.state.process, step.after.version) == ("prc_2", step.before.version + 1)
    assert (step.event.fact.type, step.event.fact.actor) == ("input_given", "agent:trader-bot")
    assert step.event.fact.detail == {"input": "sha256:1", "process": "prc_2"}
    assert step.freezable
    assert not step.gives_back
    outcome = Outcome(status=ReleaseStatus.FAILED, detail="", at=LATER, delivered=False)
    ended = machine.finish(step.after, outcome, token="token", event_id="evt_5").after
    for illegal in (lets, approved(lets), ended, sent(approval()).after):
        with pytest.raises(IllegalTransition):
            give(illegal)


def give(released: Approval) -> Transition:
    return machine.give_input(
        released, given="sha256:1", process="prc_2", now=LATER, event_id="evt_9"
    )
