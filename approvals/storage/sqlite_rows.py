"""SQLite statements and rows: columns by table, values as SQLite keeps them.

Built from the SQLModel tables once, so that no column is named twice, and run on plain connections:
the ORM would cost more than the database does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlmodel import col

from approvals.domain.chain import Head, link
from approvals.ports import Applied
from approvals.storage import mapping
from approvals.storage.queries import APPROVALS
from approvals.storage.tables import (
    ApprovalRow,
    ChannelRow,
    CounterRow,
    DecisionRow,
    DefinitionRow,
    EventRow,
    FreezeRow,
    KeyRow,
    MessageRow,
    Moment,
    OutboxRow,
    ProcessRow,
    ReservationRow,
    ResultRow,
    SealRow,
    SessionRow,
    SignInLinkRow,
    StartingPersonRow,
    from_microseconds,
    to_microseconds,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from approvals.domain.chain import Fact


T = TypeVar("T")


def _columns(table: type[Any]) -> list[str]:
    return [column.name for column in table.__table__.columns]


_TABLES = (
    ApprovalRow,
    ChannelRow,
    CounterRow,
    DecisionRow,
    DefinitionRow,
    EventRow,
    FreezeRow,
    KeyRow,
    MessageRow,
    OutboxRow,
    ProcessRow,
    ReservationRow,
    ResultRow,
    SealRow,
    SessionRow,
    SignInLinkRow,
    StartingPersonRow,
)
COLUMNS = {table: _columns(table) for table in _TABLES}
_WRITTEN = {**COLUMNS, OutboxRow: mapping.NEW_OUTBOX}
INSERT = {
    table: f"insert into {table.__tablename__} ({', '.join(names)}) "  # noqa: S608
    f"values ({', '.join(':' + name for name in names)})"
    for table, names in _WRITTEN.items()
}
_CHANGING = [name for name in COLUMNS[ApprovalRow] if name in mapping.CHANGING_COLUMNS]
MOST_AT_ONCE = 32
"""Rows of one statement; a prepared one is kept for each number of rows."""


def _guarded_update(changing: Collection[str]) -> str:
    sets = ", ".join(f"{name} = :{name}" for name in COLUMNS[ApprovalRow] if name in changing)
    guard = "id = :_id and version = :_version and status = :_status"
    return f"update approvals set {sets} where {guard}"  # noqa: S608


UPDATE = _guarded_update(mapping.CHANGING_COLUMNS)
ERASE = _guarded_update(mapping.ERASURE)


def _insert_all(table: type[Any], count: int) -> str:
    names = _WRITTEN[table]
    verb = "insert or replace" if table is ResultRow else "insert"
    columns = ", ".join(names)
    return f"{verb} into {table.__tablename__} ({columns}) values {_places(count, len(names))}"


def _update_all(count: int) -> str:
    sets = ", ".join(f"{name} = x.column{n}" for n, name in enumerate(_CHANGING, start=4))
    return (
        f"update approvals set {sets} from (values {_places(count, len(_CHANGING) + 3)}) as x"  # noqa: S608 (names only)
        " where approvals.id = x.column1 and approvals.version = x.column2"
        " and approvals.status = x.column3 returning id"
    )


def _places(rows: int, columns: int) -> str:
    one = f"({', '.join('?' * columns)})"
    return ", ".join([one] * rows)


_SIZES = range(MOST_AT_ONCE + 1)
INSERT_ALL = {
    table: ["", *(_insert_all(table, count) for count in _SIZES[1:])]
    for table in (ApprovalRow, DecisionRow, EventRow, OutboxRow, ResultRow)
}
"""To insert as many rows as the place says."""
UPDATE_ALL = ["", *(_update_all(count) for count in _SIZES[1:])]
_IDS = sa.func.json_each(sa.bindparam("ids", required=False)).table_valued("value")
VERSIONS = sa.select(APPROVALS.c.id, APPROVALS.c.version).where(
    APPROVALS.c.id.in_(sa.select(_IDS.c.value))
)
"""Id and version of these approvals; `ids` is a JSON array: no number of parameters bounds it."""
DECISIONS = (
    sa.select(DecisionRow.__table__)  # type: ignore[attr-defined]
    .where(col(DecisionRow.approval_id).in_(sa.select(_IDS.c.value)))
    .order_by(col(DecisionRow.approval_id), col(DecisionRow.seq))
)
"""The decisions on these approvals, each one's in order; `ids` is a JSON array."""
UNSEALED = "select id, hash from events where seal is null order by seal, at limit ?"
SET_SEAL = "update events set seal = ? where id = ?"
RENEW = (
    "insert into processes (id, started_at, alive_until, config_hash) values (?, ?, ?, ?)"
    " on conflict (id) do update set alive_until = excluded.alive_until,"
    " config_hash = excluded.config_hash"
)


