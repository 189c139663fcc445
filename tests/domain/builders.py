"""Values for tests of the domain: a call, an approval, a decision, each with what matters named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from approvals.domain.approval import park
from approvals.domain.call import Call, Executor, ToolDefinition, canonical_arguments
from approvals.domain.classify import classify
from approvals.domain.digest import digest
from approvals.domain.directory import Agent, Assurance, Directory, Person, Role
from approvals.domain.quorum import Requirement
from approvals.domain.risk import Category, risk_of
from approvals.domain.states import Answer, Approval, Decision

if TYPE_CHECKING:
    from approvals.domain.strictjson import Json

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

PEOPLE = Directory(
    people={
        "alice": Person(name="alice"),
        "bob": Person(name="bob"),
        "carol": Person(name="carol", roles=frozenset({Role.APPROVER, Role.ADMIN})),
        "dan": Person(name="dan", roles=frozenset({Role.AUDITOR})),
    },
    groups={"trading": frozenset({"alice", "bob", "carol"})},
    agents={"trader-bot": Agent(name="trader-bot", owner="alice", servers=frozenset({"exchange"}))},
)


def call(arguments: dict[str, Json] | None = None, **changes: object) -> Call:
    """trader-bot cancels order 12345."""
    given: dict[str, Json] = (
        {"symbol": "BTCUSD", "orderId": 12345} if arguments is None else arguments
    )
    base = Call(
        executor=Executor.GATEWAY,
        server="exchange",
        tool="binance_us_cancel_order",
        arguments=canonical_arguments(given),
        agent="trader-bot",
        owner="alice",
        argument_order=tuple(given),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def defined(description: str = "", **changes: object) -> ToolDefinition:
    """What the server says of a tool `t`."""
    base = ToolDefinition(
        name="t", description=description, hash="sha256:d", classified=classify("t")
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def approval(requirement: Requirement | None = None, **changes: object) -> Approval:
    """A parked call, asked at noon, denied at 12:15 if nobody answers."""
    asked, required = call(), requirement or Requirement()
    base = Approval(
        id="apr_0123456789abcdef",
        call=asked,
        identity="k:identity",
        requirement=required,
        digest=digest(asked, required, revision=1),
        policy_hash="sha256:policy",
        rule="/tools/binance_us_cancel_order/require_approval_if/0",
        message="",
        summary="Cancel order 12345 on BTCUSD",
        risk=risk_of(Category.FINANCIAL),
        channels=("log",),
        created_at=NOON,
        expires_at=NOON + required.timeout,
    )
    return park(replace(base, **changes), event_id="evt_0", max_pending=20).approval  # type: ignore[arg-type]


def decision(
    person: str = "bob",
    answer: Answer = Answer.APPROVE,
    *,
    of: Approval,
    at: datetime = NOON + MINUTE,
    stages: frozenset[int] = frozenset({0}),
    reason: str | None = None,
) -> Decision:
    """What a person says one minute after noon, having read what `of` asks."""
    return Decision(
        person=person,
        answer=answer,
        channel="rest",
        assurance=Assurance.KEY,
        stages=stages,
        digest=of.digest,
        reason=reason,
        at=at,
    )
