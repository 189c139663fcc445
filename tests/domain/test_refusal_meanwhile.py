"""What an agent reads when something came between the approval and the sending, or who denied."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from approvals.domain import refusal
from approvals.domain.approval import decide
from approvals.domain.limits import Charge, scaled
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.refused import Code
from approvals.domain.states import Answer, Approval
from tests.domain.builders import MINUTE, NOON, approval, decision

LATER = NOON + MINUTE
RULE = "/tools/binance_us_cancel_order/require_approval_if/0"
FULL = Charge(
    pointer="/tools/t/limits/0",
    key="k",
    amount=scaled(1),
    max_=scaled(1),
    start=NOON,
    end=NOON + timedelta(minutes=5),
)


def denied(requirement: Requirement, *, reason: str | None = "Wrong.") -> Approval:
    asked = approval(requirement)
    said = decision(answer=Answer.DENY, of=asked, reason=reason)
    step = decide(asked, said, now=LATER, event_id="evt_1")
    assert step is not None
    return step.after


def test_a_limit_that_is_full_at_the_sending_leaves_the_call_approved() -> None:
    said = refusal.limit_reached(approval(), FULL, NOON)
    assert (said.code, said.rule, said.retry_after) == (
        Code.RATE_LIMITED,
        "/tools/t/limits/0",
        300,
    )
    assert said.retry_allowed
    assert said.message == (
        "NOT EXECUTED: the limit for such calls is reached. It starts anew in 5 minutes. Send the "
        "same call again then, not before. It stays approved for a while. (apr_0123456789abcdef)"
    )


def test_a_call_that_is_frozen_after_its_approval_names_it() -> None:
    said = refusal.frozen_meanwhile(approval(), "Incident.")
    assert (said.code, said.rule, said.approval_id) == (
        Code.FROZEN,
        RULE,
        "apr_0123456789abcdef",
    )
    assert not said.retry_allowed
    assert said.message == (
        "NOT EXECUTED: calls are frozen by an admin: Incident. Do not retry until your user tells "
        "you that they are released. (apr_0123456789abcdef)"
    )


def test_a_deadline_is_told_in_the_zone_of_the_configuration() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert "until 13:15 CET (" in refusal.pending(approval(), berlin).message
    assert refusal.refusal_of(approval(), berlin) == refusal.pending(approval(), berlin)


@pytest.mark.parametrize(
    ("approvers", "by"),
    [
        ({"group:trading"}, " by trading"),
        ({"person:bob"}, " by an approver"),
        ({"person:bob", "person:carol", "group:trading"}, " by an approver or trading"),
        ({"everyone"}, ""),
    ],
)
def test_the_agent_is_told_groups_and_no_person(approvers: set[str], by: str) -> None:
    after = denied(Requirement(stages=(Stage(approvers=frozenset(approvers)),)))
    message = refusal.refusal_of(after).message
    assert f'Reason given{by}: "Wrong.".' in message
    assert "Bob" not in message


def test_the_agent_is_told_the_person_where_the_policy_says_so() -> None:
    after = denied(Requirement(name_approvers=True))
    assert 'Reason given by Bob: "Wrong.".' in refusal.refusal_of(after).message


def test_hidden_values_are_not_repeated_to_the_agent() -> None:
    asked = approval(hidden=("/symbol",))
    step = decide(asked, decision(answer=Answer.DENY, of=asked), now=LATER, event_id="evt_1")
    assert step is not None
    message = refusal.refusal_of(step.after).message
    assert 'binance_us_cancel_order(symbol "[hidden]", orderId 12345)' in message
    assert "BTCUSD" not in message
