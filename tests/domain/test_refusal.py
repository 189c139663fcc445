"""What an agent reads when a call does not run: every sentence of it is part of the product."""

from __future__ import annotations

import pytest

from approvals.domain import refusal
from approvals.domain.approval import cancel, decide, expire, finish, lapse, send
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.refusal import refusal_of
from approvals.domain.refused import Code, Refusal
from approvals.domain.states import Answer, Approval, CancelReason, Outcome, ReleaseStatus
from tests.domain.builders import MINUTE, NOON, approval, call, decision

LATER = NOON + MINUTE
ID = "apr_0123456789abcdef"
RULE = "/tools/binance_us_cancel_order/require_approval_if/0"
TRADING = Requirement(stages=(Stage(approvers=frozenset({"group:trading"})),))


def told(after: Approval) -> Refusal:
    return refusal_of(after)


def answered(
    answer: Answer = Answer.APPROVE, *, asked: Approval | None = None, reason: str | None = None
) -> Approval:
    before = asked or approval(TRADING)
    said = decision(answer=answer, of=before, reason=reason)
    step = decide(before, said, now=LATER, event_id="evt_1")
    assert step is not None
    return step.after


def released(status: ReleaseStatus) -> Approval:
    sent = send(answered(), token="t", process="p", now=LATER, event_id="evt_2").after
    outcome = Outcome(status=status, detail="", at=LATER, delivered=True)
    return finish(sent, outcome, token="t", event_id="evt_3").after


def withdrawn(reason: CancelReason) -> Approval:
    return cancel(approval(), reason, actor="service", now=LATER, event_id="evt_1").after


def test_a_denial_says_what_did_not_run_why_and_what_not_to_do() -> None:
    assert told(answered(Answer.DENY, reason="Wrong order, 12354 was meant.")) == Refusal(
        code=Code.APPROVAL_DENIED,
        rule=RULE,
        approval_id=ID,
        message=(
            "NOT EXECUTED: a person denied this call. "
            'binance_us_cancel_order(symbol "BTCUSD", orderId 12345) did not reach the exchange. '
            'Reason given by trading: "Wrong order, 12354 was meant.". '
            "Do not send this call again and do not seek the same effect with another tool. "
            "Tell your user what was denied and why, and ask how to continue. "
            "(apr_0123456789abcdef)"
        ),
    )


def test_a_denial_without_a_reason_names_nobody() -> None:
    assert told(answered(Answer.DENY)).message == (
        "NOT EXECUTED: a person denied this call. "
        'binance_us_cancel_order(symbol "BTCUSD", orderId 12345) did not reach the exchange. '
        "Do not send this call again and do not seek the same effect with another tool. "
        "Tell your user what was denied and why, and ask how to continue. (apr_0123456789abcdef)"
    )


def test_the_agent_is_told_the_group_and_not_the_person_who_denied() -> None:
    both = Requirement(stages=(Stage(approvers=frozenset({"group:trading"})), Stage()))
    message = told(answered(Answer.DENY, asked=approval(both), reason="No")).message
    assert 'Reason given by trading: "No".' in message
    assert "Bob" not in message


def test_the_reason_and_the_call_are_quoted_and_escaped() -> None:
    asked = approval(call=call({"to\u200b": "a\u202eb"}, tool="pay\u200b"))
    message = told(answered(Answer.DENY, asked=asked, reason='say "no"\n now\u202e')).message
    assert r'pay\u200b(to\u200b "a\u202eb") did not reach' in message
    assert r'"say \"no\" now\u202e"' in message


def test_the_call_is_repeated_to_at_most_400_characters() -> None:
    asked = approval(call=call({"a": "x" * 500}, tool="t"))
    message = told(answered(Answer.DENY, asked=asked)).message
    assert f't(a "{"x" * 396}…) did not reach' in message


