"""The approval resource of API.md, for the REST API and webhooks: every field listed, numbers
exact."""

from __future__ import annotations

from datetime import UTC
from functools import lru_cache
from typing import TYPE_CHECKING

from approvals.domain.call import Executor
from approvals.domain.redact import redacted
from approvals.domain.states import (
    Approval,
    Approved,
    CancelReason,
    Decision,
    Pending,
    Released,
    Withdrawn,
)
from approvals.domain.strictjson import Written, canonical, parse

if TYPE_CHECKING:
    from datetime import datetime

    from approvals.domain.quorum import Stage
    from approvals.domain.strictjson import Json


def approval_resource(approval: Approval, *, names_people: bool) -> dict[str, object]:
    """An approval as people see it, or, without `names_people`, as its agent does: an agent is told
    a person's name only where the rule says so."""
    call, state = approval.call, approval.state
    named = names_people or approval.requirement.name_approvers
    window = state.approved if isinstance(state, Released) else state
    approved = window if isinstance(window, Approved) else None
    return {
        "id": approval.id,
        "summary": approval.summary,
        "status": str(approval.status),
        "status_reason": _status_reason(approval),
        "version": approval.version,
        "revision": approval.revision,
        "digest": approval.digest,
        "executor": str(call.executor),
        "server": call.server,
        "tool": call.tool,
        "arguments": _arguments(approval),
        "erased": approval.erased is not None,
        "hidden": list(approval.hidden),
        "risk": {
            "level": str(approval.risk.level),
            "category": str(approval.risk.category),
            "why": approval.risk.why,
        },
        "agent": {"name": call.agent, "owner": call.owner},
        "session": call.session,
        "rule": approval.rule,
        "message": approval.message,
        "justification": None if approval.hidden else call.justification,
        "requirement": _requirement(approval, names_people=names_people),
        "progress": _progress(approval),
        "decisions": [_decision(decision, named=named) for decision in approval.decisions],
        "created_at": time_text(approval.created_at),
        "expires_at": time_text(approval.expires_at),
        "decided_at": time_text(approved.decided_at if approved else _last_decision(approval)),
        "use_from": time_text(approved.use_from if approved else None),
        "use_by": time_text(approved.use_by if approved else None),
        "release": _release(approval),
        "links": {"self": f"/v1/approvals/{approval.id}"},
    }


def _arguments(approval: Approval) -> Json | Written:
    """None once they are no longer kept: that is another thing than a call without arguments."""
    if approval.erased is not None:
        return None
    if not approval.hidden:
        return Written(approval.call.arguments)
    return redacted(parse(approval.call.arguments.encode("utf-8")), approval.hidden)


def _status_reason(approval: Approval) -> str | None:
    state = approval.state
    if isinstance(state, Withdrawn) and state.reason is not CancelReason.CANCELLED:
        return str(state.reason)
    return None


def _requirement(approval: Approval, *, names_people: bool) -> dict[str, object]:
    """Who is asked now, and how far the deadline may move."""
    requirement = approval.requirement
    return {
        "stages": _stages(approval.stages, names_people=names_people),
        "ordered": requirement.ordered,
        "exclude_owner": requirement.exclude_owner,
        "escalated_at": time_text(approval.escalated_at),
        "latest_deadline": time_text(approval.latest_deadline),
    }


@lru_cache(maxsize=1024)
def _stages(stages: tuple[Stage, ...], *, names_people: bool) -> Written:
    """Written once: few requirements are asked of many calls."""
    shown = [
        {
            "name": stage.name,
            "approvers": _approvers(stage.approvers, names_people=names_people),
            "required": stage.required,
            "deny_threshold": stage.deny_threshold,
            "min_assurance": stage.assurance.word,
        }
        for stage in stages
    ]
    return Written(canonical(shown))


def _approvers(approvers: frozenset[str], *, names_people: bool) -> list[str]:
    """An agent is told groups, and no person's name."""
    if names_people:
        return sorted(approvers)
    return sorted({"person" if name.startswith("person:") else name for name in approvers})


def _progress(approval: Approval) -> list[dict[str, object]]:
    counted = zip(approval.requirement.stages, approval.tally.approved, strict=True)
    return [
        {"stage": stage.name, "approved": count, "required": stage.required}
        for stage, count in counted
    ]


def _decision(decision: Decision, *, named: bool) -> dict[str, object]:
    """An agent is told a person's name only where the rule says so."""
    return {
        "person": decision.person if named else None,
        "decision": str(decision.answer),
        "reason": decision.reason,
        "channel": decision.channel,
        "assurance": decision.assurance.word,
        "solo": decision.solo,
        "at": time_text(decision.at),
    }


def _release(approval: Approval) -> dict[str, object] | None:
    state = approval.state
    if not isinstance(state, Released):
        return None
    outcome = state.outcome
    detail = outcome.detail if outcome else "Sent; the answer is awaited."
    if approval.hidden and outcome and approval.call.executor is Executor.CALLER:
        detail = "What the program said of it may repeat what is hidden, so it is not shown."
    return {
        "status": str(state.release_status),
        "detail": detail,
        "at": time_text(outcome.at if outcome else state.sent_at),
        "report_by": time_text(state.report_by),
    }


def _last_decision(approval: Approval) -> datetime | None:
    if isinstance(approval.state, Pending) or not approval.decisions:
        return None
    return approval.decisions[-1].at


def time_text(moment: datetime | None) -> str | None:
    """A moment as JSON has it, in UTC."""
    return None if moment is None else _in_utc(moment)


@lru_cache(maxsize=4096)
def _in_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
