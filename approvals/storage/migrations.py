"""Bring a database to the schema this version needs."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import asyncpg
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from approvals.errors import Unavailable
from approvals.storage.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_ONE_AT_A_TIME = 3_406_081_642
"""The advisory lock under which a PostgreSQL database is migrated."""


def upgrade(url: str) -> None:
    """Apply every migration that is missing."""
    _run(url, lambda connection: command.upgrade(_config(connection), "head"))


def downgrade(url: str) -> None:
    """Take every migration back, to an empty database."""
    _run(url, lambda connection: command.downgrade(_config(connection), "base"))


def current(url: str) -> tuple[str | None, str | None]:
    """The revision the database is at, and the one this version needs."""
    at = _run(url, lambda c: MigrationContext.configure(c).get_current_revision())
    return at, ScriptDirectory.from_config(_config(None)).get_current_head()


def is_known(revision: str | None) -> bool:
    """Whether this version has a migration of this name."""
    scripts = ScriptDirectory.from_config(_config(None))
    return revision in {script.revision for script in scripts.walk_revisions()}


def differences(url: str) -> list[object]:
    """What the tables in the code have and the migrated database has not, or the reverse."""

    def compared(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        return list(compare_metadata(context, Table.metadata))

    return _run(url, compared)


def _run(url: str, work: Callable[[sa.Connection], T]) -> T:
    """Do it on a connection, in one transaction. Not for use inside a running event loop.

    Raises Unavailable.
    """
    if not url.startswith("postgresql://"):
        with _sqlite(url) as connection:
            return work(connection)

    def locked(connection: sa.Connection) -> T:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
        return work(connection)

    async def run() -> T:
        engine = create_async_engine(
            "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
        )
        async with engine.begin() as connection:
            return await connection.run_sync(locked)

    try:
        return asyncio.run(run())
    except (OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unavailable(f"The database cannot be reached or migrated: {error}") from error


@contextmanager
def _sqlite(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _config(connection: sa.Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_scripts()))
    if connection is not None:
        config.attributes["connection"] = connection
    return config


def _scripts() -> Path:
    """The migrations: inside the wheel, or at the top of a checkout."""
    package = Path(str(files("approvals")))
    inside = package / "_alembic"
    return inside if inside.is_dir() else package.parent / "alembic"
