"""Counters on PostgreSQL: locked in order, looked at here, changed by the flush they belong to.

Sums are made in Python, one reservation after the other: 50 reservations on one counter in one
UPDATE would all see the same old value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from approvals.domain.states import Transition
from approvals.ports import Answer, Full, Record, Reserve, TooLate
from approvals.storage.postgres_operations import charges_of
from approvals.storage.postgres_statement import storable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from approvals.domain.limits import Charge
    from approvals.ports import Operation
    from approvals.storage.driver import Connection
    from approvals.storage.driver import Record as Row
    from approvals.storage.postgres_operations import Told, Write

_MAKE = """
insert into counters (key, starts_at, ends_at, used)
select x.key, x.starts_at, x.ends_at, '0'
from unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) as x(key, starts_at, ends_at)
order by x.key, x.starts_at
on conflict do nothing
"""
_LOCK = """
select c.key, c.starts_at, c.used from counters c
where (c.key, c.starts_at) in (
  select x.key, x.starts_at from unnest($1::text[], $2::timestamptz[]) as x(key, starts_at)
)
order by c.key, c.starts_at for update
"""
_USED = _LOCK.removesuffix(" for update\n")
_HELD = "select holder, key, starts_at from reservations where holder = any($1)"
_LOCKED_ROWS = """
with free as (select a.id from approvals a where a.id = any($1) for update skip locked)
select a.id from approvals a where a.id = any($1) and a.id not in (select f.id from free f)
"""
_LOCKED_COUNTERS = """
with wanted as (
  select distinct x.key, x.starts_at
  from unnest($1::text[], $2::timestamptz[]) as x(key, starts_at)
), free as (
  select c.key, c.starts_at from counters c
  where (c.key, c.starts_at) in (select w.key, w.starts_at from wanted w)
  for update skip locked
)
select c.key, c.starts_at from counters c
where (c.key, c.starts_at) in (select w.key, w.starts_at from wanted w)
  and (c.key, c.starts_at) not in (select f.key, f.starts_at from free f)
"""
_STOPPED = """
select clock_timestamp() as at,
  array(select e.id from events e where e.id = any($1)) as known,
  array(
    select x.n from unnest($2::int[], $3::text[], $4::text[]) as x(n, server, agent)
    where exists (
      select 1 from freezes f where f.ended_at is null
        and (f.server is null or f.server = x.server) and (f.agent is null or f.agent = x.agent)
    )
  ) as frozen
"""

Place = tuple[str, "datetime"]


@dataclass(slots=True)
class Room:
    """What operations of one flush take, by their place, and what those that may not are told."""

    taken: dict[int, Sequence[Charge]] = field(default_factory=dict)
    refused: dict[int, Answer] = field(default_factory=dict)


async def room_for(connection: Connection, operations: Sequence[Write]) -> Room:
    """Lock the counters of these operations until the transaction ends, and share them out."""
    charges = [charge for operation in operations for charge in charges_of(operation)]
    used = await _locked(connection, charges)
    held = await _held(connection, [o.op_id for o in operations if charges_of(o)])
    stopped = await _stopped(connection, operations)
    room = Room()
    for n, operation in enumerate(operations):
        wanted = [c for c in charges_of(operation) if (operation.op_id, *_place(c)) not in held]
        if not wanted or n in stopped["frozen"] or operation.op_id in stopped["known"]:
            continue
        if any(not charge.start <= stopped["at"] < charge.end for charge in wanted):
            room.refused[n] = TooLate(now=stopped["at"])
        elif full := first_full(used, wanted):
            room.refused[n] = Full(charge=full)
        else:
            room.taken[n] = wanted
            for charge in wanted:
                used[_place(charge)] += charge.amount
    return room


async def locked_rows(connection: Connection, operations: Sequence[Operation | Told]) -> set[int]:
    """The places of the operations whose row or counter somebody else's session has locked now."""
    ids = {o.after.id: n for n, o in enumerate(operations) if isinstance(o, Transition)}
    locked = {ids[row["id"]] for row in await connection.fetch(_LOCKED_ROWS, list(ids))}
    wanted = [
        (n, *_place(charge))
        for n, o in enumerate(operations)
        if isinstance(o, Record | Reserve)
        for charge in charges_of(o)
    ]
    keys, starts = [key for _, key, _ in wanted], [start for _, _, start in wanted]
    rows = await connection.fetch(_LOCKED_COUNTERS, keys, starts)
    places = {(row["key"], row["starts_at"]) for row in rows}
    return locked | {n for n, key, start in wanted if (key, start) in places}


async def full(connection: Connection, charges: Sequence[Charge], holder: str) -> Charge | None:
    """The first of these that has no room now, beside what `holder` has; nothing is locked."""
    held = await _held(connection, [holder])
    wanted = [charge for charge in charges if (holder, *_place(charge)) not in held]
    return first_full(await _amounts(connection, _USED, wanted), wanted)


def first_full(used: dict[Place, int], charges: Sequence[Charge]) -> Charge | None:
    """The first charge that its counter has no room for."""
    for charge in charges:
        if used[_place(charge)] + charge.amount > charge.max_:
            return charge
    return None


async def _locked(connection: Connection, charges: Sequence[Charge]) -> dict[Place, int]:
    places = {_place(charge): charge.end for charge in charges}
    keys, starts = [key for key, _ in places], [start for _, start in places]
    await connection.execute(_MAKE, keys, starts, list(places.values()))
    return await _amounts(connection, _LOCK, charges)


async def _amounts(connection: Connection, sql: str, charges: Sequence[Charge]) -> dict[Place, int]:
    places = {_place(charge): 0 for charge in charges}
    keys, starts = [key for key, _ in places], [start for _, start in places]
    for row in await connection.fetch(sql, keys, starts):
        places[row["key"], row["starts_at"]] = int(row["used"])
    return places


async def _held(connection: Connection, holders: Sequence[str]) -> set[tuple[str, str, datetime]]:
    rows = await connection.fetch(_HELD, holders)
    return {(row["holder"], row["key"], row["starts_at"]) for row in rows}


async def _stopped(connection: Connection, operations: Sequence[Write]) -> Row:
    """The time, which records are written already, and which a freeze stops."""
    runs = [
        (n, *map(storable, o.runs))
        for n, o in enumerate(operations)
        if isinstance(o, Record) and o.runs
    ]
    known = [o.op_id for o in operations if isinstance(o, Record)]
    places, servers, agents = ([run[i] for run in runs] for i in range(3))
    return await connection.fetchrow(_STOPPED, known, places, servers, agents)


def _place(charge: Charge) -> Place:
    return storable(charge.key), charge.start
