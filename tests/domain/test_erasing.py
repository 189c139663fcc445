"""What was asked and answered is forgotten after a while; that it was, and who decided, is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from approvals.domain import approval as machine
from approvals.domain.call import Executor
from approvals.domain.card import card
from approvals.domain.protected import protected_hash
from approvals.domain.refusal import refusal_of
from approvals.domain.states import (
    Answer,
    Approval,
    CancelReason,
    Outcome,
    Released,
    ReleaseStatus,
    Transition,
)
from approvals.errors import IllegalTransition
from tests.domain.builders import MINUTE, NOON, PEOPLE, approval, call, decision

LATER = NOON + MINUTE
HASHES = {"arguments": "k:1", "summary": "k:2"}


def approved(asked: Approval) -> Approval:
    step = machine.decide(asked, decision(of=asked), now=LATER, event_id="evt_1")
    assert step is not None
    return step.after


def denied(asked: Approval) -> Approval:
    said = decision(answer=Answer.DENY, of=asked, reason="Wrong account.")
    step = machine.decide(asked, said, now=LATER, event_id="evt_1")
    assert step is not None
    return step.after


def sent(asked: Approval) -> Approval:
    step = machine.send(approved(asked), token="t", process="p", now=LATER, event_id="evt_2")
    return step.after


def finished(
    asked: Approval, status: ReleaseStatus = ReleaseStatus.SUCCEEDED, *, token: str = "t"
) -> Transition:
    outcome = Outcome(
        status=status,
        detail="order 7 is done",
        at=LATER,
        delivered=True,
        result_hash="sha256:r",
        result_size=2,
    )
    return machine.finish(asked, outcome, token=token, event_id="evt_3", result='{"order":7}')


def erased(ended: Approval) -> Approval:
    return machine.erase(ended, hashes=HASHES, now=LATER, event_id="evt_9").after


BY_CALLER = call(executor=Executor.CALLER, justification="It is stale.")


def test_nothing_that_may_hold_a_value_is_left() -> None:
    done = finished(sent(approval(call=BY_CALLER))).after
    after = erased(done)
    assert (after.call.arguments, after.call.argument_order) == ("{}", ())
    assert after.call.justification is None
    assert after.summary == "binance_us_cancel_order (arguments erased)"
    assert isinstance(after.state, Released)
    assert after.state.outcome is not None
    assert after.state.outcome.detail == "What the program said of it is no longer kept."
    assert "BTCUSD" not in repr(after)
    assert "order 7" not in repr(after)


def test_everything_else_stays_with_an_event_that_holds_the_keyed_hashes() -> None:
    ended = denied(approval())
    erasure = machine.erase(ended, hashes=HASHES, now=LATER, event_id="evt_9")
    call_ = replace(ended.call, arguments="{}", argument_order=())
    assert erasure.after == replace(
        ended,
        call=call_,
        summary="binance_us_cancel_order (arguments erased)",
        erased="k:1",
        version=ended.version + 1,
        head=erasure.event.head,
    )
    assert erasure.event.fact.type == "erased"
    assert erasure.event.fact.detail == {"hashes": HASHES}
    assert erasure.event.protected == protected_hash(erasure.after)
    assert (erasure.before, erasure.op_id) == (ended, "evt_9")


def test_the_texts_to_hash_are_those_that_are_erased() -> None:
    done = finished(sent(approval(call=BY_CALLER))).after
    assert machine.what_is_erased(done) == {
        "arguments": '{"orderId":12345,"symbol":"BTCUSD"}',
        "summary": "Cancel order 12345 on BTCUSD",
        "justification": "It is stale.",
        "detail": "order 7 is done",
    }
    assert set(machine.what_is_erased(denied(approval()))) == {"arguments", "summary"}
    assert set(machine.what_is_erased(sent(approval()))) == {"arguments", "summary"}


@pytest.mark.parametrize(
    "open_",
    [approval(), approved(approval()), sent(approval()), erased(denied(approval()))],
    ids=["pending", "approved", "sent", "erased"],
)
def test_only_what_has_ended_is_erased_and_only_once(open_: Approval) -> None:
    with pytest.raises(IllegalTransition):
        machine.erase(open_, hashes=HASHES, now=LATER, event_id="evt_9")


def test_the_gateways_own_words_on_an_outcome_stay() -> None:
    after = erased(finished(sent(approval())).after)
    assert isinstance(after.state, Released)
    assert after.state.outcome is not None
    assert after.state.outcome.detail == "order 7 is done"


def test_what_a_program_says_of_a_run_is_in_no_event_and_what_the_gateway_says_is() -> None:
    by_program = finished(sent(approval(call=BY_CALLER))).event.fact.detail
    assert by_program == {"result": "sha256:r"}
    by_gateway = finished(sent(approval())).event.fact.detail
    assert by_gateway == {"result": "sha256:r", "detail": "order 7 is done"}


def test_a_late_report_of_an_erased_call_corrects_its_status_and_brings_nothing_back() -> None:
    asked = sent(approval(call=BY_CALLER))
    lost = erased(finished(asked, ReleaseStatus.OUTCOME_UNKNOWN).after)
    late = finished(lost)
    assert late.result is None
    assert isinstance(late.after.state, Released)
    assert late.after.state.release_status is ReleaseStatus.SUCCEEDED
    assert "order 7" not in repr(late.after)


def test_the_card_does_not_show_an_empty_call() -> None:
    shown = card(erased(denied(approval())), directory=PEOPLE, now=LATER)
    assert shown.arguments == ()
    assert shown.notes[0] == "The arguments are no longer kept."
    assert shown.question == "binance_us_cancel_order (arguments erased)?"
    assert not shown.complete


def test_an_agent_is_not_told_of_an_empty_call() -> None:
    message = refusal_of(erased(denied(approval()))).message
    assert "a person denied this call. binance_us_cancel_order did not reach" in message


def test_after_a_restore_nobody_is_told_that_the_call_did_not_run() -> None:
    gone = machine.cancel(
        approved(approval()), CancelReason.RESTORED, actor="service", now=LATER, event_id="evt_2"
    ).after
    refusal = refusal_of(gone)
    assert refusal.code == "outcome_unknown"
    assert refusal.message.startswith("OUTCOME UNKNOWN: the approval service was restored")
    assert not refusal.retry_allowed
    shown = card(gone, directory=PEOPLE, now=LATER)
    assert "it may have run" in shown.outcome


@pytest.mark.parametrize("executor", list(Executor))
def test_after_a_restore_no_report_is_waited_for(executor: Executor) -> None:
    asked = sent(approval(call=call(executor=executor)))
    step = machine.lose(asked, now=LATER, event_id="evt_3", restored=True)
    assert step.valid_from is None
    assert isinstance(step.after.state, Released)
    assert step.after.state.outcome is not None
    assert step.after.state.outcome.detail.startswith("The database was restored from a backup")
