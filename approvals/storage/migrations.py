"""Bring a database to the schema this version needs."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from approvals.storage.tables import Table

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


def upgrade(url: URL | str) -> None:
    """Apply every migration that is missing."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        command.upgrade(_config(connection), "head")
    engine.dispose()


def downgrade(url: URL | str) -> None:
    """Take every migration back, to an empty database."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        command.downgrade(_config(connection), "base")
    engine.dispose()


def current(url: URL | str) -> tuple[str | None, str | None]:
    """The revision the database is at, and the one this version needs."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        at = MigrationContext.configure(connection).get_current_revision()
    engine.dispose()
    return at, ScriptDirectory.from_config(_config(None)).get_current_head()


def differences(url: URL | str) -> list[object]:
    """What the tables in the code have and the migrated database has not, or the reverse."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        found = list(compare_metadata(context, Table.metadata))
    engine.dispose()
    return found


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
