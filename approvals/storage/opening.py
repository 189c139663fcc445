"""Open the database that a URL names."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from approvals.errors import ConfigurationInvalid
from approvals.storage import migrations
from approvals.storage.clock import DatabaseClock, SystemClock
from approvals.storage.postgres import PostgresStore
from approvals.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

logger = logging.getLogger(__name__)

SQLITE = "sqlite:///"
POSTGRESQL = "postgresql://"


@dataclass(frozen=True, slots=True)
class Database:
    """A store, and the clock it goes by."""

    store: SqliteStore | PostgresStore
    clock: SystemClock | DatabaseClock


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """An SQLite file, brought to this version's schema and held by this process; or a PostgreSQL
    database that has it.

    Raises Unavailable, and ConfigurationInvalid when `db upgrade` has to be run first.
    """
    if url.startswith(SQLITE):
        clock = SystemClock()
        database = Database(_sqlite(url, clock), clock)
    else:
        await asyncio.to_thread(_check_schema, url)
        server_clock = DatabaseClock()
        database = Database(await PostgresStore.open(url, server_clock), server_clock)
    try:
        yield database
    finally:
        await database.store.close()


def _sqlite(url: str, clock: SystemClock) -> SqliteStore:
    path = Path(url.removeprefix(SQLITE))
    path.parent.mkdir(parents=True, exist_ok=True)
    return SqliteStore(path, clock, prepare=lambda: migrations.upgrade(url))


def _check_schema(url: str) -> None:
    """Replicas do not migrate: one command does, before they start."""
    at, needed = migrations.current(url)
    if at == needed:
        return
    if at is None or migrations.is_known(at):
        raise ConfigurationInvalid(
            "the database", [f"is at {at or 'nothing'}, {needed} is needed: approvals db upgrade"]
        )
    logger.warning("the database is at %s, which is newer than this version knows", at)
