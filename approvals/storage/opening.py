"""Open the database that a URL names."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from approvals.errors import ConfigurationInvalid, Unavailable
from approvals.storage import migrations
from approvals.storage.clock import DatabaseClock, SystemClock
from approvals.storage.commits import UNMETERED
from approvals.storage.postgres import PostgresStore
from approvals.storage.sqlite import SqliteAudit, SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from approvals.ports import AuditStore, WriteMeter

logger = logging.getLogger(__name__)

SQLITE = "sqlite:///"
POSTGRESQL = "postgresql://"


@dataclass(frozen=True, slots=True)
class Database:
    """A store, and the clock it goes by."""

    store: SqliteStore | PostgresStore
    clock: SystemClock | DatabaseClock


@asynccontextmanager
async def opened(url: str, meter: WriteMeter = UNMETERED) -> AsyncIterator[Database]:
    """An SQLite file, brought to this version's schema and held by this process; or a PostgreSQL
    database that has it.

    Raises Unavailable, and ConfigurationInvalid when `db upgrade` has to be run first.
    """
    if url.startswith(SQLITE):
        clock = SystemClock()
        database = Database(_sqlite(url, clock, meter), clock)
    else:
        await asyncio.to_thread(check_schema, url)
        server_clock = DatabaseClock()
        store = await PostgresStore.open(url, server_clock, meter)
        database = Database(store, server_clock)
    try:
        yield database
    finally:
        await database.store.close()


@asynccontextmanager
async def looked_at(url: str) -> AsyncIterator[AuditStore]:
    """The same, to be read only, also while services use it: nothing is made, locked or changed."""
    store: SqliteAudit | PostgresStore
    if url.startswith(SQLITE):
        store = SqliteAudit(Path(url.removeprefix(SQLITE)))
    else:
        store = await PostgresStore.open(url, DatabaseClock())
    try:
        yield store
    finally:
        await store.close()


def _sqlite(url: str, clock: SystemClock, meter: WriteMeter) -> SqliteStore:
    path = Path(url.removeprefix(SQLITE))
    path.parent.mkdir(parents=True, exist_ok=True)
    return SqliteStore(path, clock, prepare=lambda: migrations.upgrade(url), meter=meter)


def check_schema(url: str) -> None:
    """Whether the database has the schema. Not for use inside a running event loop.

    Raises ConfigurationInvalid when it has not: replicas do not migrate, one command does. Raises
    Unavailable when it cannot be read.
    """
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists():
        raise ConfigurationInvalid("the database", [f"{url.removeprefix(SQLITE)} is not there"])
    try:
        at, needed = migrations.current(url)
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise Unavailable("The database cannot be read.") from error
    if at == needed:
        return
    if at is None or migrations.is_known(at):
        raise ConfigurationInvalid(
            "the database", [f"is at {at or 'nothing'}, {needed} is needed: approvals db upgrade"]
        )
    logger.warning("the database is at %s, which is newer than this version knows", at)
