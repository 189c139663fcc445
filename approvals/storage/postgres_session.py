"""The one session through which a process writes, and what to do when it breaks.

The session holds an advisory lock in the name of its process. Whoever lost a session opens another
one, ends the old backend and waits for its lock: from then on everything that was ever sent over
the old session is either committed or gone, and asking for it gives a definite answer. Reading
again without that is not enough: an abandoned backend may commit afterwards.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from approvals.storage.clock import DatabaseClock
    from approvals.storage.driver import Connection

logger = logging.getLogger(__name__)

CONNECT_WITHIN = timedelta(seconds=3)
ANSWER_WITHIN = timedelta(seconds=4)
"""Longer than the server's own `statement_timeout`, so that a server that lives answers first."""
BETWEEN_TRIES = timedelta(milliseconds=200)

SETTINGS = {
    "application_name": "approvals",
    "statement_timeout": "3s",
    "lock_timeout": "1s",
    "idle_in_transaction_session_timeout": "10s",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
    "timezone": "UTC",
}

LOST = (
    OSError,
    EOFError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
"""After these nobody knows whether the last write happened."""

COLLIDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""The server took the whole flush back; the same flush again may well succeed."""


def is_lost(error: Exception) -> bool:
    """Whether nobody knows if the last write happened. A value that could not even be sent (half a
    surrogate) is an InterfaceError too: that one is poison, and was not written."""
    return isinstance(error, LOST) and not isinstance(error, ValueError)


_OTHERS = """
select pg_terminate_backend(l.pid) from pg_locks l
where l.locktype = 'advisory' and l.database = (
    select d.oid from pg_database d where d.datname = current_database()
  ) and l.classid = ($1::bigint >> 32)::oid and l.objid = ($1::bigint & 4294967295)::oid
  and l.granted and l.pid <> pg_backend_pid()
"""


class Session:
    """The writing connection of one process; opened when it is needed."""

    def __init__(self, url: str, clock: DatabaseClock) -> None:
        self._url = url
        self._clock = clock
        self._name = secrets.randbits(62)
        self._connection: Connection | None = None

    async def connection(self) -> Connection:
        """The open connection, a new one where it broke; raises one of LOST."""
        if self._connection is None or self._connection.is_closed():
            self._connection = None
            self._connection = await self._opened()
        return self._connection

    def broken(self) -> None:
        """Nothing more goes over this connection."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        if self._connection is not None:
            try:
                await self._connection.close(timeout=CONNECT_WITHIN.total_seconds())
            except LOST:
                self._connection.terminate()

    async def _opened(self) -> Connection:
        connection = await connected(self._url)
        try:
            await self._alone(connection)
            await heard(connection, self._clock)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _alone(self, connection: Connection) -> None:
        """End the session before this one and wait until it is settled."""
        await connection.execute(_OTHERS, self._name)
        try:
            await connection.execute("select pg_advisory_lock($1)", self._name)
        except asyncpg.LockNotAvailableError:
            raise TimeoutError("the session before this one has not ended yet") from None


def without_values(error: Exception) -> Exception:
    """The error without what the server tells of the row: no log may have what stands in it."""
    if isinstance(error, asyncpg.PostgresError):
        error.detail = None
    return error


async def heard(connection: Connection, clock: DatabaseClock) -> None:
    """Set the clock by the server's."""
    asked = clock.elapsed()
    row = await connection.fetchrow("select clock_timestamp() as at")
    clock.heard(row["at"], asked=asked)


async def connected(url: str) -> Connection:
    """A connection with our settings; every statement on it has a deadline."""
    async with asyncio.timeout(2 * CONNECT_WITHIN.total_seconds()):
        made: Connection = await asyncpg.connect(
            url,
            timeout=CONNECT_WITHIN.total_seconds(),
            command_timeout=ANSWER_WITHIN.total_seconds(),
            server_settings=SETTINGS,
            statement_cache_size=500,
            max_cacheable_statement_size=0,
        )
        return made
