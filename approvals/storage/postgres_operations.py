"""Operations as rows of the flush statement, and its answers as answers of the port."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from approvals.domain.chain import NO_EVENTS, link
from approvals.domain.states import Erasure, Parking, Transition
from approvals.ports import (
    Accepting,
    Answer,
    Applied,
    Conflict,
    Duplicate,
    Freezing,
    Frozen,
    GiveBack,
    Record,
    Reserve,
    Sighting,
    Thawing,
    TooLate,
    TooMany,
)
from approvals.storage import mapping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from approvals.domain.chain import Event, Head
    from approvals.domain.limits import Charge
    from approvals.domain.states import Approval, NoticeKind
    from approvals.ports import Operation
    from approvals.ports.telling import Ending, Receipt


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """How telling a channel went. Where it has not `ended`, it is due again after `wait`."""

    delivery_id: str
    error: str = ""
    wait: timedelta = timedelta(0)
    unclear: int = 0
    ended: Ending | None = None
    receipt: Receipt | None = None

    @property
    def op_id(self) -> str:
        return self.delivery_id


Write = Parking | Transition | Record | Reserve | GiveBack | Told
"""What one flush holds; what is seldom and erasing have a transaction of their own."""


@dataclass(slots=True)
class Rows:
    """Everything one flush writes; `n` of each row is the place of its operation."""

    ops: list[dict[str, object]] = field(default_factory=list)
    parts: defaultdict[str, list[dict[str, object]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    identities: set[str] = field(default_factory=set)
    heads: dict[int, tuple[str, Head]] = field(default_factory=dict)
    """After a record: its stream, and the stream's head."""


def rows_of(
    operations: Sequence[Write], heads: Mapping[str, Head], taken: Mapping[int, Sequence[Charge]]
) -> Rows:
    """The rows of a flush. `heads`: the newest event of each record's stream; `taken`: what the
    operation at that place takes from counters."""
    rows = Rows()
    newest = dict(heads)
    for n, operation in enumerate(operations):
        match operation:
            case Parking():
                _park(rows, n, operation)
            case Transition():
                _change(rows, n, operation)
            case Record():
                newest[operation.stream] = _record(rows, n, operation, newest)
            case Reserve():
                rows.ops.append({"n": n, "kind": "reserve"})
            case GiveBack():
                rows.ops.append({"n": n, "kind": "give"})
                rows.parts["freed"].append({"n": n, "holder": operation.holder})
            case Told():
                _told(rows, n, operation)
        for charge in taken.get(n, ()):
            holder = operation.op_id
            rows.parts["taken"].append({"n": n, **mapping.reservation_row(holder, charge)})
    return rows


def answer_of(operation: Write, row: Mapping[str, Any]) -> Answer | None:
    """What the statement says of one operation; None: submit it again."""
    match row["answer"]:
        case "won" | "known":
            return Applied()
        case "again":
            return None
        case "duplicate":
            return _duplicate(operation, row["existing"])
    if row["applied"]:
        return Applied()
    match row["answer"]:
        case "conflict":
            return Conflict()
        case "late":
            return TooLate(now=row["at"])
        case "frozen":
            return Frozen(reason=row["reason"])
    assert isinstance(operation, Parking)  # noqa: S101 (nothing else can be too many)
    return TooMany(most=operation.max_pending)


def row_of(operation: Operation | Told) -> str:
    """What no second operation of the same flush may touch."""
    match operation:
        case Parking():
            return operation.approval.id
        case Transition() | Erasure():
            return operation.after.id
        case Freezing() | Thawing():
            return "freezes"
        case Sighting() | Accepting():
            return "definitions"
    return operation.op_id


def size_of(operation: Operation | Told) -> int:
    """About how many characters it writes: what may be large in it."""
    match operation:
        case Parking(approval=approval):
            return len(approval.call.arguments)
        case Transition(result=str() as result):
            return len(result)
    return 0


