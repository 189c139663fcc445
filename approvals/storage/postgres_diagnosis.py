"""Is a PostgreSQL database well? Looked at from outside, also while services use it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg

from approvals.errors import Unavailable
from approvals.storage import migrations
from approvals.storage.clock import DatabaseClock
from approvals.storage.diagnosis import AHEAD, Finding, Severity
from approvals.storage.postgres_session import LOST, connected, heard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from approvals.ports import Clock
    from approvals.storage.driver import Record

_LOOK = """
select current_setting('server_version_num')::int as version,
  current_setting('fsync') as fsync,
  current_setting('full_page_writes') as full_page_writes,
  current_setting('synchronous_commit') as synchronous_commit,
  pg_is_in_recovery() as in_recovery,
  (select count(*) from pg_stat_replication) as standbys,
  (select count(*) from pg_stat_replication where sync_state in ('sync', 'quorum')) as synchronous,
  (select max(at) from events) as newest,
  clock_timestamp() as now
"""
OLDEST = 140000
MAX_APART = timedelta(seconds=1)


def diagnosed(url: str, clock: Clock) -> Iterator[Finding]:
    """What is to be said of the database; nothing in it is changed."""
    try:
        at, needed = migrations.current(url)
        if at != needed:
            yield Finding(Severity.FAIL, f"database: schema {at}, {needed} needed: db upgrade")
            return
        looked, apart = asyncio.run(_look(url, clock))
    except (*LOST, asyncpg.PostgresError, Unavailable) as error:
        yield Finding(Severity.FAIL, f"database: cannot be reached ({error})")
        return
    yield from _durable(looked)
    yield from _standbys(looked)
    yield from _clocks(looked, apart)


async def _look(url: str, clock: Clock) -> tuple[Record, timedelta]:
    """What the server says, and how far its clock is from this machine's."""
    connection = await connected(url)
    try:
        theirs = DatabaseClock()
        await heard(connection, theirs)
        apart = theirs.now() - clock.now()
        return await connection.fetchrow(_LOOK), apart
    finally:
        await connection.close(timeout=1)


def _durable(looked: Record) -> Iterator[Finding]:
    if looked["version"] < OLDEST:
        yield Finding(Severity.WARN, "database: PostgreSQL 14 or newer is needed")
    if looked["in_recovery"]:
        yield Finding(Severity.FAIL, "database: this is a standby; writes are refused")
    off = [name for name in ("fsync", "full_page_writes") if looked[name] == "off"]
    if off:
        named = " and ".join(off)
        yield Finding(Severity.FAIL, f"database: {named} off: a power cut loses decisions")
    else:
        yield Finding(Severity.OK, "database: reached, at this version's schema, durable")


def _standbys(looked: Record) -> Iterator[Finding]:
    """A call is sent at most once only if a failover keeps what was acknowledged."""
    if looked["standbys"] and not looked["synchronous"]:
        yield Finding(
            Severity.WARN,
            "standbys: none is synchronous; after a failover a call could be sent a second time. "
            "Set synchronous_standby_names, or run approvals db after-restore after a failover",
        )
    elif looked["standbys"]:
        yield Finding(Severity.OK, "standbys: at least one is synchronous")


def _clocks(looked: Record, apart: timedelta) -> Iterator[Finding]:
    """Deadlines hang on the server's clock: it must not stand before what is already written."""
    newest: datetime | None = looked["newest"]
    if newest is not None and newest > looked["now"] + AHEAD:
        behind = newest - looked["now"]
        yield Finding(Severity.FAIL, f"clock: {behind} behind what the database has already seen")
    elif abs(apart) > MAX_APART:
        seconds = apart.total_seconds()
        yield Finding(
            Severity.WARN,
            f"clock: the database is {seconds:+.1f} s from this machine; its clock is what counts",
        )
    else:
        yield Finding(Severity.OK, "clock: the database agrees with this machine")