def test_an_expired_call_may_be_sent_once_more() -> None:
    after = expire(approval(), now=NOON + 15 * MINUTE, event_id="evt_1").after
    assert told(after) == Refusal(
        code=Code.EXPIRED,
        rule=RULE,
        approval_id=ID,
        retry_allowed=True,
        message=(
            "NOT EXECUTED: nobody answered within 15 minutes, so the call was denied. You may ask "
            "your user to alert an approver, then send the same call once more. "
            "(apr_0123456789abcdef)"
        ),
    )


def test_a_pending_call_may_be_waited_for() -> None:
    expected = Refusal(
        code=Code.PENDING,
        rule=RULE,
        approval_id=ID,
        retry_allowed=True,
        expires_at=NOON + 15 * MINUTE,
        message=(
            "NOT EXECUTED YET: this call waits for a person until 12:15 UTC "
            "(apr_0123456789abcdef). Continue with other work, or send exactly the same call "
            "again to go on waiting; it will not be asked or run twice. Do not change the "
            "arguments."
        ),
    )
    assert refusal.pending(approval()) == expected
    assert told(approval()) == expected


@pytest.mark.parametrize(
    ("reason", "code", "retry_allowed", "message"),
    [
        (
            CancelReason.CANCELLED,
            Code.CANCELLED,
            False,
            (
                "NOT EXECUTED: the request was withdrawn. Ask your user before you send it again. "
                "(apr_0123456789abcdef)"
            ),
        ),
        (
            CancelReason.REVOKED,
            Code.CANCELLED,
            False,
            (
                "NOT EXECUTED: an approver took this call back before it was sent. Tell your "
                "user, and do not seek the same effect with another tool. (apr_0123456789abcdef)"
            ),
        ),
        (
            CancelReason.POLICY_CHANGED,
            Code.POLICY_CHANGED,
            True,
            (
                "NOT EXECUTED: the policy changed while the call waited. What was asked is no "
                "longer what the policy asks. Send the same call once more to have it judged anew. "
                "(apr_0123456789abcdef)"
            ),
        ),
        (
            CancelReason.DEFINITION_CHANGED,
            Code.DEFINITION_CHANGED,
            False,
            (
                "NOT EXECUTED: the server changed the tool's definition while the call waited. "
                "What was approved is no longer what would run. Read the tool list again first. "
                "(apr_0123456789abcdef)"
            ),
        ),
    ],
)
def test_a_withdrawn_call_says_why(
    reason: CancelReason, code: Code, retry_allowed: bool, message: str
) -> None:
    assert told(withdrawn(reason)) == Refusal(
        code=code, rule=RULE, approval_id=ID, retry_allowed=retry_allowed, message=message
    )


def test_an_approval_that_lapsed_may_be_asked_anew() -> None:
    after = lapse(answered(), now=NOON + 6 * MINUTE, event_id="evt_2").after
    assert told(after) == Refusal(
        code=Code.LAPSED,
        rule=RULE,
        approval_id=ID,
        retry_allowed=True,
        message=(
            "NOT EXECUTED: the approval was not used in time. It was given and nobody was "
            "waiting. Send the same call again to ask anew. (apr_0123456789abcdef)"
        ),
    )


@pytest.mark.parametrize(
    ("status", "code", "retry_allowed", "message"),
    [
        (
            ReleaseStatus.NOT_SENT,
            Code.NOT_SENT,
            True,
            (
                "NOT EXECUTED: the call was approved but could not be sent. It did not reach the "
                "tool. Send the same call again to ask anew. (apr_0123456789abcdef)"
            ),
        ),
        (
            ReleaseStatus.FAILED,
            Code.FAILED,
            False,
            (
                "FAILED: the call was approved and sent, and the tool reported an error. It may "
                "have acted. Do not repeat it. Ask your user to check. (apr_0123456789abcdef)"
            ),
        ),
        (
            ReleaseStatus.OUTCOME_UNKNOWN,
            Code.OUTCOME_UNKNOWN,
            False,
            (
                "OUTCOME UNKNOWN: the call was approved and sent, but no answer came back. It may "
                "have run. Do not repeat it. Ask your user to check. (apr_0123456789abcdef)"
            ),
        ),
    ],
)
def test_a_release_that_brought_no_result_says_whether_it_may_have_run(
    status: ReleaseStatus, code: Code, retry_allowed: bool, message: str
) -> None:
    assert told(released(status)) == Refusal(
        code=code, rule=RULE, approval_id=ID, retry_allowed=retry_allowed, message=message
    )