def version_of(operation: Write) -> Approval | None:
    """The approval as the operation leaves it."""
    return operation.leaves if isinstance(operation, Parking | Transition) else None


def charges_of(operation: Write) -> Sequence[Charge]:
    """What the operation wants to take from counters."""
    match operation:
        case Record():
            return operation.reserves
        case Reserve():
            return operation.charges
    return ()


def _duplicate(operation: Write, existing: str) -> Answer:
    assert isinstance(operation, Parking)  # noqa: S101 (nothing else has an identity)
    if existing == operation.approval.id:
        return Applied()
    return Duplicate(existing_id=existing)


def _park(rows: Rows, n: int, operation: Parking) -> None:
    approval = operation.approval
    rows.ops.append(
        {
            "n": n,
            "kind": "park",
            "id": approval.id,
            "identity": approval.identity,
            "repeated": approval.identity in rows.identities,
            "server": approval.call.server,
            "agent": approval.call.agent,
            "freezable": True,
            "most": operation.max_pending,
            "op_id": operation.op_id,
        }
    )
    rows.identities.add(approval.identity)
    rows.parts["parked"].append({"n": n, **mapping.approval_row(approval)})
    _event(rows, n, operation.event)
    _notices(rows, n, approval, operation.notice, operation.event)


def _change(rows: Rows, n: int, operation: Transition) -> None:
    before, after = operation.before, operation.after
    rows.ops.append(
        {
            "n": n,
            "kind": "change",
            "id": after.id,
            "version": before.version,
            "status": before.status,
            "valid_from": operation.valid_from,
            "valid_until": operation.valid_until,
            "server": after.call.server,
            "agent": after.call.agent,
            "freezable": operation.freezable,
            "op_id": operation.op_id,
        }
    )
    rows.parts["changed"].append({"n": n, "id": after.id, **mapping.changing_columns(after)})
    _event(rows, n, operation.event)
    if operation.decision:
        decision = mapping.decision_row(after.id, len(after.decisions), operation.decision)
        rows.parts["decisions"].append({"n": n, **decision})
    if operation.result is not None:
        result = {"n": n, "approval_id": after.id, "text": operation.result}
        rows.parts["results"].append(result)
    if operation.gives_back:
        rows.parts["freed"].append({"n": n, "holder": after.id})
    if operation.notice:
        _notices(rows, n, after, operation.notice, operation.event)


def _record(rows: Rows, n: int, operation: Record, heads: Mapping[str, Head]) -> Head:
    server, agent = operation.runs or (None, None)
    rows.ops.append(
        {
            "n": n,
            "kind": "record",
            "server": server,
            "agent": agent,
            "freezable": operation.runs is not None,
            "stream": operation.stream,
            "op_id": operation.op_id,
        }
    )
    event = link(heads.get(operation.stream, NO_EVENTS), operation.stream, operation.fact)
    _event(rows, n, event)
    rows.heads[n] = (operation.stream, event.head)
    return event.head


def _told(rows: Rows, n: int, operation: Told) -> None:
    rows.ops.append({"n": n, "kind": "told", "id": operation.delivery_id})
    rows.parts["told"].append(
        {
            "n": n,
            "id": operation.delivery_id,
            "error": operation.error,
            "wait_us": operation.wait // timedelta(microseconds=1),
            "unclear": operation.unclear,
            "ended": operation.ended,
        }
    )
    if operation.receipt is not None:
        kept = {"n": n, "id": operation.delivery_id, "receipt": operation.receipt}
        rows.parts["kept"].append(kept)


def _event(rows: Rows, n: int, event: Event) -> None:
    rows.parts["events"].append({"n": n, **mapping.event_row(event)})


def _notices(rows: Rows, n: int, approval: Approval, kind: NoticeKind, event: Event) -> None:
    for notice in mapping.outbox_rows(approval, kind, event=event):
        rows.parts["outbox"].append({"n": n, **notice})
