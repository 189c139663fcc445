"""Rows of the audit as they stand: what of them can be read, and what the service writes otherwise.

Nothing raises here: a row that somebody altered is what is looked for.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from approvals.domain.audit import StoredEvent
from approvals.domain.record import StoredApproval, StoredDecision
from approvals.storage import mapping
from approvals.storage.tables import ApprovalRow, DecisionRow, EventRow, Moment, SealRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from approvals.domain.seal import Seal

    Row = Mapping[str, Any]


def _kind(column: sa.Column[Any]) -> tuple[type, ...]:
    if isinstance(column.type, Moment):
        return (datetime,)
    return (int,) if isinstance(column.type, sa.Integer | sa.Boolean) else (str,)


def _kinds(table: type[Any]) -> dict[str, tuple[type, ...]]:
    return {column.name: _kind(column) for column in table.__table__.columns}


_TABLES = (ApprovalRow, DecisionRow, EventRow, SealRow)
_KINDS = {table: _kinds(table) for table in _TABLES}


def stored_event(row: Row) -> StoredEvent:
    """An event of the audit."""
    try:
        _check(EventRow, row)
        event = mapping.event_of(row)
        odd = _odd(mapping.event_row(event) | {"seal": row["seal"]}, row)
    except Exception:  # noqa: BLE001 (whatever is wrong with it, it cannot be read)
        event, odd = None, ()
    return StoredEvent(
        id=str(row["id"]),
        stream=str(row["stream"]),
        seq=row["seq"],
        hash=str(row["hash"]),
        at=row["at"] if isinstance(row["at"], datetime) else None,
        seal=row["seal"],
        event=event,
        odd=odd,
    )


def stored_approval(row: Row, decisions: Sequence[Row]) -> StoredApproval:
    """An approval with its decisions, in order of `seq`."""
    read = tuple(_stored_decision(decision) for decision in decisions)
    try:
        _check(ApprovalRow, row)
        approval = mapping.approval_of(row, decisions)
        odd = _odd(mapping.approval_row(approval), row)
    except Exception:  # noqa: BLE001 (as above)
        return StoredApproval(id=str(row["id"]), approval=None, decisions=read)
    return StoredApproval(id=approval.id, approval=approval, decisions=read, odd=odd)


def stored_seal(row: Row) -> Seal | None:
    """A seal; None: it cannot be read."""
    try:
        _check(SealRow, row)
    except TypeError:
        return None
    return mapping.seal_of(row)


def _stored_decision(row: Row) -> StoredDecision:
    try:
        _check(DecisionRow, row)
        decision = mapping.decision_of(row)
        odd = _odd(mapping.decision_row(row["approval_id"], row["seq"], decision), row)
    except Exception:  # noqa: BLE001 (as above)
        return StoredDecision(seq=row["seq"], decision=None)
    return StoredDecision(seq=row["seq"], decision=decision, odd=odd)


def _odd(written: Row, row: Row) -> tuple[str, ...]:
    """The columns in which the row is not what is written for its value."""
    return tuple(name for name, value in written.items() if row[name] != value)


def _check(table: type[Any], row: Row) -> None:
    """SQLite keeps any kind of value in any column."""
    for name, kinds in _KINDS[table].items():
        if row[name] is not None and not isinstance(row[name], kinds):
            raise TypeError(name)
