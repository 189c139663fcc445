"""What of an approval must not be altered afterwards, as one hash per version of its row."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

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
from approvals.domain.strictjson import canonical

if TYPE_CHECKING:
    from approvals.domain.call import ToolDefinition


def protected_hash(approval: Approval) -> str:
    """Hash of everything about an approval that must not be altered afterwards.

    The arguments stand here through the digest, so that they can be erased later.
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
                "expires_at": approval.expires_at.isoformat(),
                "id": approval.id,
                "idempotency_key": approval.idempotency_key,
                "identity": approval.identity,
                "justification": call.justification,
                "message": approval.message,
                "owner": call.owner,
                "policy": approval.policy_hash,
                "requirement": requirement_hash(approval.requirement),
                "revision": approval.revision,
                "risk": [approval.risk.level, approval.risk.category, approval.risk.why],
                "rule": approval.rule,
                "session": call.session,
                "state": _state_facts(approval.state),
                "summary": approval.summary,
                "timeout": approval.requirement.timeout // timedelta(microseconds=1),
                "use_within": approval.requirement.use_within // timedelta(microseconds=1),
                "version": approval.version,
            }
        )
    )


def _definition_facts(definition: ToolDefinition | None) -> list[str] | None:
    return [definition.name, definition.description, definition.hash] if definition else None


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
