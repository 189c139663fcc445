"""The store's operations as SQLite does them, each inside the SAVEPOINT that the writer opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain.chain import Head, link
from approvals.domain.states import Parking, Transition
from approvals.ports import Answer, Applied, Conflict, Duplicate, Record, TooLate
from approvals.storage import mapping
from approvals.storage.sqlite_rows import UPDATE, bound, insert
from approvals.storage.tables import ApprovalRow, DecisionRow, EventRow, OutboxRow

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from datetime import datetime

    from approvals.domain.chain import Event
    from approvals.domain.states import Approval, NoticeKind
    from approvals.ports import Operation
    from approvals.storage.writer import Work


@dataclass(frozen=True, slots=True)
class Plain:
    """Work that may be done twice without harm."""

    run_: Callable[[sqlite3.Connection, datetime], object]

    def run(self, connection: sqlite3.Connection, now: datetime) -> object:
        return self.run_(connection, now)

    def applied(self, connection: sqlite3.Connection) -> object | None:
        del connection
        return None


@dataclass(frozen=True, slots=True)
class _Park:
    operation: Parking

    def run(self, connection: sqlite3.Connection, now: datetime) -> Answer:
        del now
        operation, approval = self.operation, self.operation.approval
        row = connection.execute(
            "select id from approvals where open_identity = ?", (approval.identity,)
        ).fetchone()
        if row is not None and row[0] == approval.id:
            return Applied()
        if row is not None:
            return Duplicate(existing_id=row[0])
        insert(connection, ApprovalRow, mapping.approval_row(approval))
        insert(connection, EventRow, mapping.event_row(operation.event))
        _insert_notices(connection, approval, operation.notice, operation.event)
        return Applied()

    def applied(self, connection: sqlite3.Connection) -> Answer | None:
        return _applied(connection, self.operation.op_id)


@dataclass(frozen=True, slots=True)
class _Change:
    operation: Transition

    def run(self, connection: sqlite3.Connection, now: datetime) -> Answer:
        op, after = self.operation, self.operation.after
        if (op.valid_from and now < op.valid_from) or (op.valid_until and now >= op.valid_until):
            return TooLate(now=now)
        changed = connection.execute(
            UPDATE,
            bound(
                mapping.changing_columns(after)
                | {"_id": after.id, "_version": op.before.version, "_status": op.before.status}
            ),
        )
        if changed.rowcount != 1:
            return _applied(connection, op.op_id) or Conflict()
        insert(connection, EventRow, mapping.event_row(op.event))
        if op.decision:
            seq = len(after.decisions)
            insert(connection, DecisionRow, mapping.decision_row(after.id, seq, op.decision))
        if op.result is not None:
            connection.execute(
                "insert or replace into results (approval_id, text) values (?, ?)",
                (after.id, op.result),
            )
        if op.notice:
            _insert_notices(connection, after, op.notice, op.event)
        return Applied()

    def applied(self, connection: sqlite3.Connection) -> Answer | None:
        return _applied(connection, self.operation.op_id)


@dataclass(frozen=True, slots=True)
class _Append:
    operation: Record

    def run(self, connection: sqlite3.Connection, now: datetime) -> Answer:
        del now
        stream = self.operation.stream
        if _applied(connection, self.operation.op_id):
            return Applied()
        row = connection.execute(
            "select seq, hash from events where stream = ? order by seq desc limit 1", (stream,)
        ).fetchone()
        head = Head(seq=row[0], hash=row[1]) if row else Head()
        event = link(head, stream, self.operation.fact)
        insert(connection, EventRow, mapping.event_row(event))
        return Applied()

    def applied(self, connection: sqlite3.Connection) -> Answer | None:
        return _applied(connection, self.operation.op_id)


def work_of(operation: Operation) -> Work:
    """What to do for an operation."""
    match operation:
        case Parking():
            return _Park(operation)
        case Transition():
            return _Change(operation)
        case Record():
            return _Append(operation)


def row_of(operation: Operation) -> str:
    """What no second operation of the same group may touch."""
    match operation:
        case Parking():
            return operation.approval.id
        case Transition():
            return operation.after.id
        case Record():
            return operation.op_id


def _applied(connection: sqlite3.Connection, op_id: str) -> Applied | None:
    row = connection.execute("select 1 from events where id = ?", (op_id,)).fetchone()
    return Applied() if row else None


def _insert_notices(
    connection: sqlite3.Connection, approval: Approval, kind: NoticeKind, event: Event
) -> None:
    for channel in approval.channels:
        row = mapping.outbox_row(approval, channel, kind, event=event)
        insert(connection, OutboxRow, row)
