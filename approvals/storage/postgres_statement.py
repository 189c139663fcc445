"""The one statement of a flush: many operations, each all or nothing, in one round trip.

First all rows that change are locked in the order of their ids, so that two replicas never wait for
each other in a circle. Then every operation is judged once, and everything that belongs to it is
joined to that judgement by its ordinal `n`, never by the approval's id: two operations on one row
would otherwise have one winner and two audit events. A late deadline is judged after the last lock,
by `clock_timestamp()`: `now()` is the time the statement began, which may be long before it got its
locks.

Rows travel as JSON text, so that a column added by a newer version does not disturb an older one.

A plan is kept from the first minute, when the server knows nothing of its tables. So what is looked
up for each operation is a subquery with a limit, where an `exists` could become a hash of the whole
table; and what is changed is named by an array, where a join could walk through all of it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from approvals.storage import mapping
from approvals.storage.tables import (
    ApprovalRow,
    DecisionRow,
    EventRow,
    Moment,
    OutboxRow,
    ReservationRow,
    ResultRow,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, object]

_MARK = "\U0010ffff"
"""A noncharacter: it stands before `0` for a NUL, which PostgreSQL's text cannot hold, and before
`1` for itself."""

OPERATIONS = (
    "n int, kind text, id text, identity text, repeated boolean, version int, status text,"
    " valid_from timestamptz, valid_until timestamptz, server text, agent text, freezable boolean,"
    " most int, stream text, op_id text"
)


def _type(column: sa.Column[Any]) -> str:
    if isinstance(column.type, Moment):
        return "timestamptz"
    if isinstance(column.type, sa.Boolean):
        return "boolean"
    return "int" if isinstance(column.type, sa.Integer) else "text"


def _types(table: type[Any]) -> dict[str, str]:
    return {column.name: _type(column) for column in table.__table__.columns}


_TABLES = (ApprovalRow, DecisionRow, EventRow, OutboxRow, ReservationRow, ResultRow)
_TYPES = {table: _types(table) for table in _TABLES}
_NEW_OUTBOX = {name: _TYPES[OutboxRow][name] for name in mapping.NEW_OUTBOX}
_CHANGING = [name for name in _TYPES[ApprovalRow] if name in mapping.CHANGING_COLUMNS]

_JUDGED = """
with ops as materialized (
  select * from json_to_recordset($1::json) as o(OPERATIONS)
), locked as materialized (
  select a.id, a.version, a.status from approvals a
  where a.id = any(array(select o.id from ops o where o.kind = 'change'))
  order by a.id for update
), moment as materialized (
  select clock_timestamp() as at from (select count(*) from locked) as all_of_them
), waiting as materialized (
  select p.agent, (
    select count(*) from (
      select 1 from approvals a where a.status = 'pending' and a.agent = p.agent limit p.most
    ) as counted
  ) as n
  from (select o.agent, max(o.most) as most from ops o where o.kind = 'park' group by o.agent) as p
), looked as materialized (
  select o.*, m.at,
    case when o.kind = 'park' then (
      select a.id from approvals a where a.open_identity = o.identity
    ) end as existing,
    o.kind in ('park', 'record') and coalesce((
      select true from events e
      where e.id = o.op_id and e.stream = coalesce(o.stream, o.id) limit 1
    ), false) as known,
    case when o.freezable then (
      select f.reason from freezes f where f.ended_at is null
        and (f.server is null or f.server = o.server) and (f.agent is null or f.agent = o.agent)
      limit 1 for key share
    ) end as reason
  from ops o cross join moment m
), first_judged as materialized (
  select l.*, case
    when l.known then 'known'
    when l.existing is not null then 'duplicate'
    when l.repeated then 'again'
    when l.kind = 'change'
      and (l.id, l.version, l.status) not in (select a.id, a.version, a.status from locked a)
      then 'conflict'
    when l.at < l.valid_from or l.at >= l.valid_until then 'late'
    when l.reason is not null then 'frozen'
    when l.kind = 'park' and l.most < (select w.n from waiting w where w.agent = l.agent)
      + sum(case when l.existing is null and l.reason is null and not l.repeated then 1 else 0 end)
        over (partition by l.kind, l.agent order by l.n)
      then 'many'
    else 'won' end as answer
  from looked l
), judged as materialized (
  select j.n, j.kind, j.id, j.op_id, j.at, j.reason, j.existing, case
    when j.kind = 'record' and j.answer = 'won'
      and bool_or(j.answer <> 'won') over (partition by j.kind, j.stream order by j.n) then 'again'
    else j.answer end as answer
  from first_judged j
)""".replace("OPERATIONS", OPERATIONS)

_ANSWERS = """
select j.n, j.reason, j.existing, j.at,
  case when j.answer = 'won' and not j.n in (select w.n from wrote w) then 'again'
    else j.answer end as answer,
  j.answer <> 'won'
    and coalesce((select true from events e where e.id = j.op_id limit 1), false) as applied
