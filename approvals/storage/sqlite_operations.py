"""The store's operations as SQLite does them, each inside the SAVEPOINT that the writer opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from approvals.storage.sqlite_alone import AloneWork
from approvals.storage.sqlite_counters import FROZEN, frozen, give_back, holds, reserve
from approvals.storage.sqlite_rows import ERASE, UPDATE, append, bound, insert, written
from approvals.storage.tables import (
    ApprovalRow,
    DecisionRow,
    EventRow,
    OutboxRow,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from datetime import datetime

    from approvals.domain.chain import Event
    from approvals.domain.states import Approval, NoticeKind
    from approvals.ports import Operation
    from approvals.storage.writer import Work


WAITING = """
select count(*) from (
  select 1 from approvals where agent = :agent and status = 'pending' limit :most
)
"""
"""How many calls of an agent wait: no more are counted than may."""
LOOK = f"""
select (select id from approvals where open_identity = :identity),
  exists(select 1 from events where id = :event and stream = :id),
  ({FROZEN}),
  ({WAITING})
"""  # noqa: S608 (no values in it)
WRITTEN = Applied()
"""The answer of an operation that was written just now, and not by an earlier try."""


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
        open_, known, frozen_because, waiting = self._look(connection)
        if known or open_ == approval.id:
            return Applied()
        if open_ is not None:
            return Duplicate(existing_id=open_)
        if frozen_because is not None:
            return Frozen(reason=frozen_because)
        if waiting >= operation.max_pending:
            return TooMany(most=operation.max_pending)
        insert(connection, ApprovalRow, mapping.approval_row(approval))
        insert(connection, EventRow, mapping.event_row(operation.event))
        _insert_notices(connection, approval, operation.notice, operation.event)
        return WRITTEN

    def _look(self, connection: sqlite3.Connection) -> tuple[str | None, bool, str | None, int]:
        """The open approval of the same call, whether an earlier try has written this one, a freeze
        that stops it, and how many calls of the agent wait: no more are counted than may."""
        approval = self.operation.approval
        asked = {
            "identity": approval.identity,
            "event": self.operation.op_id,
            "id": approval.id,
            "server": approval.call.server,
            "agent": approval.call.agent,
            "most": self.operation.max_pending,
        }
        found: tuple[str | None, bool, str | None, int] = connection.execute(LOOK, asked).fetchone()
        return found

    def applied(self, connection: sqlite3.Connection) -> Answer | None:
        return written(connection, self.operation.op_id)


@dataclass(frozen=True, slots=True)
class _Change:
    operation: Transition

    def run(self, connection: sqlite3.Connection, now: datetime) -> Answer:
        op, after = self.operation, self.operation.after
        if (op.valid_from and now < op.valid_from) or (op.valid_until and now >= op.valid_until):
            return written(connection, op.op_id) or TooLate(now=now)
        if op.freezable and (refused := frozen(connection, after.call.server, after.call.agent)):
            return written(connection, op.op_id) or refused
        changed = connection.execute(
            UPDATE,
            bound(
                mapping.changing_columns(after)
                | {"_id": after.id, "_version": op.before.version, "_status": op.before.status}
            ),
        )
        if changed.rowcount != 1:
            return written(connection, op.op_id) or Conflict()
        insert(connection, EventRow, mapping.event_row(op.event))
        if op.decision:
            seq = len(after.decisions)
            insert(connection, DecisionRow, mapping.decision_row(after.id, seq, op.decision))
        if op.result is not None:
            connection.execute(
                "insert or replace into results (approval_id, text) values (?, ?)",
                (after.id, op.result),
            )
        if op.gives_back:
            give_back(connection, after.id)
        if op.notice:
            _insert_notices(connection, after, op.notice, op.event)
        return WRITTEN

    def applied(self, connection: sqlite3.Connection) -> Answer | None:
        return written(connection, self.operation.op_id)


@dataclass(frozen=True, slots=True)
class _Erase:
    operation: Erasure

    def run(self, connection: sqlite3.Connection, now: datetime) -> Answer:
        del now
        op = self.operation
        changed = connection.execute(
            ERASE,
            bound(
                mapping.erased_columns(op.after)
                | {"_id": op.after.id, "_version": op.before.version, "_status": op.before.status}
            ),
        )
        if changed.rowcount != 1:
            return written(connection, op.op_id) or Conflict()
        insert(connection, EventRow, mapping.event_row(op.event))
        connection.execute("delete from results where approval_id = ?", (op.after.id,))
        connection.execute("update outbox set body = null where approval_id = ?", (op.after.id,))
        return Applied()

    def applied(self, connection: sqlite3.Connection) -> Answer | None:
        return written(connection, self.operation.op_id)


@dataclass(frozen=True, slots=True)
class _Append:
    operation: Record

    def run(self, connection: sqlite3.Connection, now: datetime) -> Answer:
        op = self.operation
        if written(connection, op.op_id):
            return Applied()
        if op.runs and (refused := frozen(connection, *op.runs)):
            return refused
        if op.reserves and (no_room := reserve(connection, op.op_id, op.reserves, now)):
            return no_room
        append(connection, op.stream, op.fact)
        return Applied()

    def applied(self, connection: sqlite3.Connection) -> Answer | None:
        return written(connection, self.operation.op_id)


@dataclass(frozen=True, slots=True)
class _Reserve:
    operation: Reserve

    def run(self, connection: sqlite3.Connection, now: datetime) -> Answer:
        op = self.operation
        return reserve(connection, op.holder, op.charges, now) or Applied()

    def applied(self, connection: sqlite3.Connection) -> Answer | None:
        return Applied() if holds(connection, self.operation) else None


@dataclass(frozen=True, slots=True)
class _GiveBack:
    operation: GiveBack

    def run(self, connection: sqlite3.Connection, now: datetime) -> Answer:
        del now
        give_back(connection, self.operation.holder)
        return Applied()

    def applied(self, connection: sqlite3.Connection) -> Answer | None:
        del connection  # done twice it does no harm: the second time nothing is there
        return None


def work_of(operation: Operation) -> Work:
    """What to do for an operation."""
    match operation:
        case Parking():
            return _Park(operation)
        case Transition():
            return _Change(operation)
        case Erasure():
            return _Erase(operation)
        case Record():
            return _Append(operation)
        case Reserve():
            return _Reserve(operation)
        case GiveBack():
            return _GiveBack(operation)
        case Freezing() | Thawing() | Sighting() | Accepting():
            return AloneWork(operation)


def newest(work: Work, answer: object) -> tuple[str, Approval | None] | None:
    """The approval a work was about, and its newest version if it wrote that."""
    match work:
        case _Park(operation=Parking(approval=approval)):
            return approval.id, approval if answer is WRITTEN else None
        case _Change(operation=Transition(after=after)):
            return after.id, after if answer is WRITTEN else None
        case _Erase(operation=operation):
            return operation.after.id, None
    return None


def row_of(operation: Operation) -> str:
    """What no second operation of the same group may touch."""
    match operation:
        case Parking():
            return operation.approval.id
        case Transition() | Erasure():
            return operation.after.id
    return operation.op_id


def operation_of(work: Work) -> Parking | Transition | Record | None:
    """The parking, step or record that a work is about."""
    return work.operation if isinstance(work, _Park | _Change | _Append) else None


def _insert_notices(
    connection: sqlite3.Connection, approval: Approval, kind: NoticeKind, event: Event
) -> None:
    for row in mapping.outbox_rows(approval, kind, event=event):
        insert(connection, OutboxRow, row)
