"""The PostgreSQL engine: one writing session per process, a pool for reading and cold writes."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import asyncpg as dialect

from approvals.errors import Unavailable
from approvals.ports import Urgency
from approvals.storage import mapping
from approvals.storage.commits import UNMETERED
from approvals.storage.newest import Newest
from approvals.storage.postgres_counters import full
from approvals.storage.postgres_outbox import PostgresOutbox
from approvals.storage.postgres_session import (
    ANSWER_WITHIN,
    CONNECT_WITHIN,
    LOST,
    SETTINGS,
    Session,
    heard,
    without_values,
)
from approvals.storage.postgres_sessions import PostgresSessions
from approvals.storage.postgres_statement import readable, storable
from approvals.storage.postgres_writer import Writer
from approvals.storage.reads import Enough, Found, Reads, Row, Values, may_be_id, never
from approvals.storage.together import Together, Unreadable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from approvals.domain.limits import Charge
    from approvals.domain.seal import Seal
    from approvals.domain.states import Approval
    from approvals.ports import Answer, KeyRecord, Operation, WriteMeter
    from approvals.storage.clock import DatabaseClock
    from approvals.storage.driver import Connection, Pool, Record
    from approvals.storage.postgres_operations import Told

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_WAIT = timedelta(seconds=10)
READERS = 8
READ_TRIES = 3


class PostgresStore(Reads):
    """Store and KeyStore over one PostgreSQL database, which any number of processes serve."""

    def __init__(self, url: str, clock: DatabaseClock, pool: Pool, meter: WriteMeter) -> None:
        """Use `PostgresStore.open`."""
        self._pool = pool
        self._clock = clock
        self._reader = _Reader(pool)
        super().__init__(self._reader, self._reader)
        self._newest = Newest()
        self._heads = Together(self._read_heads)
        self._writer = Writer(Session(url, clock), clock, meter, self._newest)
        self.sessions = PostgresSessions(self._reader.run)
        self.outbox = PostgresOutbox(self._reader.run, self._told, self._reader, clock.now)

    @classmethod
    async def open(
        cls, url: str, clock: DatabaseClock, meter: WriteMeter = UNMETERED
    ) -> PostgresStore:
        """Connect, and learn the server's time. Raises Unavailable when it does not answer."""
        try:
            async with asyncio.timeout(2 * CONNECT_WITHIN.total_seconds()):
                pool = await asyncpg.create_pool(
                    url,
                    min_size=1,
                    max_size=READERS,
                    timeout=CONNECT_WITHIN.total_seconds(),
                    command_timeout=ANSWER_WITHIN.total_seconds(),
                    server_settings=SETTINGS,
                    reset=_as_it_is,
                )
                async with pool.acquire() as connection:
                    await heard(connection, clock)
        except (*LOST, asyncpg.PostgresError) as error:
            raise Unavailable(f"The database cannot be reached: {error}") from error
        return cls(url, clock, pool, meter)

    async def close(self) -> None:
        """Write what waits, for as long as a write may take, and hang up."""
        await self._writer.close(within=MAX_WAIT)
        try:
            async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def is_busy(self) -> bool:
        """Whether any session on the database is inside a transaction."""
        return bool(await self._number(_BUSY))

    async def apply(
        self, operation: Operation, *, within: timedelta, urgency: Urgency = Urgency.PEOPLE
    ) -> Answer:
        return await self._writer.write(operation, within=within, urgency=urgency)

    async def approval(self, approval_id: str) -> Approval | None:
        """What this process wrote, or is writing, is the newest version if its event is."""
        if not may_be_id(approval_id):
            return None
        head = await self._heads.ask(approval_id)
        if head is None:
            return None
        if known := self._newest.at(approval_id, head):
            return known
        found = await super().approval(approval_id)
        if found is not None:
            self._newest.keep(found)
        return found

    async def _read_heads(self, ids: Sequence[str]) -> Mapping[str, str]:
        rows = await self._reader.run(lambda c: c.fetch(_HEADS, ids))
        return {row["id"]: row["head_hash"] for row in rows}

    async def full(self, charges: Sequence[Charge], *, holder: str | None = None) -> Charge | None:
        return await self._reader.run(lambda c: full(c, charges, holder or ""))

    async def drop_counters(self, *, before: datetime) -> None:
        await self._value("delete from counters where ends_at < $1", before)
        await self._value("delete from reservations where ends_at < $1", before)

    async def seal(
        self, root_of: Callable[[Seal | None, Sequence[str], datetime], Seal], *, limit: int
    ) -> Seal | None:
        return await self._reader.run(lambda c: _seal(c, root_of, limit))

    async def renew(self, process: str, *, config_hash: str, lasts: timedelta) -> int:
        asked = self._clock.elapsed()
        row = await self._reader.run(lambda c: c.fetchrow(_RENEW, process, lasts, config_hash))
        self._clock.heard(row["at"], asked=asked)  # also where nothing is written
        return int(row["n"])

    async def leave(self, process: str) -> None:
        await self._value("delete from processes where id = $1", process)

    async def ask_reload(self) -> int:
        return await self._number(_ASK_RELOAD)

    async def add_key(self, record: KeyRecord) -> None:
        row = {name: _bound(value) for name, value in mapping.key_row(record).items()}
        places = ", ".join(f"${i}" for i in range(1, len(row) + 1))
        sql = f"insert into keys ({', '.join(row)}) values ({places}) on conflict (id) do nothing"  # noqa: S608 (names only)
        await self._value(sql, *row.values())

    async def revoke_key(self, key_id: str, *, at: datetime) -> bool:
        return bool(await self._value(_REVOKE, key_id, at))

    async def set_starting_person(self, name: str, *, at: datetime) -> None:
        sql = (
            "insert into starting_people (name, created_at) values ($1, $2) on conflict do nothing"
        )
        await self._value(sql, name, at)

    async def ping(self) -> None:
        await self._value("select 1")

    async def _told(self, told: Told) -> None:
        await self._writer.write(told, within=MAX_WAIT, urgency=Urgency.JOBS)

    async def _number(self, sql: str, *values: object) -> int:
        return int(str(await self._value(sql, *values)))

    async def _value(self, sql: str, *values: object) -> object:
        return await self._reader.run(lambda c: c.fetchval(sql, *values))