def test_a_call_that_ran_and_whose_result_is_gone_is_not_sent_again() -> None:
    said = refusal_of(released(ReleaseStatus.SUCCEEDED))
    assert said.message.startswith("EXECUTED: the call was approved and ran")
    assert not said.retry_allowed


def test_a_call_that_is_underway_does_not_run_twice() -> None:
    approved = answered()
    sent = send(approved, token="t", process="p", now=NOON + MINUTE, event_id="evt_2").after
    for asked, how in (
        (approved, "NOT EXECUTED YET: the call was approved and is about to be sent."),
        (sent, "SENT: the call was approved and sent, and its answer is not here yet."),
    ):
        assert refusal.refusal_of(asked) == Refusal(
            code=Code.PENDING,
            rule=RULE,
            approval_id=ID,
            retry_allowed=True,
            message=(
                f"{how} Send exactly the same call again to get its answer; it will not run "
                "twice. (apr_0123456789abcdef)"
            ),
        )


def test_an_approved_call_whose_server_is_away_may_be_sent_again_soon() -> None:
    assert refusal.unreachable(answered(), "The server does not answer.") == Refusal(
        code=Code.UNAVAILABLE,
        rule=RULE,
        approval_id=ID,
        retry_allowed=True,
        retry_after=5,
        message=(
            "NOT EXECUTED: the call was approved, but it could not be sent. The server does not "
            "answer. Send exactly the same call again soon; nobody has to be asked again for now. "
            "(apr_0123456789abcdef)"
        ),
    )


def test_a_result_too_large_to_keep_is_not_an_invitation_to_repeat_the_call() -> None:
    assert refusal.too_large_to_keep(answered()) == Refusal(
        code=Code.FAILED,
        rule=RULE,
        approval_id=ID,
        message=(
            "EXECUTED: the call was approved and ran, and its result was too large to keep. "
            "Do not repeat it. Ask your user to check. (apr_0123456789abcdef)"
        ),
    )


def test_of_a_call_that_cannot_be_looked_at_nobody_says_that_it_did_not_run() -> None:
    said = refusal.out_of_sight(approval())
    assert (said.code, said.retry_allowed, said.retry_after) == (Code.OUTCOME_UNKNOWN, True, 5)
    assert said.approval_id == approval().id
    assert said.message.startswith("OUTCOME UNKNOWN: the call was held, and how it stands cannot")
    assert "not be asked or run twice" in said.message


def test_a_result_that_cannot_be_read_now_can_be_had_by_asking_again() -> None:
    said = refusal.unreadable(released(ReleaseStatus.SUCCEEDED))
    assert said.message.startswith("EXECUTED: the call was approved and ran, and its result cannot")
    assert said.retry_allowed


def test_what_a_client_may_show_while_it_waits_names_the_deadline_and_the_approval() -> None:
    asked = approval()
    said = refusal.waiting_for(asked)
    assert said == f"Waiting for a person until 12:15 UTC ({asked.id})."


def test_a_pending_call_names_the_page_where_a_person_decides() -> None:
    where = "A person decides at https://approvals.example/a/apr_0123456789abcdef "
    said = refusal.refusal_of(approval(), pages="https://approvals.example").message
    assert f"{where}Continue with other work" in said
    waiting = refusal.waiting_for(approval(), pages="https://approvals.example")
    assert waiting.endswith(where.rstrip())
