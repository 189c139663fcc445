"""What an agent reads of a call that has no approval: whether it ran, why, and what now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from approvals.domain import refused
from approvals.domain.limits import Charge, scaled
from approvals.domain.refused import Code, Refusal
from tests.domain.builders import NOON


def charge(*, amount: int = 1, most: int = 10, seconds: float = 40) -> Charge:
    return Charge(
        pointer="/tools/t/limits/0",
        key="k",
        amount=scaled(amount),
        max_=scaled(most),
        start=NOON,
        end=NOON + timedelta(seconds=seconds),
    )


def test_a_blocked_call_says_why_and_that_retrying_is_useless() -> None:
    assert refused.blocked("Above the desk limit.", "/tools/x/deny_if/0") == Refusal(
        code=Code.POLICY_DENIED,
        rule="/tools/x/deny_if/0",
        message=(
            "NOT EXECUTED: the policy does not allow this call: Above the desk limit. "
            "Retrying will not help."
        ),
    )
    assert refused.blocked("", "(default deny)").message == (
        "NOT EXECUTED: the policy does not allow this call: a rule of it says no. "
        "Retrying will not help."
    )
    assert r"no\u202e." in refused.blocked("no\u202e", "x").message


def test_arguments_that_do_not_fit_may_be_corrected() -> None:
    assert refused.invalid_arguments("orderId: must be an integer.\u202e") == Refusal(
        code=Code.INVALID_ARGUMENTS,
        retry_allowed=True,
        message=(
            "NOT EXECUTED: the arguments do not fit the tool: orderId: must be an integer."
            r"\u202e Correct them and call again."
        ),
    )


def test_a_call_that_could_not_be_judged_was_not_run() -> None:
    assert refused.unavailable("The database does not answer.", retry_after=7) == Refusal(
        code=Code.UNAVAILABLE,
        retry_allowed=True,
        retry_after=7,
        message=(
            "NOT EXECUTED: the call could not be judged. The database does not answer. "
            "Try again in a moment."
        ),
    )


def test_an_allowed_call_whose_answer_was_lost_is_not_to_be_repeated() -> None:
    assert refused.answer_lost() == Refusal(
        code=Code.OUTCOME_UNKNOWN,
        message=(
            "OUTCOME UNKNOWN: the call was sent, but no answer came back. It may have run. Do not "
            "repeat it. Ask your user to check."
        ),
    )


def test_a_blocked_call_gets_a_full_stop_where_the_policy_has_none() -> None:
    for said, shown in (
        ("No", "No."),
        ("No!", "No!"),
        ("Why?", "Why?"),
        ("  ", "a rule of it says no."),
    ):
        assert f"this call: {shown} Retrying" in refused.blocked(said, "x").message


def test_a_call_without_a_justification_is_told_how_to_give_it() -> None:
    assert refused.unjustified("/tools/t/justification") == Refusal(
        code=Code.POLICY_DENIED,
        rule="/tools/t/justification",
        retry_allowed=True,
        message=(
            "NOT EXECUTED: the policy wants a justification for this call, and it has none. Send "
            "the same call again with your reason, in a sentence for the person who decides: over "
            'MCP as the text at "mcp-approvals/justification" in `_meta`, over REST as '
            "`justification`."
        ),
    )


def test_a_frozen_call_is_not_retried_before_the_user_says_so() -> None:
    assert refused.frozen("Something is wrong\u202e") == Refusal(
        code=Code.FROZEN,
        message=(
            r"NOT EXECUTED: calls are frozen by an admin: Something is wrong\u202e. Do not "
            "retry until your user tells you that they are released."
        ),
    )


def test_a_call_of_a_changed_tool_is_for_an_admin_first() -> None:
    assert refused.definition_not_accepted() == Refusal(
        code=Code.DEFINITION_CHANGED,
        message=(
            "NOT EXECUTED: the server changed the definition of this tool, and no admin has "
            "accepted the change. Nobody was asked about the call. Tell your user; once the change "
            "is accepted, read the tool list again before you call."
        ),
    )


def test_an_agent_with_too_many_waiting_calls_is_asked_to_wait() -> None:
    assert refused.too_many_pending(20) == Refusal(
        code=Code.TOO_MANY_PENDING,
        retry_allowed=True,
        retry_after=30,
        message=(
            "NOT EXECUTED: 20 calls of this agent already wait for a person. Wait until some of "
            "them are decided, then send this call again."
        ),
    )


def test_a_full_limit_says_when_it_starts_anew() -> None:
    assert refused.rate_limited(charge(), NOON) == Refusal(
        code=Code.RATE_LIMITED,
        rule="/tools/t/limits/0",
        retry_allowed=True,
        retry_after=40,
        message=(
            "NOT EXECUTED: the limit for such calls is reached. It starts anew in 40 seconds. "
            "Send the same call again then, not before."
        ),
    )


@pytest.mark.parametrize(
    ("seconds", "wait"), [(0.2, 1), (0, 1), (-5, 1), (1.000001, 2), (3600, 3600)]
)
def test_the_agent_is_never_sent_back_too_early(seconds: float, wait: int) -> None:
    assert refused.rate_limited(charge(seconds=seconds), NOON).retry_after == wait


def test_a_rule_on_the_time_may_let_the_same_call_through_later() -> None:
    said = refused.blocked("closed", "/p", timely=True).message
    assert said.endswith("Retrying now will not help.")


def test_an_amount_that_never_fits_is_not_retried() -> None:
    said = refused.rate_limited(charge(amount=11, most=10), datetime(2026, 11, 20, tzinfo=UTC))
    assert (said.code, said.retry_allowed) == (Code.POLICY_DENIED, False)
    assert said.message == (
        "NOT EXECUTED: the policy does not allow this call: the limit never has room for it. "
        "Retrying will not help."
    )
