"""Rows and values: one function each way. A row that cannot be read raises, it is never guessed."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, cast

from approvals.domain.call import Call, Executor, ToolDefinition
from approvals.domain.chain import Event, Fact, Head
from approvals.domain.classify import Classified
from approvals.domain.definitions import Accepted, Definition
from approvals.domain.directory import Assurance
from approvals.domain.freeze import Freeze
from approvals.domain.protected import classified_facts
from approvals.domain.risk import UNKNOWN, Category, Level, Risk
from approvals.domain.seal import Seal
from approvals.domain.states import (
    Answer,
    Approval,
    Approved,
    CancelReason,
    Decision,
    Denied,
    EarlierRun,
    Lapsed,
    NoticeKind,
    Outcome,
    Overdue,
    Pending,
    Released,
    ReleaseStatus,
    State,
    Status,
    Withdrawn,
)
from approvals.domain.strictjson import Json, canonical, names, parse
from approvals.ports import KeyRecord
from approvals.ports.telling import Attempt, Delivery, DeliveryRecord, Ending
from approvals.storage.requirements import requirement_of, requirement_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from approvals.domain.limits import Charge
    from approvals.ports.telling import Receipt

    Row = Mapping[str, Any]


def approval_row(approval: Approval) -> dict[str, object]:
    """All columns of an approval."""
    call, definition = approval.call, approval.call.definition
    return {
        "id": approval.id,
        "revision": approval.revision,
        "executor": call.executor,
        "server": call.server,
        "tool": call.tool,
        "arguments": call.arguments,
        "argument_order": names(call.argument_order),
        "definition_name": definition.name if definition else None,
        "definition_description": definition.description if definition else None,
        "definition_hash": definition.hash if definition else None,
        "definition_risk": canonical(classified_facts(definition.classified))
        if definition
        else None,
        "agent": call.agent,
        "owner": call.owner,
        "session": call.session,
        "justification": call.justification,
        "identity": approval.identity,
        "idempotency_key": approval.idempotency_key,
        "digest": approval.digest,
        "requirement": requirement_text(approval.requirement),
        "hidden": names(approval.hidden),
        "policy_hash": approval.policy_hash,
        "rule": approval.rule,
        "message": approval.message,
        "summary": approval.summary,
        "risk_level": approval.risk.level,
        "risk_category": approval.risk.category,
        "risk_why": approval.risk.why,
        "created_at": approval.created_at,
        "earlier_status": approval.earlier_run.status if approval.earlier_run else None,
        "earlier_at": approval.earlier_run.at if approval.earlier_run else None,
        "erased": approval.erased,
        **changing_columns(approval),
    }


def changing_columns(approval: Approval) -> dict[str, object]:
    """The columns that a transition writes."""
    return {
        "version": approval.version,
        "status": approval.status,
        "open_identity": approval.identity if approval.is_open else None,
        "expires_at": approval.expires_at,
        "due_at": approval.due_at,
        "reminded": approval.reminded,
        "escalated_at": approval.escalated_at,
        "detached": approval.detached or None,
        "unnoticed": approval.unnoticed or None,
        "channels": names(approval.channels),
        "head_seq": approval.head.seq,
        "head_hash": approval.head.hash,
        **_NO_STATE,
        **_state_columns(approval.state),
    }


def erased_columns(approval: Approval) -> dict[str, object]:
    """The columns that an erasure writes."""
    return {name: value for name, value in approval_row(approval).items() if name in ERASURE}


def decision_row(approval_id: str, seq: int, decision: Decision) -> dict[str, object]:
    return {
        "approval_id": approval_id,
        "seq": seq,
        "person": decision.person,
        "answer": decision.answer,
        "reason": decision.reason,
        "channel": decision.channel,
        "assurance": decision.assurance.word,
        "stages": canonical(sorted(decision.stages)),
        "digest": decision.digest,
        "solo": decision.solo,
        "at": decision.at,
    }


def event_row(event: Event) -> dict[str, object]:
    return {
        "id": event.fact.id,
        "stream": event.stream,
        "seq": event.seq,
        "previous": event.previous,
        "protected": event.protected,
        "hash": event.hash,
        "type": event.fact.type,
        "actor": event.fact.actor,
        "at": event.fact.at,
        "detail": canonical(event.fact.detail) if event.fact.detail else "{}",
        "seal": None,
    }


def seal_row(seal: Seal) -> dict[str, object]:
    return {
        "number": seal.number,
        "previous": seal.previous,
        "root": seal.root,
        "key": seal.key,
        "events": seal.events,
        "at": seal.at,
    }


def seal_of(row: Row) -> Seal:
    return Seal(
        number=row["number"],
        previous=row["previous"],
        root=row["root"],
        key=row["key"],
        events=row["events"],
        at=row["at"],
    )


def outbox_rows(approval: Approval, kind: NoticeKind, *, event: Event) -> list[dict[str, object]]:
    """What is new to tell each channel; the rest of the columns are null until it is told."""
    return [
        {
            "id": f"{event.fact.id}:{channel}",
            "approval_id": approval.id,
            "channel": channel,
            "version": approval.version,
            "kind": kind,
            "due_at": event.fact.at,
            "attempts": 0,
            "event": event.fact.type,
            "at": event.fact.at,
        }
        for channel in approval.channels
    ]


NEW_OUTBOX = (
    "id",
    "approval_id",
    "channel",
    "version",
    "kind",
    "due_at",
    "attempts",
    "event",
    "at",
)
"""The columns of `outbox_rows`: this is written with every step of every call."""


def adopted_id(channel: str, receipt: Receipt) -> str:
    return f"adopted:{receipt}:{channel}"


def adopted_row(
    approval_id: str, channel: str, receipt: Receipt, *, version: int, at: datetime
) -> dict[str, object]:
    """What has a message that we did not know of brought up to date."""
    return {
        "id": adopted_id(channel, receipt),
        "approval_id": approval_id,
        "channel": channel,
        "version": version,
        "kind": NoticeKind.REQUESTED,
        "due_at": at,
        "attempts": 0,
        "event": "adopted",
        "at": at,
    }


def reservation_row(holder: str, charge: Charge) -> dict[str, object]:
    return {
        "holder": holder,
        "key": charge.key,
        "starts_at": charge.start,
        "ends_at": charge.end,
        "amount": str(charge.amount),
    }


def key_row(record: KeyRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "sha256": record.sha256,
        "person": record.person,
        "agent": record.agent,
        "label": record.label,
        "created_at": record.created_at,
        "revoked_at": record.revoked_at,
    }


def freeze_row(freeze: Freeze) -> dict[str, object]:
    return {
        "id": freeze.id,
        "server": freeze.server,
        "agent": freeze.agent,
        "reason": freeze.reason,
        "person": freeze.by,
        "created_at": freeze.at,
        "ended_at": None,
    }


def definition_row(found: Definition) -> dict[str, object]:
    return {
        "place": found.place,
        "tool": found.tool,
        "hash": found.hash,
        "server": found.server,
        "entry": found.entry,
        "seen_at": found.seen_at,
        "accepted_at": found.accepted.at if found.accepted else None,
        "accepted_by": found.accepted.by if found.accepted else None,
    }


def definition_of(row: Row) -> Definition:
    at, by = row["accepted_at"], row["accepted_by"]
    return Definition(
        place=row["place"],
        server=row["server"],
        tool=row["tool"],
        hash=row["hash"],
        entry=row["entry"],
        seen_at=row["seen_at"],
        accepted=Accepted(at=at, by=by) if at is not None else None,
    )


def freeze_of(row: Row) -> Freeze:
    return Freeze(
        id=row["id"],
        server=row["server"],
        agent=row["agent"],
        reason=row["reason"],
        by=row["person"],
        at=row["created_at"],
    )


def approval_of(row: Row, decisions: Sequence[Row]) -> Approval:
    """An approval from its row and the rows of its decisions in order of `seq`."""
    earlier = row["earlier_status"]
    return Approval(
        id=row["id"],
        version=row["version"],
        revision=row["revision"],
        call=_call(row),
        identity=row["identity"],
        idempotency_key=row["idempotency_key"],
        erased=row["erased"],
        requirement=requirement_of(row["requirement"]),
        digest=row["digest"],
        policy_hash=row["policy_hash"],
        rule=row["rule"],
        message=row["message"],
        summary=row["summary"],
        risk=Risk(
            level=Level(row["risk_level"]),
            category=Category(row["risk_category"]),
            why=row["risk_why"],
        ),
        channels=tuple(cast("list[str]", _json(row["channels"]))),
        hidden=tuple(cast("list[str]", _json(row["hidden"]))),
        reminded=row["reminded"],
        escalated_at=row["escalated_at"],
        detached=bool(row["detached"]),
        unnoticed=bool(row["unnoticed"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        earlier_run=EarlierRun(status=ReleaseStatus(earlier), at=_moment(row, "earlier_at"))
        if earlier
        else None,
        decisions=tuple(decision_of(decision) for decision in decisions),
        state=_state(row),
        head=Head(seq=row["head_seq"], hash=row["head_hash"]),
    )


def event_of(row: Row) -> Event:
    return Event(
        stream=row["stream"],
        seq=row["seq"],
        previous=row["previous"],
        protected=row["protected"],
        hash=row["hash"],
        fact=Fact(
            id=row["id"],
            type=row["type"],
            actor=row["actor"],
            at=row["at"],
            detail=cast("dict[str, Json]", _json(row["detail"])),
        ),
    )


def delivery_of(row: Row) -> Delivery:
    return Delivery(
        id=row["id"],
        approval_id=row["approval_id"],
        channel=row["channel"],
        kind=NoticeKind(row["kind"]),
        event=row["event"] or row["kind"],
        at=row["at"] or row["due_at"],
        attempts=row["attempts"],
        body=row["body"],
        unclear=row["unclear"] or 0,
        digested=row["digested_at"] is not None,
    )


def delivery_record_of(row: Row) -> DeliveryRecord:
    tried = cast("list[dict[str, str]]", _json(row["tried"] or "[]"))
    return DeliveryRecord(
        delivery=delivery_of(row),
        due_at=row["due_at"],
        ended=_ending(row),
        done_at=row["done_at"],
        attempts=tuple(
            Attempt(at=datetime.fromisoformat(one["at"]), error=one["error"]) for one in tried
        ),
    )


def _ending(row: Row) -> Ending | None:
    """How it ended; rows of older versions do not say, and were told when they were done."""
    if row["done_at"] is None:
        return None
    return Ending(row["ended"] or Ending.TOLD)


def key_of(row: Row) -> KeyRecord:
    return KeyRecord(
        id=row["id"],
        sha256=row["sha256"],
        person=row["person"],
        agent=row["agent"],
        label=row["label"],
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
    )


STATE_COLUMNS = (
    "ended_at",
    "cancel_reason",
    "decided_at",
    "use_from",
    "use_by",
    "release_token",
    "release_process",
    "sent_at",
    "report_by",
    "release_status",
    "release_detail",
    "finished_at",
    "delivered",
    "result_hash",
    "result_size",
)
CHANGING_COLUMNS = frozenset(
    {
        "version",
        "status",
        "open_identity",
        "expires_at",
        "due_at",
        "reminded",
        "escalated_at",
        "detached",
        "unnoticed",
        "channels",
        "head_seq",
        "head_hash",
        *STATE_COLUMNS,
    }
)
"""What a transition writes."""
ERASURE = CHANGING_COLUMNS | {
    "arguments",
    "argument_order",
    "justification",
    "summary",
    "erased",
}
"""What an erasure writes."""
_NO_STATE: dict[str, object] = dict.fromkeys(STATE_COLUMNS)


def _state_columns(state: State) -> dict[str, object]:
    match state:
        case Pending():
            return {}
        case Approved():
            return _approved_columns(state)
        case Denied() | Overdue() | Lapsed():
            return {"ended_at": state.at}
        case Withdrawn():
            return {"ended_at": state.at, "cancel_reason": state.reason}
        case Released():
            return {
                **_approved_columns(state.approved),
                "release_token": state.token,
                "release_process": state.process,
                "sent_at": state.sent_at,
                "report_by": state.report_by,
                "release_status": state.release_status,
                **(_outcome_columns(state.outcome) if state.outcome else {}),
            }


def _approved_columns(state: Approved) -> dict[str, object]:
    return {"decided_at": state.decided_at, "use_from": state.use_from, "use_by": state.use_by}


def _outcome_columns(outcome: Outcome) -> dict[str, object]:
    return {
        "release_detail": outcome.detail,
        "finished_at": outcome.at,
        "delivered": outcome.delivered,
        "result_hash": outcome.result_hash,
        "result_size": outcome.result_size,
    }


def _state(row: Row) -> State:
    match Status(row["status"]):
        case Status.PENDING:
            return Pending()
        case Status.APPROVED:
            return _approved(row)
        case Status.DENIED:
            return Denied(at=_moment(row, "ended_at"))
        case Status.EXPIRED:
            return Overdue(at=_moment(row, "ended_at"))
        case Status.CANCELLED:
            reason = CancelReason(row["cancel_reason"])
            return Withdrawn(reason=reason, at=_moment(row, "ended_at"))
        case Status.LAPSED:
            return Lapsed(at=_moment(row, "ended_at"))
        case Status.RELEASED:
            return Released(
                approved=_approved(row),
                token=row["release_token"],
                process=row["release_process"],
                sent_at=_moment(row, "sent_at"),
                report_by=row["report_by"],
                outcome=_outcome(row),
            )


def _approved(row: Row) -> Approved:
    return Approved(
        decided_at=_moment(row, "decided_at"),
        use_from=_moment(row, "use_from"),
        use_by=_moment(row, "use_by"),
    )


def _moment(row: Row, name: str) -> datetime:
    """A moment without which the row says nothing."""
    moment = row[name]
    if not isinstance(moment, datetime):
        raise TypeError(f"{name} is no moment")
    return moment


def _outcome(row: Row) -> Outcome | None:
    status = ReleaseStatus(row["release_status"])
    if status is ReleaseStatus.SENT:
        return None
    return Outcome(
        status=status,
        detail=row["release_detail"],
        at=_moment(row, "finished_at"),
        delivered=bool(row["delivered"]),
        result_hash=row["result_hash"],
        result_size=row["result_size"],
    )


def _call(row: Row) -> Call:
    definition = None
    if row["definition_hash"] is not None:
        definition = ToolDefinition(
            name=row["definition_name"],
            description=row["definition_description"],
            hash=row["definition_hash"],
            classified=_classified(row["definition_risk"]),
        )
    return Call(
        executor=Executor(row["executor"]),
        server=row["server"],
        tool=row["tool"],
        arguments=row["arguments"],
        agent=row["agent"],
        owner=row["owner"],
        session=row["session"],
        definition=definition,
        justification=row["justification"],
        argument_order=tuple(cast("list[str]", _json(row["argument_order"]))),
    )


def decision_of(row: Row) -> Decision:
    return Decision(
        person=row["person"],
        answer=Answer(row["answer"]),
        reason=row["reason"],
        channel=row["channel"],
        assurance=Assurance[str(row["assurance"]).upper()],
        stages=frozenset(cast("list[int]", _json(row["stages"]))),
        digest=row["digest"],
        solo=bool(row["solo"]),
        at=_moment(row, "at"),
    )


def _classified(text: str | None) -> Classified:
    """A definition stored before tools were classified counts as unknown."""
    if text is None:
        return Classified(risk=UNKNOWN, because="it was not classified when the call was parked")
    level, category, why, because = cast("list[str]", _json(text))
    risk = Risk(level=Level(level), category=Category(category), why=why)
    return Classified(risk=risk, because=because)


def _json(text: str) -> Json:
    return parse(text.encode("utf-8"))
