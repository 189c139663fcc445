"""SQLite statements and rows: columns by table, values as SQLite keeps them.

Built from the SQLModel tables once, so that no column is named twice, and run on plain connections:
the ORM would cost more than the database does.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import sqlite as sqlite_dialect

from approvals.storage import mapping
from approvals.storage.tables import (
    ApprovalRow,
    CounterRow,
    DecisionRow,
    EventRow,
    FreezeRow,
    KeyRow,
    Moment,
    OutboxRow,
    ReservationRow,
    ResultRow,
    StartingPersonRow,
    from_microseconds,
    to_microseconds,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import sqlalchemy as sa


def _columns(table: type[Any]) -> list[str]:
    return [column.name for column in table.__table__.columns]


def _moments(table: type[Any]) -> frozenset[str]:
    columns = table.__table__.columns
    return frozenset(column.name for column in columns if isinstance(column.type, Moment))


_TABLES = (
    ApprovalRow,
    CounterRow,
    DecisionRow,
    EventRow,
    FreezeRow,
    KeyRow,
    OutboxRow,
    ReservationRow,
    ResultRow,
    StartingPersonRow,
)
COLUMNS = {table: _columns(table) for table in _TABLES}
MOMENTS = {table: _moments(table) for table in _TABLES}
INSERT = {
    table: f"insert into {table.__tablename__} ({', '.join(names)}) "  # noqa: S608
    f"values ({', '.join(':' + name for name in names)})"
    for table, names in COLUMNS.items()
}
_CHANGING = [name for name in COLUMNS[ApprovalRow] if name in mapping.CHANGING_COLUMNS]
UPDATE = (
    f"update approvals set {', '.join(f'{name} = :{name}' for name in _CHANGING)} "  # noqa: S608
    "where id = :_id and version = :_version and status = :_status"
)
_DUE = (
    "select id from outbox o where done_at is null and due_at <= :now"
    " and (leased_until is null or leased_until <= :now)"
    " and not exists (select 1 from outbox e where e.approval_id = o.approval_id"
    " and e.channel = o.channel and e.version < o.version and e.done_at is null)"
    " order by due_at limit :limit"
)
LEASE = (
    f"update outbox set leased_until = :until where id in ({_DUE}) "  # noqa: S608
    f"returning {', '.join(COLUMNS[OutboxRow])}"
)


def insert(connection: sqlite3.Connection, table: type[Any], row: Mapping[str, object]) -> None:
    """Insert one row."""
    connection.execute(INSERT[table], bound(row))


def bound(row: Mapping[str, object]) -> dict[str, object]:
    """Values as SQLite keeps them."""
    return {
        name: to_microseconds(value) if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def named(table: type[Any], values: Iterable[Any]) -> dict[str, Any]:
    """A fetched row by column name, moments as moments."""
    row = dict(zip(COLUMNS[table], values, strict=True))
    for name in MOMENTS[table]:
        if row[name] is not None:
            row[name] = from_microseconds(row[name])
    return row


def approval_rows(
    connection: sqlite3.Connection, where: str, values: Sequence[object]
) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
    """The row of an approval and those of its decisions."""
    names = ", ".join(COLUMNS[ApprovalRow])
    sql = f"select {names} from approvals where {where}"  # noqa: S608 (no values in it)
    found = connection.execute(sql, list(values)).fetchone()
    if found is None:
        return None
    row = named(ApprovalRow, found)
    names = ", ".join(COLUMNS[DecisionRow])
    made = connection.execute(
        f"select {names} from decisions where approval_id = ? order by seq",  # noqa: S608
        (row["id"],),
    )
    return row, [named(DecisionRow, decision) for decision in made]


_DIALECT = sqlite_dialect.dialect(paramstyle="named")


def select(connection: sqlite3.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    """Run a statement of `queries` on the plain connection."""
    return list(rows(connection, query))


def rows(connection: sqlite3.Connection, query: sa.Select[Any]) -> Iterator[dict[str, Any]]:
    """The same, row by row, for whoever may stop early."""
    table = query.get_final_froms()[0]
    model = next(t for t in _TABLES if t.__tablename__ == str(table))
    compiled = query.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    for row in connection.execute(str(compiled), bound(compiled.params)):
        yield named(model, row)


def marks(values: Sequence[object]) -> str:
    """`?, ?, ?`."""
    return ", ".join("?" * len(values))
