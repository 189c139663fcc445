"""The approval resource of API.md: every field listed, numbers exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from approvals.domain.card import card
from approvals.domain.definitions import changes
from approvals.domain.offer import offer
from approvals.domain.redact import redacted
from approvals.domain.rights import why_not
from approvals.domain.states import (
    Approval,
    Approved,
    CancelReason,
    Decision,
    Pending,
    Released,
    Withdrawn,
)
from approvals.domain.strictjson import Written, parse
from approvals.service.identity import PersonPrincipal, Principal

if TYPE_CHECKING:
    from datetime import datetime

    from approvals.domain.audit import Finding, StoredEvent
    from approvals.domain.chain import Event
    from approvals.domain.definitions import Change
    from approvals.domain.directory import Directory
    from approvals.domain.freeze import Freeze
    from approvals.domain.refused import Refusal
    from approvals.domain.seal import Seal
    from approvals.domain.strictjson import Json
    from approvals.ports import KeyRecord
    from approvals.service.definitions import Waiting


def approval_resource(
    approval: Approval, *, viewer: Principal, directory: Directory
) -> dict[str, object]:
    """An approval as `viewer` may see it."""
    call, state = approval.call, approval.state
    named = isinstance(viewer, PersonPrincipal) or approval.requirement.name_approvers
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
        "justification": call.justification,
        "requirement": _requirement(approval, viewer),
        "progress": _progress(approval),
        "decisions": [_decision(decision, named=named) for decision in approval.decisions],
        "viewer": _viewer(approval, viewer, directory),
        "created_at": _time(approval.created_at),
        "expires_at": _time(approval.expires_at),
        "decided_at": _time(approved.decided_at if approved else _last_decision(approval)),
        "use_from": _time(approved.use_from if approved else None),
        "use_by": _time(approved.use_by if approved else None),
        "release": _release(approval),
        "links": {"self": f"/v1/approvals/{approval.id}"},
    }


def card_resource(
    approval: Approval, *, viewer: PersonPrincipal, directory: Directory, now: datetime
) -> dict[str, object]:
    """The card, with the digest that a decision on it names, and what may be offered."""
    shown = card(approval, directory=directory, now=now)
    may = offer(approval, person=viewer.name, assurance=viewer.assurance, directory=directory)
    return {
        "id": approval.id,
        "version": approval.version,
        "status": str(approval.status),
        "digest": approval.digest,
        "question": shown.question,
        "level": str(approval.risk.level),
        "risk": shown.risk,
        "facts": [{"name": name, "value": value} for name, value in shown.facts],
        "arguments": [
            {"name": line.name, "value": line.value, "flags": list(line.flags)}
            for line in shown.arguments
        ],
        "complete": shown.complete,
        "notes": list(shown.notes),
        "outcome": shown.outcome,
        "deadline": shown.deadline,
        "confirm": shown.confirm,
        "offer": {
            "approve": may.approve and shown.complete,
            "deny": may.deny,
            "why_not": may.why_not,
        },
    }


def history_resource(event: Event) -> dict[str, Json]:
    """An event of one approval, as it is hashed."""
    return {
        "id": event.fact.id,
        "seq": event.seq,
        "at": event.fact.at.isoformat(),
        "hash": event.hash,
        **_hashed(event),
    }


def link_resource(url: str, expires_at: datetime) -> dict[str, object]:
    """A sign-in link."""
    return {"url": url, "expires_at": _time(expires_at)}


def refusal_resource(refusal: Refusal) -> dict[str, object]:
    """Why a call does not run."""
    return {
        "code": str(refusal.code),
        "message": refusal.message,
        "rule": refusal.rule,
        "approval_id": refusal.approval_id,
        "retry_allowed": refusal.retry_allowed,
        "retry_after": refusal.retry_after,
    }


def key_resource(record: KeyRecord) -> dict[str, object]:
    """A key without the key."""
    return {
        "id": record.id,
        "person": record.person,
        "agent": record.agent,
        "label": record.label,
        "created_at": _time(record.created_at),
        "revoked_at": _time(record.revoked_at),
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


def _requirement(approval: Approval, viewer: Principal) -> dict[str, object]:
    """Who is asked now, and how far the deadline may move."""
    requirement = approval.requirement
    return {
        "stages": [
            {
                "name": stage.name,
                "approvers": _approvers(stage.approvers, viewer),
                "required": stage.required,
                "deny_threshold": stage.deny_threshold,
                "min_assurance": stage.assurance.word,
            }
            for stage in approval.stages
        ],
        "ordered": requirement.ordered,
        "exclude_owner": requirement.exclude_owner,
        "escalated_at": _time(approval.escalated_at),
        "latest_deadline": _time(approval.latest_deadline),
    }


def _approvers(approvers: frozenset[str], viewer: Principal) -> list[str]:
    """An agent is told groups, and no person's name."""
    if isinstance(viewer, PersonPrincipal):
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
        "at": _time(decision.at),
    }


