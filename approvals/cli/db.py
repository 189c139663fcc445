"""`db upgrade`, `db current`."""

from __future__ import annotations

import typer

from approvals.config.settings import read_settings
from approvals.storage import migrations


def upgrade() -> None:
    """Apply what is missing. `serve` does it by itself on SQLite."""
    migrations.upgrade(read_settings().database_url)
    current()


def current() -> None:
    """Print both revisions."""
    at, needed = migrations.current(read_settings().database_url)
    typer.echo(f"at {at or 'nothing yet'}, this version needs {needed}")