from judged j order by j.n
"""

_PARKED = """, parked as (
  insert into approvals ({names})
  select {x_names} from json_to_recordset({p}::json) as x(n int, {types})
  where x.n in (select j.n from judged j where j.answer = 'won')
  on conflict do nothing returning id
)"""
_CHANGED = """, changed as (
  update approvals a set {sets}
  from json_to_recordset({p}::json) as x(n int, id text, {types})
  where a.id = x.id and x.n in (select j.n from judged j where j.answer = 'won')
    and a.id = any(array(select o.id from ops o where o.kind = 'change'))
  returning x.n
)"""
_INSERTED = """, {table}_written as (
  insert into {table} ({names})
  select {x_names} from json_to_recordset({p}::json) as x(n int, {types})
  where x.n in (select w.n from wrote w){on_conflict}
)"""
_TOLD = """, told as (
  update outbox o set attempts = o.attempts + 1, error = nullif(x.error, ''), leased_until = null,
    tried = case when o.attempts < 20
      then coalesce(o.tried, '[]')::jsonb || jsonb_build_array(t.one)
      else jsonb_set(o.tried::jsonb, '{{-1}}', t.one) end::text,
    done_at = case when x.ended is not null then clock_timestamp() end,
    ended = x.ended, unclear = coalesce(o.unclear, 0) + x.unclear,
    told_at = coalesce(o.told_at, case when x.ended = 'told' then clock_timestamp() end),
    due_at = case when x.ended is not null then o.due_at
      else clock_timestamp() + x.wait_us * interval '1 microsecond' end
  from json_to_recordset({p}::json) as x(
    n int, id text, error text, wait_us bigint, unclear int, ended text
  ), lateral (select jsonb_build_object('at', clock_timestamp(), 'error', x.error) as one) as t
  where o.id = x.id and (o.done_at is null or x.ended = 'told')
    and o.id = any(array(select p.id from ops p where p.kind = 'told'))
)"""
_KEPT = """, kept as (
  insert into messages (approval_id, receipt, channel, at)
  select o.approval_id, x.receipt, o.channel, clock_timestamp()
  from json_to_recordset({p}::json) as x(n int, id text, receipt text)
  join outbox o on o.id = x.id and o.id = any(array(select p.id from ops p where p.kind = 'told'))
  on conflict do nothing
)"""
_FREED = """, freed as (
  delete from reservations r
  where r.holder in (
    select x.holder from json_to_recordset({p}::json) as x(n int, holder text)
    where x.n in (select w.n from wrote w)
  )
  returning r.key, r.starts_at, r.amount
)"""
_TAKEN = """, taken as (
  insert into reservations ({names})
  select {x_names} from json_to_recordset({p}::json) as x(n int, {types})
  where x.n in (select w.n from wrote w)
  returning key, starts_at, amount
)"""
_SETTLED = """, settled as (
  update counters c set used = (c.used::numeric + d.amount)::text
  from (
    select b.key, b.starts_at, sum(b.amount) as amount from ({both}) as b
    group by b.key, b.starts_at
  ) as d
  where c.key = d.key and c.starts_at = d.starts_at
)"""

_WROTE = """, wrote as materialized (
  select j.n from judged j where j.answer = 'won'
    and case j.kind when 'park' then {park} when 'change' then {change} else true end
)"""

PARTS = (
    "parked", "changed", "events", "decisions", "results", "outbox", "told", "kept", "freed",
    "taken",
)  # fmt: skip
"""What an operation may bring along, in the order of the statement's parameters."""