def _viewer(approval: Approval, viewer: Principal, directory: Directory) -> dict[str, object]:
    if not isinstance(viewer, PersonPrincipal):
        return {"can_decide": False, "why_not": "forbidden"}
    if not isinstance(approval.state, Pending):
        return {"can_decide": False, "why_not": "already_decided"}
    error = why_not(viewer.name, viewer.assurance, approval, directory)
    return {"can_decide": error is None, "why_not": error.code if error else None}


def _release(approval: Approval) -> dict[str, object] | None:
    state = approval.state
    if not isinstance(state, Released):
        return None
    outcome = state.outcome
    return {
        "status": str(state.release_status),
        "detail": outcome.detail if outcome else "Sent; the answer is awaited.",
        "at": _time(outcome.at if outcome else state.sent_at),
        "report_by": _time(state.report_by),
    }


def definition_resource(waiting: Waiting) -> dict[str, object]:
    """A definition that waits for an admin, beside the one that was accepted last."""
    seen, accepted = waiting.seen, waiting.accepted
    before, after = parse(accepted.entry.encode()), parse(seen.entry.encode())
    return {
        "server": seen.server,
        "tool": seen.tool,
        "hash": seen.hash,
        "seen_at": _time(seen.seen_at),
        "definition": after,
        "accepted": {
            "hash": accepted.hash,
            "definition": before,
            "at": _time(accepted.accepted.at if accepted.accepted else None),
            "by": accepted.accepted.by if accepted.accepted else None,
        },
        "changes": [_change(found) for found in changes(before, after)],
    }


def _change(found: Change) -> dict[str, object]:
    sides = (("before", found.before), ("after", found.after))
    return {"pointer": found.pointer, **{name: side[0] for name, side in sides if side}}


def freeze_resource(freeze: Freeze) -> dict[str, object]:
    """A freeze in force."""
    return {
        "id": freeze.id,
        "server": freeze.server,
        "agent": freeze.agent,
        "reason": freeze.reason,
        "by": freeze.by,
        "at": _time(freeze.at),
    }


def event_resource(stored: StoredEvent) -> dict[str, Json]:
    """An audit event: everything that is hashed, the time as it is hashed; of a row that cannot be
    read what there is."""
    event = stored.event
    place: dict[str, Json] = {
        "id": stored.id,
        "stream": stored.stream,
        "seq": stored.seq,
        "at": stored.at.isoformat() if stored.at else None,
        "hash": stored.hash,
        "seal": stored.seal,
    }
    if event is None:
        return {**place, "unreadable": True}
    return {**place, **_hashed(event)}


def _hashed(event: Event) -> dict[str, Json]:
    return {
        "type": event.fact.type,
        "actor": event.fact.actor,
        "detail": cast("Json", dict(event.fact.detail)),
        "previous": event.previous,
        "protected": event.protected,
    }


def seal_resource(seal: Seal) -> dict[str, object]:
    """A seal."""
    return {
        "number": seal.number,
        "previous": seal.previous,
        "root": seal.root,
        "events": seal.events,
        "at": _time(seal.at),
    }


def finding_resource(finding: Finding) -> dict[str, object]:
    """What is wrong with one row."""
    return {
        "table": finding.table,
        "row": finding.row,
        "stream": finding.stream,
        "seq": finding.seq,
        "at": _time(finding.at),
        "what": finding.what,
    }


def _last_decision(approval: Approval) -> datetime | None:
    if isinstance(approval.state, Pending) or not approval.decisions:
        return None
    return approval.decisions[-1].at


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
