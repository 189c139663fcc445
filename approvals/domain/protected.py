"""What of an approval must not be altered afterwards, as one hash per version of its row."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

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
from approvals.domain.strictjson import Written, canonical

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from approvals.domain.call import ToolDefinition
    from approvals.domain.classify import Classified
    from approvals.domain.quorum import Requirement
    from approvals.domain.strictjson import Json


T = TypeVar("T")


def protected_hash(approval: Approval) -> str:
    """Hash of everything about an approval that must not be altered afterwards.

    The arguments stand here through the digest, so that they can be erased later. A fact that a
    later version adds is left out while it says nothing, so that older rows keep their hash.
    """
    call = approval.call
    return sha256(
        canonical(
            {
                "agent": call.agent,
                "argument_order": list(call.argument_order),
                "channels": list(approval.channels),
                "created_at": approval.created_at.isoformat(),
                "decisions": [decision_facts(decision) for decision in approval.decisions],
                "definition": _definition_facts(call.definition),
                "digest": approval.digest,
                "earlier_run": _earlier_facts(approval.earlier_run),
                "erased": approval.erased,
                "executor": str(call.executor),
                "expires_at": approval.expires_at.isoformat(),
                "id": approval.id,
                "idempotency_key": approval.idempotency_key,
                "identity": approval.identity,
                "justification": call.justification,
                "message": approval.message,
                "owner": call.owner,
                "policy": approval.policy_hash,
                "requirement": requirement_hash(approval.requirement),
                "escalated_at": _moment(approval.escalated_at),
                "hidden": list(approval.hidden),
                "reminded": approval.reminded,
                "revision": approval.revision,
                "risk": [approval.risk.level, approval.risk.category, approval.risk.why],
                "rule": approval.rule,
                "server": call.server,
                "session": call.session,
                "state": _state_facts(approval.state),
                "summary": approval.summary,
                "times": _times(approval.requirement),
                "tool": call.tool,
                "version": approval.version,
                **({"detached": True} if approval.detached else {}),
                **({"unnoticed": True} if approval.unnoticed else {}),
            }
        )
    )


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


def _definition_facts(definition: ToolDefinition | None) -> list[object] | None:
    if definition is None:
        return None
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


def _earlier_facts(run: EarlierRun | None) -> list[str] | None:
    return [str(run.status), run.at.isoformat()] if run else None


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
