"""The one thread that writes to an SQLite database: group commit, answers only after COMMIT.

While one group is being committed the next one gathers; no timer. What certainly succeeds is done
together in one SAVEPOINT; every other job of the group runs in one of its own, so that one that
fails takes no other with it. SQLite answers some errors (a full disk, a failed read or write) by
rolling the whole transaction back silently, and statements after that would commit one by one; so
after any error the writer asks whether it still is inside its transaction, and if not, submits
every job again alone (ARCHITECTURE.md, "Storage").
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from approvals.errors import Unavailable
from approvals.ports import Again
from approvals.storage.clock import elapsed
from approvals.storage.queue import Queue

if TYPE_CHECKING:
    from approvals.ports import Clock, Urgency, WriteMeter

logger = logging.getLogger(__name__)

FEW = 3
"""Of fewer writes each is done by itself."""


class Work(Protocol):
    """What one job does inside the transaction.

    `applied` says whether an earlier try of the same job is already committed.
    """

    def run(self, connection: sqlite3.Connection, now: datetime) -> object: ...

    def applied(self, connection: sqlite3.Connection) -> object | None: ...


@dataclass(slots=True, eq=False)
class Job:
    """One operation on its way: `row` is what no second job of the same group may touch."""

    row: str
    work: Work
    future: asyncio.Future[object]
    size: int = 0
    answer: object = None
    failure: Exception | None = None


AtOnce = Callable[[sqlite3.Connection, Sequence[Work], datetime], Sequence[object | None]]
"""The answer of each work that is done; None for one that is not."""


class _GroupLost(Exception):
    """SQLite rolled the whole group back."""


class Writer:
    """Owns the writing connection; everything that changes the database passes through here."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock: Clock,
        meter: WriteMeter,
        *,
        at_once: AtOnce,
        ended: Callable[[Work, object], None],
    ) -> None:
        """`at_once` does those of a group that can be done together, and leaves the others;
        `ended` hears of every job's answer, in the event loop, before its caller does."""
        self._at_once = at_once
        self._ended = ended
        self.connection = connection
        self._clock = clock
        self._meter = meter
        self._waiting: Queue[Job] = Queue()
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="approvals-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def close(self) -> None:
        """Finish what waits, then end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)

    def submit(self, row: str, work: Work, *, urgency: Urgency) -> asyncio.Future[object]:
        """Queue a job; its future answers after the COMMIT that holds it.

        Raises Overloaded when 4096 jobs wait, Unavailable when the writer has stopped.
        """
        job = Job(row=row, work=work, future=asyncio.get_running_loop().create_future())
        with self._changed:
            if self._closing or not self._thread.is_alive():
                raise Unavailable("The database is closed.")
            self._waiting.put(job, urgency)
            self._changed.notify()
        return job.future

    def _run(self) -> None:
        try:
            while group := self._next_group():
                self._flush(self.connection, group)
                self._answer(group)
        finally:
            self.connection.close()

    def _answer(self, group: Sequence[Job]) -> None:
        """Tell the event loops once per group."""
        loops = {job.future.get_loop() for job in group}
        for loop in loops:
            jobs = [job for job in group if job.future.get_loop() is loop]
            try:
                loop.call_soon_threadsafe(self._resolve, jobs)
            except RuntimeError:
                logger.info("nobody is left to hear the answer of %d writes", len(jobs))

    def _resolve(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._ended(job.work, job.answer if job.failure is None else None)
            _resolve(job)

    def _next_group(self) -> list[Job]:
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            return self._waiting.take()

    def _flush(self, connection: sqlite3.Connection, group: Sequence[Job]) -> None:
        began = elapsed()
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._together(connection, group)
            for job in group:
                if job.answer is None:
                    self._savepoint(connection, job)
            connection.execute("COMMIT")
            took = timedelta(seconds=elapsed() - began)
            self._meter.flushed(operations=len(group), took=took)
        except (sqlite3.Error, _GroupLost) as error:
            self._meter.again(Again.SPLIT)
            logger.warning(
                "a group of %d writes failed (%s); submitting each alone", len(group), error
            )
            _roll_back(connection)
            for job in group:
                self._alone(connection, job)

    def _together(self, connection: sqlite3.Connection, group: Sequence[Job]) -> None:
        """Do at once what can be; where that fails, nothing of it is done."""
        if len(group) < FEW:
            return
        connection.execute("SAVEPOINT together")
        try:
            answers = self._at_once(connection, [job.work for job in group], self._clock.now())
        except Exception as error:
            if not connection.in_transaction:
                raise _GroupLost(str(error)) from error
            connection.execute("ROLLBACK TO together")
            logger.warning("a group of %d writes is done one by one (%s)", len(group), error)
        else:
            for job, answer in zip(group, answers, strict=True):
                job.answer = answer
        connection.execute("RELEASE together")

    def _savepoint(self, connection: sqlite3.Connection, job: Job) -> None:
        connection.execute("SAVEPOINT job")
        try:
            job.answer = job.work.run(connection, self._clock.now())
        except Exception as error:
            if not connection.in_transaction:
                raise _GroupLost(str(error)) from error
            connection.execute("ROLLBACK TO job")
            job.failure = error
        connection.execute("RELEASE job")

    def _alone(self, connection: sqlite3.Connection, job: Job) -> None:
        job.answer, job.failure = None, None
        try:
            job.answer = job.work.applied(connection)
            if job.answer is not None:
                return
            connection.execute("BEGIN IMMEDIATE")
            job.answer = job.work.run(connection, self._clock.now())
            connection.execute("COMMIT")  # fails when the transaction has ended by itself
        except Exception as error:  # noqa: BLE001 (the edge: only this job's caller sees it)
            job.failure = error
            _roll_back(connection)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            logger.exception("rolling back failed")


def _resolve(job: Job) -> None:
    if job.future.done():
        return
    if job.failure is None:
        job.future.set_result(job.answer)
        return
    logger.error("a write was refused", exc_info=job.failure)
    refused = Unavailable("The database refused the write; nothing was changed.")
    refused.__cause__ = job.failure
    job.future.set_exception(refused)
    job.future.exception()  # whoever waited may be gone