def insert(connection: sqlite3.Connection, table: type[Any], row: Mapping[str, object]) -> None:
    """Insert one row."""
    connection.execute(INSERT[table], bound(row))


def insert_all(
    connection: sqlite3.Connection, table: type[Any], rows: Sequence[Mapping[str, object]]
) -> None:
    """Insert rows of one table; of results the newer one stays."""
    names = _WRITTEN[table]
    for some in _portions(rows):
        values = [_bound(row[name]) for row in some for name in names]
        connection.execute(INSERT_ALL[table][len(some)], values)


def update_all(
    connection: sqlite3.Connection,
    changes: Sequence[tuple[tuple[str, int, str], Mapping[str, object]]],
) -> set[str]:
    """Change approvals by id, as far as they have the version and status that stand beside it; the
    ids of those that are changed."""
    changed: set[str] = set()
    for some in _portions(changes):
        values = [
            _bound(value)
            for guard, row in some
            for value in (*guard, *(row[name] for name in _CHANGING))
        ]
        changed |= {id_ for (id_,) in connection.execute(UPDATE_ALL[len(some)], values)}
    return changed


def _portions(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for at in range(0, len(rows), MOST_AT_ONCE):
        yield rows[at : at + MOST_AT_ONCE]


def append(connection: sqlite3.Connection, stream: str, fact: Fact) -> None:
    """Link a fact to the end of its stream."""
    event = link(head_of(connection, stream), stream, fact)
    insert(connection, EventRow, mapping.event_row(event))


def head_of(connection: sqlite3.Connection, stream: str) -> Head:
    """The newest event of a stream."""
    row = connection.execute(
        "select seq, hash from events where stream = ? order by seq desc limit 1", (stream,)
    ).fetchone()
    return Head(seq=row[0], hash=row[1]) if row else Head()


def written(connection: sqlite3.Connection, op_id: str) -> Applied | None:
    """Whether an earlier try has written the operation."""
    row = connection.execute("select 1 from events where id = ?", (op_id,)).fetchone()
    return Applied() if row else None


def bound(row: Mapping[str, object]) -> dict[str, object]:
    """Values as SQLite keeps them."""
    return {name: _bound(value) for name, value in row.items()}


def _bound(value: object) -> object:
    return to_microseconds(value) if isinstance(value, datetime) else value


def returned(
    connection: sqlite3.Connection, table: type[Any], change: str, values: Mapping[str, object]
) -> list[dict[str, Any]]:
    """Run an update, and the whole of each row that it changed."""
    moments = {c.name for c in table.__table__.columns if isinstance(c.type, Moment)}
    sql = f"{change} returning {', '.join(COLUMNS[table])}"
    changed = connection.execute(sql, values).fetchall()
    found = [dict(zip(COLUMNS[table], row, strict=True)) for row in changed]
    return [
        {name: _moment(v) if name in moments and v is not None else v for name, v in row.items()}
        for row in found
    ]


_DIALECT = sqlite_dialect.dialect(paramstyle="named")


def rows(
    connection: sqlite3.Connection,
    query: sa.Select[Any],
    values: Mapping[str, object] | None = None,
) -> Iterator[dict[str, Any]]:
    """Run a statement of `queries` on the plain connection, row by row."""
    statement = _compiled(query) if values is None else _constant(query)
    for row in connection.execute(statement.sql, bound({**statement.values, **(values or {})})):
        yield {
            name: _moment(value) if moment and value is not None else value
            for (name, moment), value in zip(statement.columns, row, strict=True)
        }


def _moment(value: int) -> object:
    """The moment; what is none is left as it is, for who reads it to refuse."""
    try:
        return from_microseconds(value)
    except (TypeError, OverflowError):
        return value


@dataclass(frozen=True, slots=True)
class _Compiled:
    sql: str
    values: Mapping[str, object]
    columns: Sequence[tuple[str, bool]]


def _compiled(query: sa.Select[Any]) -> _Compiled:
    compiled = query.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    columns = [(c.name, isinstance(c.type, Moment)) for c in query.selected_columns]
    return _Compiled(str(compiled), compiled.params, columns)


_constant = lru_cache(maxsize=512)(_compiled)