_BUSY = """
select count(*) from pg_stat_activity
where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()
"""
_VERSIONS = "select id, version from approvals where id = any($1)"
_HEADS = "select id, head_hash from approvals where id = any($1)"
_RENEW = """
with reloads as (select coalesce(max(value), 0) as n from epochs where name = 'reload'),
renewed as (
  insert into processes (id, started_at, alive_until, config_hash)
  values ($1, clock_timestamp(), clock_timestamp() + $2::interval, $3)
  on conflict (id) do update
    set alive_until = excluded.alive_until, config_hash = excluded.config_hash
)
select n, clock_timestamp() as at from reloads
"""
_ASK_RELOAD = """
insert into epochs (name, value) values ('reload', 1)
on conflict (name) do update set value = epochs.value + 1 returning value
"""
_UNSEALED = """
select id, hash, clock_timestamp() as now from events
where seal is null order by seal, at limit $1
"""
_REVOKE = """
update keys set revoked_at = $2 where id = $1 and revoked_at is null returning true
"""


async def _as_it_is(connection: Connection) -> None:
    """Nothing of a session is ever set, so nothing is to be reset: that would be one more round
    trip after every read."""
    del connection


async def _seal(
    connection: Connection,
    root_of: Callable[[Seal | None, Sequence[str], datetime], Seal],
    limit: int,
) -> Seal | None:
    async with connection.transaction():
        await connection.execute("lock table seals in exclusive mode")
        taken = await connection.fetch(_UNSEALED, limit)
        if not taken:
            return None
        newest = await connection.fetch("select * from seals order by number desc limit 1")
        before = mapping.seal_of(newest[0]) if newest else None
        seal = root_of(before, [row["hash"] for row in taken], taken[0]["now"])
        row = mapping.seal_row(seal)
        places = ", ".join(f"${i}" for i in range(1, len(row) + 1))
        sql = f"insert into seals ({', '.join(row)}) values ({places})"  # noqa: S608 (names only)
        await connection.execute(sql, *row.values())
        ids = [row["id"] for row in taken]
        await connection.execute("update events set seal = $1 where id = any($2)", seal.number, ids)
    return seal


