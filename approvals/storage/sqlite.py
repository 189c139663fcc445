"""The SQLite engine: one writer thread with group commit, readers beside it."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from approvals.errors import Unavailable, Undetermined
from approvals.ports import Answer, KeyRecord, Page
from approvals.storage import mapping, queries
from approvals.storage.sqlite_counters import first_full, still_to_take
from approvals.storage.sqlite_operations import Plain, row_of, work_of
from approvals.storage.sqlite_rows import (
    COLUMNS,
    LEASE,
    approval_rows,
    insert,
    marks,
    named,
    rows,
    select,
)
from approvals.storage.tables import KeyRow, OutboxRow, StartingPersonRow, to_microseconds
from approvals.storage.writer import Work, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from approvals.domain.chain import Event
    from approvals.domain.freeze import Freeze
    from approvals.domain.limits import Charge
    from approvals.domain.states import Approval
    from approvals.ports import Clock, Delivery, ListFilter, Operation

T = TypeVar("T")

logger = logging.getLogger(__name__)

BUSY_TIMEOUT = timedelta(seconds=5)
MAX_WAIT = timedelta(seconds=10)
MANY = 10_000


class SqliteStore:
    """Store and KeyStore over one database file, which exactly one process may serve."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        prepare: Callable[[], None],
        factory: type[sqlite3.Connection] = sqlite3.Connection,
    ) -> None:
        """Take the file for this process; `prepare` then brings its schema up to date.

        `factory` makes the writer's connection.
        """
        path = path.resolve()  # a link to the file is the same database
        self._lock = _lock(path)
        path.touch(mode=0o600)
        self._unreadable: set[str] = set()
        prepare()
        writing = _connect(path, factory)
        writing.execute("pragma journal_mode = wal")
        self._writer = Writer(writing, clock)
        self._hot = _Reader(path)
        self._cold = _Reader(path)
        self._writer.start()

    async def close(self) -> None:
        """Commit what waits and let go of the file."""
        await self._writer.close()
        await self._hot.close()
        await self._cold.close()
        self._lock.close()

    def is_busy(self) -> bool:
        """Whether any connection is inside a transaction."""
        return any(c.in_transaction for c in self._connections())

    def _connections(self) -> list[sqlite3.Connection]:
        readers = [reader.connection for reader in (self._hot, self._cold)]
        return [self._writer.connection, *(c for c in readers if c is not None)]

    async def apply(
        self, operation: Operation, *, within: timedelta, background: bool = False
    ) -> Answer:
        answer = await self._write(
            row_of(operation), work_of(operation), within=within, background=background
        )
        assert isinstance(answer, Answer)  # noqa: S101 (work_of answers nothing else)
        return answer

    async def approval(self, approval_id: str) -> Approval | None:
        return await self._one("id = ?", (approval_id,))

    async def latest(self, identities: Sequence[str]) -> Approval | None:
        where = (
            f"identity in ({marks(identities)})"
            " order by open_identity is not null desc, created_at desc, rowid desc limit 1"
        )
        return await self._one(where, identities)

    async def versions(self, approval_ids: Collection[str]) -> Mapping[str, int]:
        wanted = list(approval_ids)
        sql = f"select id, version from approvals where id in ({marks(wanted)})"  # noqa: S608
        return await self._hot.run(lambda c: dict(c.execute(sql, wanted).fetchall()))

    async def last_run(self, identities: Sequence[str], *, since: datetime) -> Approval | None:
        found = await self._approvals(queries.last_run(identities, since=since))
        return found[0] if found else None

    async def page(self, filter_: ListFilter) -> Page:
        def read(connection: sqlite3.Connection) -> Page:
            taken: list[dict[str, Any]] = []
            size, more = 0, False
            for row in rows(connection, queries.page(filter_)):
                size += sum(len(value) for value in row.values() if isinstance(value, str))
                more = len(taken) == filter_.limit or (bool(taken) and size > filter_.max_bytes)
                if more:
                    break
                taken.append(row)
            return Page(approvals=self._read_all(connection, taken), more=more)

        return await self._cold.run(read)

    async def overdue(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        pending = await self._approvals(queries.overdue_pending(now=now, limit=limit))
        return pending + await self._approvals(queries.overdue_approved(now=now, limit=limit))

    async def sent(self, *, limit: int) -> Sequence[Approval]:
        return await self._approvals(queries.sent(limit=limit))

    async def being_sent(self, *, limit: int) -> Sequence[Approval]:
        return await self._approvals(queries.being_sent(limit=limit))

    async def unreported(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        return await self._approvals(queries.unreported(now=now, limit=limit))

    async def to_remind(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        return await self._approvals(queries.to_remind(now=now, limit=limit))

    async def full(self, charges: Sequence[Charge], *, holder: str | None = None) -> Charge | None:
        return await self._hot.run(lambda c: first_full(c, still_to_take(c, holder or "", charges)))

    async def drop_counters(self, *, before: datetime) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            del now
            for table in ("counters", "reservations"):
                sql = f"delete from {table} where ends_at < ?"  # noqa: S608 (no values in it)
                connection.execute(sql, (to_microseconds(before),))

        await self._submit("counters", work, background=True)

    async def freeze_of(self, *, server: str, agent: str) -> Freeze | None:
        freezes = await self.freezes()
        return next((f for f in freezes if f.covers(server=server, agent=agent)), None)

    async def freezes(self) -> Sequence[Freeze]:
        rows = await self._hot.run(lambda c: select(c, queries.freezes()))
        return [mapping.freeze_of(row) for row in rows]

    async def events(self, approval_id: str) -> Sequence[Event]:
        rows = await self._cold.run(lambda c: select(c, queries.events(approval_id)))
        return [mapping.event_of(row) for row in rows]

    async def result(self, approval_id: str) -> str | None:
        sql = "select text from results where approval_id = ?"
        row = await self._cold.run(lambda c: c.execute(sql, (approval_id,)).fetchone())
        return None if row is None else str(row[0])

    async def lease_deliveries(self, *, lease: timedelta, limit: int) -> Sequence[Delivery]:
        def work(connection: sqlite3.Connection, now: datetime) -> list[Delivery]:
            at = to_microseconds(now)
            taken = connection.execute(
                LEASE, {"now": at, "until": to_microseconds(now + lease), "limit": limit}
            )
            return [mapping.delivery_of(named(OutboxRow, row)) for row in taken.fetchall()]

        return await self._submit("outbox", work, background=True)

    async def delivered(self, delivery_id: str) -> None:
        await self._update(
            "update outbox set done_at = :now, leased_until = null, error = null,"
            " attempts = attempts + 1 where id = :id",
            {"id": delivery_id},
        )

    async def delivery_failed(self, delivery_id: str, *, error: str, retry_in: timedelta) -> None:
        await self._update(
            "update outbox set due_at = :now + :wait, leased_until = null, error = :error,"
            " attempts = attempts + 1 where id = :id",
            {"id": delivery_id, "error": error, "wait": retry_in // timedelta(microseconds=1)},
        )

    async def add_key(self, record: KeyRecord) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            del now
            known = connection.execute("select 1 from keys where id = ?", (record.id,))
            if known.fetchone() is None:  # a lost commit answer makes this run twice
                insert(connection, KeyRow, mapping.key_row(record))

        await self._submit(record.id, work)

    async def key(self, sha256: str) -> KeyRecord | None:
        return await self._key("sha256", sha256)

    async def key_by_id(self, key_id: str) -> KeyRecord | None:
        return await self._key("id", key_id)

    async def _key(self, column: str, value: str) -> KeyRecord | None:
        sql = f"select {', '.join(COLUMNS[KeyRow])} from keys where {column} = ?"  # noqa: S608
        row = await self._hot.run(lambda c: c.execute(sql, (value,)).fetchone())
        return None if row is None else mapping.key_of(named(KeyRow, row))

    async def keys(self) -> Sequence[KeyRecord]:
        rows = await self._cold.run(lambda c: select(c, queries.keys(limit=MANY)))
        return [mapping.key_of(row) for row in rows]

    async def revoke_key(self, key_id: str, *, at: datetime) -> bool:
        changed = await self._update(
            "update keys set revoked_at = :at where id = :id and revoked_at is null",
            {"id": key_id, "at": to_microseconds(at)},
        )
        return changed == 1

    async def starting_person(self) -> str | None:
        sql = "select name from starting_people order by created_at limit 1"
        row = await self._cold.run(lambda c: c.execute(sql).fetchone())
        return None if row is None else str(row[0])

    async def set_starting_person(self, name: str, *, at: datetime) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            del now
            insert(connection, StartingPersonRow, {"name": name, "created_at": at})

        await self._submit("starting_people", work)

    async def ping(self) -> None:
        await self._hot.run(lambda c: c.execute("select 1").fetchone())

    async def _one(self, where: str, values: Sequence[object]) -> Approval | None:
        """The first approval there is; raises Unavailable for a row that cannot be read."""
        found = await self._hot.run(lambda c: approval_rows(c, where, values))
        if found is None:
            return None
        approval = self._readable(*found)
        if approval is None:
            raise Unavailable("The record of this call cannot be read; nothing is done with it.")
        return approval

    async def _approvals(self, query: sa.Select[Any]) -> list[Approval]:
        return await self._cold.run(lambda c: self._read_all(c, select(c, query)))

    def _read_all(
        self, connection: sqlite3.Connection, rows: Sequence[Mapping[str, Any]]
    ) -> list[Approval]:
        made: dict[str, list[Mapping[str, Any]]] = {row["id"]: [] for row in rows}
        if rows:
            for decision in select(connection, queries.decisions(list(made))):
                made[decision["approval_id"]].append(decision)
        return [found for row in rows if (found := self._readable(row, made[row["id"]]))]

    def _readable(
        self, row: Mapping[str, Any], decisions: Sequence[Mapping[str, Any]]
    ) -> Approval | None:
        """The approval, or None for a row that cannot be read: it must not stop the others."""
        try:
            return mapping.approval_of(row, decisions)
        except Exception:
            if row["id"] not in self._unreadable:
                self._unreadable.add(row["id"])
                logger.exception("the row of %s cannot be read and is left out", row["id"])
            return None

    @property
    def unreadable(self) -> int:
        """How many rows could not be read since the start."""
        return len(self._unreadable)

    async def _update(self, sql: str, values: dict[str, object]) -> int:
        def work(connection: sqlite3.Connection, now: datetime) -> int:
            return connection.execute(sql, {**values, "now": to_microseconds(now)}).rowcount

        return await self._submit(str(values["id"]), work, background=True)

    async def _submit(
        self,
        row: str,
        work: Callable[[sqlite3.Connection, datetime], T],
        *,
        background: bool = False,
    ) -> T:
        answer = await self._write(row, Plain(work), within=MAX_WAIT, background=background)
        return cast("T", answer)

    async def _write(self, row: str, work: Work, *, within: timedelta, background: bool) -> object:
        future = self._writer.submit(row, work, background=background)
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await asyncio.shield(future)
        except TimeoutError:
            raise Undetermined("The database has not answered in time.") from None


class _Reader:
    """A thread with a connection that cannot write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="approvals-reader")
        self.connection: sqlite3.Connection | None = None

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Run `read` on the connection. Raises Unavailable when the database does not answer."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, read)
        except sqlite3.Error as error:
            raise Unavailable("The database cannot be read.") from error

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


def _connect(
    path: Path, factory: type[sqlite3.Connection] = sqlite3.Connection
) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=BUSY_TIMEOUT.total_seconds(),
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
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
