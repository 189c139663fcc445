"""What the REST API shows besides approvals themselves: every field listed, numbers exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from approvals.domain.card import card
from approvals.domain.definitions import changes
from approvals.domain.offer import offer
from approvals.domain.rights import why_not
from approvals.domain.states import Approval, Pending
from approvals.domain.strictjson import parse
from approvals.resource import approval_resource, time_text
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


def viewed(approval: Approval, *, viewer: Principal, directory: Directory) -> dict[str, object]:
    """An approval as `viewer` may see it, and whether they may decide on it."""
    return {
        **approval_resource(approval, names_people=isinstance(viewer, PersonPrincipal)),
        "viewer": _viewer(approval, viewer, directory),
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
    return {"url": url, "expires_at": time_text(expires_at)}


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
        "created_at": time_text(record.created_at),
        "revoked_at": time_text(record.revoked_at),
    }


def definition_resource(waiting: Waiting) -> dict[str, object]:
    """A definition that waits for an admin, beside the one that was accepted last."""
    seen, accepted = waiting.seen, waiting.accepted
    before, after = parse(accepted.entry.encode()), parse(seen.entry.encode())
    return {
        "server": seen.server,
        "tool": seen.tool,
        "hash": seen.hash,
        "seen_at": time_text(seen.seen_at),
        "definition": after,
        "accepted": {
            "hash": accepted.hash,
            "definition": before,
            "at": time_text(accepted.accepted.at if accepted.accepted else None),
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
        "at": time_text(freeze.at),
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
        "at": time_text(seal.at),
    }


def finding_resource(finding: Finding) -> dict[str, object]:
    """What is wrong with one row."""
    return {
        "table": finding.table,
        "row": finding.row,
        "stream": finding.stream,
        "seq": finding.seq,
        "at": time_text(finding.at),
        "what": finding.what,
    }


def _viewer(approval: Approval, viewer: Principal, directory: Directory) -> dict[str, object]:
    if not isinstance(viewer, PersonPrincipal):
        return {"can_decide": False, "why_not": "forbidden"}
    if not isinstance(approval.state, Pending):
        return {"can_decide": False, "why_not": "already_decided"}
    error = why_not(viewer.name, viewer.assurance, approval, directory)
    return {"can_decide": error is None, "why_not": error.code if error else None}
