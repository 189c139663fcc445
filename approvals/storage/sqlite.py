"""The SQLite engine: one writer thread with group commit, readers beside it."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import takewhile
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from approvals.domain.states import Approval
from approvals.errors import Unavailable, Undetermined
from approvals.ports import Answer, KeyRecord, Urgency
from approvals.storage import audit_queries, mapping, queries
from approvals.storage.commits import UNMETERED, Commits
from approvals.storage.newest import Newest
from approvals.storage.reads import Enough, Found, Reads, Row, Values, never
from approvals.storage.sqlite_counters import first_full, still_to_take
from approvals.storage.sqlite_many import at_once
from approvals.storage.sqlite_operations import Plain, newest, row_of, work_of
from approvals.storage.sqlite_outbox import SqliteOutbox
from approvals.storage.sqlite_rows import (
    DECISIONS,
    RENEW,
    SET_SEAL,
    UNSEALED,
    VERSIONS,
    insert,
    rows,
)
from approvals.storage.sqlite_sessions import SqliteSessions
from approvals.storage.tables import (
    KeyRow,
    SealRow,
    StartingPersonRow,
    to_microseconds,
)
from approvals.storage.together import Unreadable
from approvals.storage.writer import Work, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from approvals.domain.limits import Charge
    from approvals.domain.seal import Seal
    from approvals.ports import Clock, Operation, WriteMeter

T = TypeVar("T")

logger = logging.getLogger(__name__)

BUSY_TIMEOUT = timedelta(seconds=5)
MAX_WAIT = timedelta(seconds=10)
MANY = 10_000


class SqliteStore(Reads):
    """Store and KeyStore over one database file, which exactly one process may serve."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        prepare: Callable[[], None],
        meter: WriteMeter = UNMETERED,
        factory: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
        """Take the file for this process; `prepare` then brings its schema up to date.

        `factory` makes the writer's connection.
        """
        path = path.resolve()  # a link to the file is the same database
        self._lock = _lock(path)
        path.touch(mode=0o600)
        prepare()
        writing = _connect(path, factory)
        writing.execute("pragma journal_mode = wal")
        writing.execute("pragma temp_store = memory")  # savepoints write no files of their own
        writing.execute("pragma secure_delete = on")  # what is erased is not left in free pages
        writing.execute("delete from processes")  # the lock says that none of them lives
        self._newest = Newest()
        self._writer = Writer(writing, clock, meter, at_once=at_once, ended=self._ended)
        self._commits = Commits(meter, clock)
        self._readers = (_Reader(path), _Reader(path))
        super().__init__(*self._readers)
        self.sessions = SqliteSessions(self._submit, self._readers[0].run, clock.now)
        self.outbox = SqliteOutbox(self._submit_job, self._readers[1], clock.now)
        self._writer.start()

    async def close(self) -> None:
        """Commit what waits and let go of the file."""
        await self._writer.close()
        for reader in self._readers:
            await reader.close()
        self._lock.close()

    async def is_busy(self) -> bool:
        """Whether any connection is inside a transaction."""
        return any(c.in_transaction for c in self._connections())

    def _connections(self) -> list[sqlite3.Connection]:
        readers = [reader.connection for reader in self._readers]
        return [self._writer.connection, *(c for c in readers if c is not None)]

    async def apply(
        self, operation: Operation, *, within: timedelta, urgency: Urgency = Urgency.PEOPLE
    ) -> Answer:
        row, work = row_of(operation), work_of(operation)
        future = self._writer.submit(row, work, urgency=urgency)
        self._commits.watch(operation, future)
        answer = await _answer(future, within=within)
        assert isinstance(answer, Answer)  # noqa: S101 (work_of answers nothing else)
        return answer

    async def approval(self, approval_id: str) -> Approval | None:
        """What this process wrote last is the newest version: no other process writes."""
        return self._newest.get(approval_id) or await super().approval(approval_id)

    def _ended(self, work: Work, answer: object) -> None:
        match newest(work, answer):
            case (_, Approval() as approval):
                self._newest.keep(approval)
            case (approval_id, None):
                self._newest.drop(approval_id)

    async def full(self, charges: Sequence[Charge], *, holder: str | None = None) -> Charge | None:
        return await self._readers[0].run(
            lambda c: first_full(c, still_to_take(c, holder or "", charges))
        )

    async def drop_counters(self, *, before: datetime) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            del now
            for table in ("counters", "reservations"):
                sql = f"delete from {table} where ends_at < ?"  # noqa: S608 (no values in it)
                connection.execute(sql, (to_microseconds(before),))

        await self._submit("counters", work, urgency=Urgency.JOBS)

    async def seal(
        self, root_of: Callable[[Seal | None, Sequence[str], datetime], Seal], *, limit: int
    ) -> Seal | None:
        def work(connection: sqlite3.Connection, now: datetime) -> Seal | None:
            taken = connection.execute(UNSEALED, (limit,)).fetchall()
            if not taken:
                return None
            newest = next(rows(connection, audit_queries.NEWEST_SEAL, {}), None)
            before = None if newest is None else mapping.seal_of(newest)
            seal = root_of(before, [hash_ for _, hash_ in taken], now)
            insert(connection, SealRow, mapping.seal_row(seal))
            connection.executemany(SET_SEAL, [(seal.number, id_) for id_, _ in taken])
            return seal

        return await self._submit("seals", work, urgency=Urgency.JOBS)

    async def renew(self, process: str, *, config_hash: str, lasts: timedelta) -> int:
        def work(connection: sqlite3.Connection, now: datetime) -> int:
            values = (process, to_microseconds(now), to_microseconds(now + lasts), config_hash)
            connection.execute(RENEW, values)
            return _reloads(connection)

        return await self._submit(process, work)  # without it nothing more is sent

    async def leave(self, process: str) -> None:
        await self._update("delete from processes where id = :id", {"id": process})

    async def ask_reload(self) -> int:
        def work(connection: sqlite3.Connection, now: datetime) -> int:
            del now
            connection.execute(
                "insert into epochs (name, value) values ('reload', 1)"
                " on conflict (name) do update set value = value + 1"
            )
            return _reloads(connection)

        return await self._submit("epochs", work)

    async def add_key(self, record: KeyRecord) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            del now
            known = connection.execute("select 1 from keys where id = ?", (record.id,))
            if known.fetchone() is None:  # a lost commit answer makes this run twice
                insert(connection, KeyRow, mapping.key_row(record))

        await self._submit(record.id, work)

    async def revoke_key(self, key_id: str, *, at: datetime) -> bool:
        changed = await self._update(
            "update keys set revoked_at = :at where id = :id and revoked_at is null",
            {"id": key_id, "at": to_microseconds(at)},
        )
        return changed == 1

    async def set_starting_person(self, name: str, *, at: datetime) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            del now
            insert(connection, StartingPersonRow, {"name": name, "created_at": at})

        await self._submit("starting_people", work)

    async def ping(self) -> None:
        await self._readers[0].run(lambda c: c.execute("select 1").fetchone())

    async def _update(self, sql: str, values: dict[str, object]) -> int:
        def work(connection: sqlite3.Connection, now: datetime) -> int:
            return connection.execute(sql, {**values, "now": to_microseconds(now)}).rowcount

        return await self._submit(str(values["id"]), work, urgency=Urgency.JOBS)

    async def _submit_job(
        self, row: str, work: Callable[[sqlite3.Connection, datetime], T], /
    ) -> T:
        return await self._submit(row, work, urgency=Urgency.JOBS)

    async def _submit(
        self,
        row: str,
        work: Callable[[sqlite3.Connection, datetime], T],
        *,
        urgency: Urgency = Urgency.PEOPLE,
    ) -> T:
        future = self._writer.submit(row, Plain(work), urgency=urgency)
        return cast("T", await _answer(future, within=MAX_WAIT))


