"""Each fact of a call's life is counted once, under its own name, and no other fact is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from approvals.domain import approval as machine
from approvals.domain.call import Executor
from approvals.domain.chain import Fact
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.states import (
    Answer,
    Approval,
    CancelReason,
    Outcome,
    Parking,
    Released,
    ReleaseStatus,
    Transition,
)
from approvals.ports import GiveBack, Operation, Record
from approvals.telemetry.meter import PrometheusMeter
from tests.domain.builders import NOON, approval, call, decision
from tests.telemetry.reading import counted

SECOND = timedelta(seconds=1)
DECIDED = NOON + 90 * SECOND


def told(*operations: Operation, late: timedelta = timedelta(0)) -> dict[str, float]:
    """What a meter shows that was told these, each committed so late after it happened."""
    meter = PrometheusMeter()
    for operation in operations:
        meter.committed(operation, at=happened(operation) + late)
    return counted(meter)


def happened(operation: Operation) -> datetime:
    match operation:
        case Parking() | Transition():
            return operation.event.fact.at
        case Record():
            return operation.fact.at
    return NOON


def deciding(
    asked: Approval, answer: Answer = Answer.APPROVE, *, by: str = "bob", channel: str = "rest"
) -> Transition:
    said = replace(decision(by, answer, of=asked, at=DECIDED), channel=channel)
    step = machine.decide(asked, said, now=DECIDED, event_id="evt_1")
    assert step is not None
    return step


def sending(asked: Approval) -> Transition:
    """Two seconds after it was approved."""
    approved, now = deciding(asked).after, DECIDED + 2 * SECOND
    return machine.send(approved, token="t", process="prc", now=now, event_id="evt_2")


def finishing(sent: Approval, status: ReleaseStatus = ReleaseStatus.SUCCEEDED) -> Transition:
    """Three seconds after it was sent."""
    assert isinstance(sent.state, Released)
    at = sent.state.sent_at + 3 * SECOND
    outcome = Outcome(status=status, detail="", at=at, delivered=False)
    return machine.finish(sent, outcome, token="t", event_id="evt_3")


def recorded(type_: str) -> Record:
    fact = Fact(id="evt", type=type_, actor="agent:x", at=NOON, detail={})
    return Record(stream="prc", fact=fact)


def test_parking_is_a_verdict_and_a_parked_call() -> None:
    asked = approval()
    assert told(machine.park(asked, event_id="evt_0", max_pending=1)) == {
        'approvals_verdicts_total{verdict="require_approval"}': 1,
        "approvals_parked_total": 1,
    }


@pytest.mark.parametrize(
    ("event", "name"),
    [
        ("call_allow", 'approvals_verdicts_total{verdict="allow"}'),
        ("call_deny", 'approvals_verdicts_total{verdict="deny"}'),
        ("call_hide", 'approvals_verdicts_total{verdict="hide"}'),
        ("call_frozen", 'approvals_refusals_total{reason="frozen"}'),
        ("call_limited", 'approvals_refusals_total{reason="limit_reached"}'),
        ("call_too_many_pending", 'approvals_refusals_total{reason="too_many_pending"}'),
        ("call_unknown_tool", 'approvals_refusals_total{reason="unknown_tool"}'),
    ],
)
def test_a_call_that_is_not_parked_is_counted_by_what_became_of_it(event: str, name: str) -> None:
    assert told(recorded(event)) == {name: 1}


def test_other_operations_are_no_facts_of_calls() -> None:
    assert told(recorded("reloaded"), GiveBack(holder="x")) == {}


def test_an_approval_is_a_decision_an_end_of_asking_and_a_wait() -> None:
    assert told(deciding(approval())) == {
        'approvals_decisions_total{channel="rest",decision="approve"}': 1,
        'approvals_ended_total{status="approved"}': 1,
        "approvals_wait_seconds_count": 1,
        "approvals_wait_seconds_sum": 90,
    }


def test_a_denial_is_one_too_and_of_a_channel_only_its_kind_is_told() -> None:
    assert told(deciding(approval(), Answer.DENY, channel="slack:#trading")) == {
        'approvals_decisions_total{channel="slack",decision="deny"}': 1,
        'approvals_ended_total{status="denied"}': 1,
        "approvals_wait_seconds_count": 1,
        "approvals_wait_seconds_sum": 90,
    }


def test_a_surface_nobody_has_heard_of_makes_no_series_of_its_own() -> None:
    found = told(deciding(approval(), channel="pager:+15550100"))
    assert found['approvals_decisions_total{channel="other",decision="approve"}'] == 1


def test_a_decision_below_the_quorum_ends_nothing() -> None:
    first = deciding(approval(Requirement(stages=(Stage(required=2),))))
    assert told(first) == {'approvals_decisions_total{channel="rest",decision="approve"}': 1}
    second = deciding(first.after, by="carol")
    assert told(first, second)["approvals_wait_seconds_count"] == 1


def test_reminders_and_extensions_are_no_facts_of_their_own() -> None:
    asked = approval()
    until = asked.expires_at + SECOND
    extending = machine.extend(asked, until, actor="person:bob", now=NOON, event_id="evt_1")
    reminding = machine.remind(asked, now=asked.expires_at - SECOND, event_id="evt_1")
    assert told(extending, reminding) == {}


def test_an_expiry_is_as_late_as_its_commit_and_is_no_wait_for_people() -> None:
    asked = approval()
    step = machine.expire(asked, now=asked.expires_at + SECOND, event_id="evt_1")
    assert told(step, late=SECOND / 4) == {
        'approvals_ended_total{status="expired"}': 1,
        "approvals_expiry_lag_seconds_count": 1,
        "approvals_expiry_lag_seconds_sum": 1.25,
    }


def test_a_clock_that_was_set_back_makes_no_negative_time() -> None:
    asked = approval()
    step = machine.expire(asked, now=asked.expires_at, event_id="evt_1")
    assert "approvals_expiry_lag_seconds_sum" not in told(step, late=-SECOND)


def test_a_withdrawn_call_and_one_not_used_in_time_end_too() -> None:
    asked = approval()
    cancelled = machine.cancel(
        asked, CancelReason.CANCELLED, actor="agent:x", now=NOON, event_id="evt_1"
    )
    assert told(cancelled) == {'approvals_ended_total{status="cancelled"}': 1}
    approved = deciding(asked)
    lapsed = machine.lapse(approved.after, now=NOON + timedelta(days=1), event_id="evt_2")
    found = told(approved, lapsed)
    assert found['approvals_ended_total{status="lapsed"}'] == 1
    assert found['approvals_ended_total{status="approved"}'] == 1


def test_sending_takes_from_the_approval_to_the_sending() -> None:
    assert told(sending(approval())) == {
        "approvals_decide_to_release_seconds_count": 1,
        "approvals_decide_to_release_seconds_sum": 2,
    }


def test_a_release_delay_that_a_rule_asks_for_is_not_the_services_slowness() -> None:
    delayed = approval(Requirement(release_delay=timedelta(minutes=5)))
    approved = deciding(delayed).after
    now = DECIDED + timedelta(minutes=5, seconds=1)
    step = machine.send(approved, token="t", process="prc", now=now, event_id="evt_2")
    assert told(step)["approvals_decide_to_release_seconds_sum"] == 1


@pytest.mark.parametrize("status", [ReleaseStatus.SUCCEEDED, ReleaseStatus.FAILED])
def test_an_answer_took_its_server_a_while(status: ReleaseStatus) -> None:
    assert told(finishing(sending(approval()).after, status)) == {
        f'approvals_released_total{{outcome="{status}"}}': 1,
        "approvals_upstream_seconds_count": 1,
        "approvals_upstream_seconds_sum": 3,
    }


@pytest.mark.parametrize("status", [ReleaseStatus.NOT_SENT, ReleaseStatus.OUTCOME_UNKNOWN])
def test_without_an_answer_there_is_no_time_of_the_server(status: ReleaseStatus) -> None:
    found = told(finishing(sending(approval()).after, status))
    assert found == {f'approvals_released_total{{outcome="{status}"}}': 1}


def test_how_long_a_program_took_is_not_how_long_a_server_did() -> None:
    asked = approval(call=call(executor=Executor.CALLER))
    found = told(finishing(sending(asked).after))
    assert found == {'approvals_released_total{outcome="succeeded"}': 1}


def test_a_late_result_is_counted_beside_the_unknown_outcome_it_corrects() -> None:
    lost = machine.lose(sending(approval()).after, now=DECIDED + 20 * SECOND, event_id="evt_3")
    late = finishing(lost.after)
    found = told(lost, late)
    assert found['approvals_released_total{outcome="outcome_unknown"}'] == 1
    assert found['approvals_released_total{outcome="succeeded"}'] == 1


def test_handing_the_outcome_to_a_client_is_not_a_second_release() -> None:
    done = finishing(sending(approval()).after)
    given = machine.hand_over(done.after, delivered=True, now=DECIDED, event_id="evt_4")
    assert told(given) == {}
