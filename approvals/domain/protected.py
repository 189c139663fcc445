"""What of an approval must not be altered afterwards, as one hash per version of its row."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from approvals.domain.call import ToolDefinition
from approvals.domain.digest import requirement_hash, sha256
from approvals.domain.states import (
    Approval,
    Approved,
    Decision,
    Denied,
    EarlierRun,
    Lapsed,
    Outcome,
    Overdue,
    Released,
    State,
    Withdrawn,
)
from approvals.domain.strictjson import Written, canonical, names, quoted

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from approvals.domain.classify import Classified
    from approvals.domain.quorum import Requirement
    from approvals.domain.strictjson import Json


T = TypeVar("T")

MAX_REMEMBERED = 8 * 1024
"""Characters of what is remembered of one call, besides hidden places, which have a limit too."""


def protected_hash(approval: Approval) -> str:
    """Hash of everything about an approval that must not be altered afterwards.

    The hashed text is one canonical JSON object. The arguments stand in it through the digest, so
    that they can be erased later. A fact that a later version adds is left out while it says
    nothing, so that older rows keep their hash.
    """
    decisions = [_decided(decision, decision.at.isoformat()) for decision in approval.decisions]
    members = [
        *_lasting_members(_lasting(approval)),
        f'"argument_order":{names(approval.call.argument_order)}',
        f'"decisions":[{",".join(decisions)}]',
        f'"erased":{_text(approval.erased)}',
        f'"escalated_at":{_text(_moment(approval.escalated_at))}',
        f'"expires_at":{quoted(approval.expires_at.isoformat())}',
        f'"reminded":{approval.reminded}',
        f'"state":{canonical(_state_facts(approval.state))}',
        f'"version":{approval.version}',
    ]
    if approval.detached:
        members.append('"detached":true')
    if approval.unnoticed:
        members.append('"unnoticed":true')
    members.sort()  # as the names are sorted: a quote sorts before every character of a name
    return sha256(f"{{{','.join(members)}}}")


class _Lasting(NamedTuple):
    """What seldom or never changes while a call goes from step to step. What could be equal and is
    written differently stands here as it is written."""

    agent: str
    channels: tuple[str, ...]
    created_at: str
    definition: ToolDefinition | None
    digest: str
    earlier_run: tuple[str, str] | None
    executor: str
    hidden: tuple[str, ...]
    id: str
    idempotency_key: str | None
    identity: str
    justification: str | None
    message: str
    owner: str
    policy: str
    requirement: str
    revision: int
    risk: tuple[str, str, str]
    rule: str
    server: str
    session: str | None
    summary: str
    times: Written
    tool: str


def _lasting(approval: Approval) -> _Lasting:
    call, risk = approval.call, approval.risk
    return _Lasting(
        agent=call.agent,
        channels=approval.channels,
        created_at=approval.created_at.isoformat(),
        definition=call.definition,
        digest=approval.digest,
        earlier_run=_earlier_facts(approval.earlier_run),
        executor=call.executor,
        hidden=approval.hidden,
        id=approval.id,
        idempotency_key=approval.idempotency_key,
        identity=approval.identity,
        justification=call.justification,
        message=approval.message,
        owner=call.owner,
        policy=approval.policy_hash,
        requirement=requirement_hash(approval.requirement),
        revision=approval.revision,
        risk=(risk.level, risk.category, risk.why),
        rule=approval.rule,
        server=call.server,
        session=call.session,
        summary=approval.summary,
        times=_times(approval.requirement),
        tool=call.tool,
    )


def _lasting_members(lasting: _Lasting) -> tuple[str, ...]:
    """Written once for all steps of a call, unless it is long."""
    long = sum(len(fact) for fact in lasting if isinstance(fact, str | tuple)) > MAX_REMEMBERED
    return _members(lasting) if long else _remembered_members(lasting)


def _members(lasting: _Lasting) -> tuple[str, ...]:
    return tuple(f'"{name}":{_written(fact)}' for name, fact in lasting._asdict().items())


_remembered_members = lru_cache(maxsize=1024)(_members)


def _written(fact: object) -> str:
    match fact:
        case None:
            return "null"
        case Written(text=text):
            return text
        case str():
            return quoted(fact)
        case int():
            return str(fact)
        case ToolDefinition():
            return canonical(_definition_facts(fact))
        case _:
            return names(cast("tuple[str, ...]", fact))


@lru_cache(maxsize=1024)
def _decided(decision: Decision, at: str) -> str:
    """A decision as it is written; `at` is its moment as it is written."""
    del at
    return canonical(decision_facts(decision))


def _text(text: str | None) -> str:
    return "null" if text is None else quoted(text)


def remembered(write: Callable[[Requirement], T]) -> Callable[[Requirement], T]:
    """Write each requirement once. Equality is not enough to know one by: 0.5 and 0.50 in
    `remind_at` are equal and are not written alike."""

    @lru_cache(maxsize=1024)
    def by_words(requirement: Requirement, remind_at: tuple[str, ...]) -> T:
        del remind_at
        return write(requirement)

    return lambda requirement: by_words(requirement, tuple(map(str, requirement.remind_at)))


@remembered
def _times(requirement: Requirement) -> Written:
    return Written(canonical(requirement_facts(requirement)))


def requirement_facts(requirement: Requirement) -> dict[str, Json]:
    """Everything of a requirement but its stages, as plain JSON."""
    return {
        "allow_input": requirement.allow_input,
        "channels": None if requirement.channels is None else list(requirement.channels),
        "deny_memory_us": _us(requirement.deny_memory),
        "detached": requirement.detached,
        "escalate_after_us": None
        if requirement.escalate_after is None
        else _us(requirement.escalate_after),
        "escalate_channels": list(requirement.escalate_channels),
        "exclude_owner": requirement.exclude_owner,
        "max_timeout_us": _us(requirement.max_timeout),
        "name_approvers": requirement.name_approvers,
        "on_requester_gone": str(requirement.on_requester_gone),
        "ordered": requirement.ordered,
        "release_delay_us": _us(requirement.release_delay),
        "remind_at": [str(part) for part in requirement.remind_at],
        "timeout_us": _us(requirement.timeout),
        "use_within_us": _us(requirement.use_within),
    }


def _us(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _definition_facts(definition: ToolDefinition) -> list[object]:
    return [
        definition.name,
        definition.description,
        definition.hash,
        classified_facts(definition.classified),
    ]


def classified_facts(classified: Classified) -> list[Json]:
    """A classification as plain JSON."""
    risk = classified.risk
    return [str(risk.level), str(risk.category), risk.why, classified.because]


def _earlier_facts(run: EarlierRun | None) -> tuple[str, str] | None:
    return (run.status, run.at.isoformat()) if run else None


def decision_facts(decision: Decision) -> dict[str, object]:
    """A decision as the audit tells it."""
    return {
        "answer": str(decision.answer),
        "assurance": decision.assurance.word,
        "at": decision.at.isoformat(),
        "channel": decision.channel,
        "digest": decision.digest,
        "person": decision.person,
        "reason": decision.reason,
        "solo": decision.solo,
        "stages": sorted(decision.stages),
    }


def _state_facts(state: State) -> dict[str, object]:
    facts: dict[str, object] = {"status": str(state.status)}
    match state:
        case Approved():
            facts |= _approved_facts(state)
        case Denied() | Overdue() | Lapsed():
            facts["at"] = state.at.isoformat()
        case Withdrawn():
            facts |= {"at": state.at.isoformat(), "reason": str(state.reason)}
        case Released():
            facts |= _released_facts(state)
    return facts


def _released_facts(state: Released) -> dict[str, object]:
    facts: dict[str, object] = {
        **_approved_facts(state.approved),
        "process": state.process,
        "report_by": _moment(state.report_by),
        "sent_at": state.sent_at.isoformat(),
        "token": state.token,
    }
    if state.outcome:
        facts["outcome"] = _outcome_facts(state.outcome)
    return facts


def _approved_facts(state: Approved) -> dict[str, object]:
    return {
        "decided_at": state.decided_at.isoformat(),
        "use_by": state.use_by.isoformat(),
        "use_from": state.use_from.isoformat(),
    }


def _outcome_facts(outcome: Outcome) -> dict[str, object]:
    return {
        "at": outcome.at.isoformat(),
        "delivered": outcome.delivered,
        "detail": outcome.detail,
        "result": outcome.result_hash,
        "result_size": outcome.result_size,
        "status": str(outcome.status),
    }