class SqliteAudit(Reads):
    """A database file that is looked at, also while a server uses it; it is not made."""

    def __init__(self, path: Path) -> None:
        self._reader = _Reader(path.resolve(), must_exist=True)
        super().__init__(self._reader, self._reader)

    async def close(self) -> None:
        await self._reader.close()


class _Reader:
    """A thread with a connection that cannot write."""

    def __init__(self, path: Path, *, must_exist: bool = False) -> None:
        self._path: str | Path = f"{path.as_uri()}?mode=ro" if must_exist else path
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="approvals-reader")
        self.connection: sqlite3.Connection | None = None

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Run `read` on the connection. Raises Unavailable when the database does not answer."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, read)
        except sqlite3.Error as error:
            raise Unreadable("The database cannot be read.") from error

    async def rows(self, query: sa.Select[Any], values: Values | None = None) -> Sequence[Row]:
        return await self.run(lambda c: list(rows(c, query, values)))

    async def approvals(
        self, query: sa.Select[Any], values: Values | None = None, *, enough: Enough = never
    ) -> Sequence[Found]:
        def read(connection: sqlite3.Connection) -> Sequence[Found]:
            with _one_moment(connection):
                found = takewhile(lambda row: not enough(row), rows(connection, query, values))
                return _with_decisions(connection, list(found))

        return await self.run(read)

    async def by_id(self, ids: Sequence[str]) -> Mapping[str, Found]:
        return await self.run(lambda c: _each(c, queries.APPROVAL, "id", ids))

    async def versions(self, ids: Sequence[str]) -> Mapping[str, int]:
        found = await self.rows(VERSIONS, {"ids": json.dumps(ids)})
        return {row["id"]: row["version"] for row in found}

    async def latest_of(self, identities: Sequence[str]) -> Mapping[str, Found]:
        return await self.run(lambda c: _each(c, queries.LATEST, "identity", identities))

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._pool, self._close)
        self._pool.shutdown(wait=True)

    def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        if self.connection is None:
            self.connection = _connect(self._path)
            self.connection.execute("pragma query_only = on")
        return read(self.connection)

    def _close(self) -> None:
        if self.connection is not None:
            self.connection.close()


