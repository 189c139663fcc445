"""Flushes: while one is being committed the next one gathers; no timer.

A flush ends in a definite answer for each of its operations, however often the connection breaks:
it is the same flush that is sent again, after what the broken session did is settled
(`postgres_session`). An error of the server takes the whole flush back; then it is halved until the
operation that causes it stands alone, and only its caller sees it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg

from approvals.domain.chain import NO_EVENTS, Head
from approvals.domain.states import Erasure
from approvals.errors import Unavailable, Undetermined
from approvals.ports import Again, Alone, Answer, Applied, Conflict, Record
from approvals.storage import mapping
from approvals.storage.commits import Commits
from approvals.storage.postgres_alone import EVENT, write_alone
from approvals.storage.postgres_counters import locked_rows, room_for
from approvals.storage.postgres_operations import (
    Rows,
    Told,
    Write,
    answer_of,
    charges_of,
    row_of,
    rows_of,
    size_of,
    version_of,
)
from approvals.storage.postgres_session import (
    BETWEEN_TRIES,
    COLLIDED,
    is_lost,
    without_values,
)
from approvals.storage.postgres_statement import PARTS, encoded, statement
from approvals.storage.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from approvals.domain.limits import Charge
    from approvals.ports import Operation, Urgency, WriteMeter
    from approvals.storage.clock import DatabaseClock
    from approvals.storage.driver import Connection
    from approvals.storage.driver import Record as Row
    from approvals.storage.newest import Newest
    from approvals.storage.postgres_session import Session

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Job:
    """One operation on its way. `sent`: the server may have it."""

    operation: Operation | Told
    row: str
    future: asyncio.Future[Answer]
    size: int
    sent: bool = False
    withdrawn: bool = False


class Writer:
    """Owns the writing session; every operation passes through here."""

    def __init__(
        self,
        session: Session,
        clock: DatabaseClock,
        meter: WriteMeter,
        newest: Newest,
    ) -> None:
        """`newest` has every new version of an approval before its caller does."""
        self._newest = newest
        self._session = session
        self._clock = clock
        self._meter = meter
        self._commits = Commits(meter, clock)
        self._waiting: Queue[Job] = Queue()
        self._came = asyncio.Event()
        self._heads: dict[str, Head] = {}
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="approvals-writer")

    async def write(
        self, operation: Operation | Told, *, within: timedelta, urgency: Urgency
    ) -> Answer:
        """The definite answer. Raises Overloaded, Unavailable (not applied) or Undetermined."""
        if self._closing:
            raise Unavailable("The database is closed.")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        job = Job(operation, row_of(operation), future, size_of(operation))
        self._waiting.put(job, urgency)
        self._commits.watch(operation, future)
        self._came.set()
        done, _ = await asyncio.wait({future}, timeout=within.total_seconds())
        if done:
            return future.result()
        if job.sent:
            raise Undetermined("The database has not answered in time.")
        job.withdrawn = True
        raise Unavailable("The database does not answer; nothing was changed.")

    async def close(self, *, within: timedelta) -> None:
        """Finish what waits, for as long as `within`."""
        self._closing = True
        self._came.set()
        done, _ = await asyncio.wait({self._task}, timeout=within.total_seconds())
        if not done:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._session.close()

    async def _run(self) -> None:
        while True:
            await self._came.wait()
            self._came.clear()
            while group := self._waiting.take():
                await self._settle(group)
            if self._closing:
                return

    async def _settle(self, group: Sequence[Job]) -> None:
        """Bring every job of the group to its answer."""
        doubtful, most = False, len(group)
        while group := [job for job in group if not (job.withdrawn or job.future.done())]:
            try:
                connection = await self._session.connection()
                if doubtful:
                    group = await self._not_written(connection, group)
            except Exception as error:  # noqa: BLE001 (whatever it is: nothing is known before)
                await self._lost(error)
                continue
            try:
                doubtful = False
                now, later = group[:most], group[most:]
                group = [*await self._timed_flush(connection, now), *later]
            except Exception as error:  # noqa: BLE001 (the edge: only the caller of the cause sees it)
                self._heads.clear()
                doubtful = is_lost(error)
                if doubtful:
                    if isinstance(error, TimeoutError):  # perhaps it is too much at once
                        most = max(1, most // 2)
                    await self._lost(error)
                elif isinstance(error, COLLIDED):
                    self._meter.again(Again.COLLIDED)
                elif isinstance(error, asyncpg.LockNotAvailableError):
                    group = await self._without_locked(connection, group, error)
                else:
                    group = await self._halved(group, error)

    async def _lost(self, error: Exception) -> None:
        self._meter.again(Again.LOST)
        logger.warning("the database was lost (%r); the same writes again", error)
        self._session.broken()
        await asyncio.sleep(BETWEEN_TRIES.total_seconds())

    async def _without_locked(
        self, connection: Connection, group: Sequence[Job], error: Exception
    ) -> Sequence[Job]:
        """Somebody else's session keeps rows locked: refuse what wants these, and go on with the
        others at once."""
        try:
            locked = await locked_rows(connection, [job.operation for job in group])
        except Exception as broken:  # noqa: BLE001 (the next try finds out)
            logger.warning("nobody says what is locked: %r", broken)
            return group
        for n in locked:
            _refuse(group[n], without_values(error))
        if locked:
            return [job for n, job in enumerate(group) if n not in locked]
        return await self._halved(group, error)

    async def _halved(self, group: Sequence[Job], error: Exception) -> Sequence[Job]:
        """The server took the flush back: find the cause; the half that is left to do."""
        if len(group) == 1:
            _refuse(group[0], without_values(error))
            return []
        self._meter.again(Again.SPLIT)
        middle = len(group) // 2
        await self._settle(group[:middle])
        return group[middle:]

    async def _not_written(self, connection: Connection, group: Sequence[Job]) -> list[Job]:
        """Answer what an earlier try has written; the others, of which nothing was: only of these
        may a later refusal say so."""
        ids = [job.operation.op_id for job in group]
        found = await connection.fetch("select id from events where id = any($1)", ids)
        written = {row["id"] for row in found}
        for job in group:
            if job.operation.op_id in written:
                _resolve(job, Applied())
        return [job for job in group if not job.future.done()]

    async def _timed_flush(self, connection: Connection, group: Sequence[Job]) -> list[Job]:
        began = self._clock.elapsed()
        again = await self._flush(connection, group)
        took = timedelta(seconds=self._clock.elapsed() - began)
        self._meter.flushed(operations=len(group) - len(again), took=took)
        return again

    async def _flush(self, connection: Connection, group: Sequence[Job]) -> list[Job]:
        """Write once; the jobs that must be submitted again."""
        for job in group:
            job.sent = True
        writes: list[tuple[Job, Write]] = []
        for job in group:
            if isinstance(job.operation, Alone):
                self._heads.pop(job.operation.stream, None)
                _resolve(job, await write_alone(connection, job.operation))
            elif isinstance(job.operation, Erasure):
                _resolve(job, await self._erase(connection, job.operation))
            else:
                writes.append((job, job.operation))
        if any(charges_of(operation) for _, operation in writes):
            return await self._with_room(connection, writes)
        return self._answered(writes, *await self._write(connection, [o for _, o in writes], {}))

    async def _with_room(
        self, connection: Connection, writes: Sequence[tuple[Job, Write]]
    ) -> list[Job]:
        """A flush that takes from counters: two steps in one transaction."""
        async with connection.transaction():
            room = await room_for(connection, [operation for _, operation in writes])
            kept = [n for n in range(len(writes)) if n not in room.refused]
            taken = {kept.index(n): charges for n, charges in room.taken.items()}
            going = [writes[n] for n in kept]
            rows, answers = await self._write(connection, [o for _, o in going], taken)
        for n, answer in room.refused.items():
            _resolve(writes[n][0], answer)
        return self._answered(going, rows, answers)

    async def _write(
        self,
        connection: Connection,
        operations: Sequence[Write],
        taken: Mapping[int, Sequence[Charge]],
    ) -> tuple[Rows, Sequence[Row]]:
        if not operations:
            return Rows(), []
        await self._know_heads(connection, operations)
        rows = rows_of(operations, self._heads, taken)
        for version in filter(None, map(version_of, operations)):
            self._newest.expect(version)
        parts = [part for part in PARTS if rows.parts[part]]
        asked = self._clock.elapsed()
        answers = await connection.fetch(
            statement(frozenset(parts)),
            encoded(rows.ops),
            *(encoded(rows.parts[part]) for part in parts),
        )
        self._clock.heard(answers[0]["at"], asked=asked)
        return rows, answers

    def _answered(
        self, writes: Sequence[tuple[Job, Write]], rows: Rows, answers: Sequence[Row]
    ) -> list[Job]:
        """Tell everybody; the jobs of which nothing is written yet."""
        again = []
        for n, ((job, operation), row) in enumerate(zip(writes, answers, strict=True)):
            answer = answer_of(operation, row)
            if answer is None:
                again.append(job)
                continue
            if (version := version_of(operation)) and row["answer"] == "won":
                self._newest.keep(version)
            elif version:
                self._newest.expect_no_more(version)
            _resolve(job, answer)
            if n in rows.heads and row["answer"] == "won":
                stream, head = rows.heads[n]
                self._heads[stream] = head
        return again

    async def _know_heads(self, connection: Connection, operations: Sequence[Write]) -> None:
        """The newest event of each stream that is written to: only this process writes there."""
        streams = {o.stream for o in operations if isinstance(o, Record)} - self._heads.keys()
        if streams:
            self._heads |= dict.fromkeys(streams, NO_EVENTS)
            for row in await connection.fetch(_HEADS, list(streams)):
                self._heads[row["stream"]] = Head(seq=row["seq"], hash=row["hash"])

    async def _erase(self, connection: Connection, operation: Erasure) -> Answer:
        before, after = operation.before, operation.after
        row = {"id": after.id, **mapping.erased_columns(after)}
        async with connection.transaction():
            guard = (before.version, before.status)
            if not await connection.fetch(_ERASE, encoded([row]), *guard):
                known = await connection.fetch(
                    "select 1 from events where id = $1", operation.op_id
                )
                return Applied() if known else Conflict()
            await connection.execute(EVENT, encoded([mapping.event_row(operation.event)]))
            await connection.execute("delete from results where approval_id = $1", after.id)
            await connection.execute(
                "update outbox set body = null where approval_id = $1", after.id
            )
        return Applied()


_HEADS = """
select distinct on (e.stream) e.stream, e.seq, e.hash from events e
where e.stream = any($1) order by e.stream, e.seq desc
"""
_ERASE = f"""
update approvals a set {", ".join(f"{name} = x.{name}" for name in sorted(mapping.ERASURE))}
from json_populate_recordset(null::approvals, $1::json) as x
where a.id = x.id and a.version = $2 and a.status = $3 returning a.id
"""  # noqa: S608 (names only)


def _resolve(job: Job, answer: Answer) -> None:
    if not job.future.done():
        job.future.set_result(answer)


def _refuse(job: Job, error: Exception) -> None:
    logger.error("a write was refused", exc_info=error)
    if not job.future.done():
        refused = Unavailable("The database refused the write; nothing was changed.")
        refused.__cause__ = error
        job.future.set_exception(refused)
        job.future.exception()  # whoever waited may be gone