@cache
def statement(parts: frozenset[str]) -> str:
    """The statement for a flush in which these parts occur; its parameters are the operations and
    then the rows of each part."""
    places = {part: f"${i}" for i, part in enumerate((p for p in PARTS if p in parts), start=2)}
    written = [_part(part, place) for part, place in places.items()]
    first = [text for part, text in zip(places, written, strict=True) if part in _BEFORE]
    later = [text for part, text in zip(places, written, strict=True) if part not in _BEFORE]
    return "".join([_JUDGED, *first, _wrote(parts), *later, _settled(parts), _ANSWERS])


def insertion(table: type[Any]) -> str:
    """Insert rows of a table, by the columns that this version knows."""
    names = ", ".join(_types(table))
    name = table.__tablename__
    return (
        f"insert into {name} ({names}) select {names}"  # noqa: S608 (names only)
        f" from json_populate_recordset(null::{name}, $1::json)"
    )


def encoded(rows: Iterable[Row]) -> str:
    """Rows as the JSON text that the statement reads."""
    rows = list(rows)
    text = _dumps(rows)
    if "\\u0000" in text or _MARK in text:
        text = _dumps([{name: _escaped(value) for name, value in row.items()} for row in rows])
    return text


def readable(text: str) -> str:
    """A stored text as it was given."""
    if _MARK not in text:
        return text
    return text.replace(_MARK + "0", "\0").replace(_MARK + "1", _MARK)


def storable(text: str) -> str:
    """A text as PostgreSQL can hold it."""
    return text.replace(_MARK, _MARK + "1").replace("\0", _MARK + "0")


_BEFORE = {"parked", "changed"}


def _part(part: str, place: str) -> str:
    match part:
        case "parked":
            return _insert(_PARKED, ApprovalRow, place)
        case "changed":
            sets = ", ".join(f"{name} = x.{name}" for name in _CHANGING)
            types = ", ".join(f"{name} {_TYPES[ApprovalRow][name]}" for name in _CHANGING)
            return _CHANGED.format(sets=sets, types=types, p=place)
        case "events":
            return _insert(_INSERTED, EventRow, place)
        case "decisions":
            return _insert(_INSERTED, DecisionRow, place)
        case "results":
            again = "\n  on conflict (approval_id) do update set text = excluded.text"
            return _insert(_INSERTED, ResultRow, place, on_conflict=again)
        case "outbox":
            return _insert(_INSERTED, OutboxRow, place)
        case "taken":
            return _insert(_TAKEN, ReservationRow, place)
        case "freed":
            return _FREED.format(p=place)
        case "kept":
            return _KEPT.format(p=place)
    return _TOLD.format(p=place)


def _insert(template: str, table: type[Any], place: str, *, on_conflict: str = "") -> str:
    types = _NEW_OUTBOX if table is OutboxRow else _TYPES[table]
    return template.format(
        table=table.__tablename__,
        names=", ".join(types),
        x_names=", ".join(f"x.{name}" for name in types),
        types=", ".join(f"{name} {kind}" for name, kind in types.items()),
        p=place,
        on_conflict=on_conflict,
    )


def _wrote(parts: frozenset[str]) -> str:
    park = "j.id in (select p.id from parked p)" if "parked" in parts else "false"
    change = "j.n in (select c.n from changed c)" if "changed" in parts else "false"
    return _WROTE.format(park=park, change=change)


def _settled(parts: frozenset[str]) -> str:
    both = []
    if "taken" in parts:
        both.append("select key, starts_at, amount::numeric as amount from taken")
    if "freed" in parts:
        both.append("select key, starts_at, -(amount::numeric) as amount from freed")
    return _SETTLED.format(both=" union all ".join(both)) if both else ""


def _dumps(rows: Sequence[Row]) -> str:
    """Moments as RFC 3339; the sessions are in UTC."""
    return orjson.dumps(rows, option=orjson.OPT_PASSTHROUGH_DATACLASS).decode()


def _escaped(value: object) -> object:
    return storable(value) if isinstance(value, str) else value