def _each(
    connection: sqlite3.Connection, query: sa.Select[Any], name: str, asked: Sequence[str]
) -> dict[str, Found]:
    """The approval that the statement finds for each value of `name`, all at one moment."""
    with _one_moment(connection):
        found = [row for value in asked for row in rows(connection, query, {name: value})]
        return {parts[0][name]: parts for parts in _with_decisions(connection, found)}


def _with_decisions(connection: sqlite3.Connection, found: Sequence[Row]) -> list[Found]:
    made: dict[str, list[Row]] = {row["id"]: [] for row in found}
    for decision in rows(connection, DECISIONS, {"ids": json.dumps(list(made))}):
        made[decision["approval_id"]].append(decision)
    return [(row, made[row["id"]]) for row in found]


async def _answer(future: asyncio.Future[object], *, within: timedelta) -> object:
    done, _ = await asyncio.wait({future}, timeout=within.total_seconds())
    if not done:
        raise Undetermined("The database has not answered in time.")
    return future.result()


def _reloads(connection: sqlite3.Connection) -> int:
    row = connection.execute("select value from epochs where name = 'reload'").fetchone()
    return 0 if row is None else int(row[0])


@contextmanager
def _one_moment(connection: sqlite3.Connection) -> Iterator[None]:
    """What is read inside was all true at one moment."""
    connection.execute("begin")
    try:
        yield
    finally:
        connection.execute("commit")


def _connect(
    path: str | Path, factory: type[sqlite3.Connection] = sqlite3.Connection
) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        uri=isinstance(path, str),
        timeout=BUSY_TIMEOUT.total_seconds(),
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
        factory=factory,
    )
    connection.execute("pragma synchronous = full")
    connection.execute("pragma foreign_keys = on")
    return connection


def _lock(path: Path) -> IO[str]:
    """Hold the database for this process; a second server would call sent calls lost."""
    file = path.with_name(path.name + ".lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise Unavailable(
            f"Another approvals server already uses {path}. Stop it first, or use another database."
        ) from None
    return file
