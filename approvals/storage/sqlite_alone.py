"""What is seldom, on SQLite: freezes, and definitions of tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.ports import Accepting, Alone, Answer, Applied, Conflict, Freezing, Sighting, Thawing
from approvals.storage import mapping
from approvals.storage.sqlite_rows import append, insert, written
from approvals.storage.tables import DefinitionRow, FreezeRow, to_microseconds

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from approvals.domain.definitions import Definition


@dataclass(frozen=True, slots=True)
class AloneWork:
    """One such operation and its event."""

    operation: Alone

    def run(self, connection: sqlite3.Connection, now: datetime) -> Answer:
        op = self.operation
        if written(connection, op.op_id):
            return Applied()
        if not _is_done(connection, op, now):
            return Conflict()
        append(connection, op.stream, op.fact)
        return Applied()

    def applied(self, connection: sqlite3.Connection) -> Answer | None:
        return written(connection, self.operation.op_id)


def _is_done(connection: sqlite3.Connection, op: Alone, now: datetime) -> bool:
    match op:
        case Freezing():
            insert(connection, FreezeRow, mapping.freeze_row(op.freeze))
            return True
        case Thawing():
            ended = connection.execute(
                "update freezes set ended_at = ? where id = ? and ended_at is null",
                (to_microseconds(now), op.freeze_id),
            )
            return ended.rowcount == 1
        case Sighting():
            if any(_is_known(connection, found) for found in op.definitions):
                return False
            for found in op.definitions:
                connection.execute(
                    "delete from definitions where place = ? and tool = ? and accepted_at is null",
                    (found.place, found.tool),
                )
                insert(connection, DefinitionRow, mapping.definition_row(found))
            return True
        case Accepting():
            accepted = connection.execute(
                "update definitions set accepted_at = ?, accepted_by = ?"
                " where place = ? and tool = ? and hash = ? and accepted_at is null",
                (
                    to_microseconds(op.accepted.at),
                    op.accepted.by,
                    op.place,
                    op.tool,
                    op.hash,
                ),
            )
            return accepted.rowcount == 1


def _is_known(connection: sqlite3.Connection, found: Definition) -> bool:
    """Where it is to be accepted: whether anything is known of its tool."""
    hash_ = None if found.accepted else found.hash
    row = connection.execute(
        "select 1 from definitions where place = ? and tool = ? and (? is null or hash = ?)",
        (found.place, found.tool, hash_, hash_),
    ).fetchone()
    return row is not None