class _Reader:
    """Reads over the pool; what a lost connection could not answer is asked again."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def run(self, read: Callable[[Connection], Awaitable[T]]) -> T:
        """What `read` brings. Raises Unavailable when the database does not answer."""
        for left in reversed(range(READ_TRIES)):
            try:
                async with asyncio.timeout(2 * ANSWER_WITHIN.total_seconds()):
                    async with self._pool.acquire() as connection:
                        return await read(connection)
            except LOST as error:
                if not left or isinstance(error, TimeoutError):
                    raise Unavailable("The database does not answer.") from error
            except asyncpg.PostgresError as error:
                raise Unreadable("The database cannot be read.") from without_values(error)
        raise AssertionError

    async def rows(self, query: sa.Select[Any], values: Values | None = None) -> Sequence[Row]:
        asked = _compiled(query) if values is None else _constant(query)
        found = await self.run(lambda c: c.fetch(asked.sql, *asked.bound(values or {})))
        return [_row(record) for record in found]

    async def approvals(
        self, query: sa.Select[Any], values: Values | None = None, *, enough: Enough = never
    ) -> Sequence[Found]:
        asked = _with_decisions(query) if values is None else _constant_with_decisions(query)
        bound = asked.bound(values or {})

        async def read(connection: Connection) -> Sequence[Found]:
            if enough is never:
                return [_parts(record) for record in await connection.fetch(asked.sql, *bound)]
            found = []
            async with connection.transaction(readonly=True):
                async for record in connection.cursor(asked.sql, *bound, prefetch=20):
                    parts = _parts(record)
                    if enough(parts[0]):
                        break
                    found.append(parts)
            return found

        return await self.run(read)

    async def by_id(self, ids: Sequence[str]) -> Mapping[str, Found]:
        return await self._each(_BY_ID, ids)

    async def versions(self, ids: Sequence[str]) -> Mapping[str, int]:
        rows = await self.run(lambda c: c.fetch(_VERSIONS, ids))
        return {row["id"]: row["version"] for row in rows}

    async def latest_of(self, identities: Sequence[str]) -> Mapping[str, Found]:
        return await self._each(_LATEST_OF, identities)

    async def _each(self, sql: str, asked: Sequence[str]) -> Mapping[str, Found]:
        found = await self.run(lambda c: c.fetch(sql, asked))
        return {record["asked"]: _parts(record) for record in found}


@dataclass(frozen=True, slots=True)
class _Compiled:
    sql: str
    names: Sequence[str]
    values: Mapping[str, object]

    def bound(self, values: Values) -> list[object]:
        given = {**self.values, **values}
        return [_bound(given[name]) for name in self.names]


_DIALECT: sa.Dialect = dialect.dialect()  # type: ignore[no-untyped-call]
_DECISIONS = """(
  select json_agg(row_to_json(d) order by d.seq) from decisions d where d.approval_id = approvals.id
)"""
_BY_ID = f"""
select id as asked, approvals.*, {_DECISIONS} as decisions from approvals where id = any($1)
"""  # noqa: S608 (names only)
_LATEST_OF = f"""
select a.* from unnest($1::text[]) as asked(identity) cross join lateral (
  select identity as asked, approvals.*, {_DECISIONS} as decisions from approvals
  where identity = asked.identity
  order by open_identity is null, created_at desc, id desc limit 1
) as a
"""  # noqa: S608 (names only)


def _compiled(query: sa.Select[Any]) -> _Compiled:
    compiled = query.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    return _Compiled(str(compiled), compiled.positiontup or (), compiled.params)


def _with_decisions(query: sa.Select[Any]) -> _Compiled:
    return _compiled(query.add_columns(sa.literal_column(_DECISIONS).label("decisions")))


_constant = lru_cache(maxsize=512)(_compiled)
_constant_with_decisions = lru_cache(maxsize=512)(_with_decisions)


def _bound(value: object) -> object:
    return storable(value) if isinstance(value, str) else value


def _row(record: Record) -> dict[str, Any]:
    return {
        name: readable(value) if isinstance(value, str) else value for name, value in record.items()
    }


def _parts(record: Record) -> Found:
    row = dict(record.items())
    made = json.loads(row.pop("decisions") or "[]")
    return _row(row), [_row({**d, "at": _moment(d["at"])}) for d in made]


def _moment(text: str) -> object:
    """The moment; what is none is left as it is, for who reads it to refuse."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text
