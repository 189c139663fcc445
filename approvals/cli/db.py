"""`db upgrade`, `db current`, `db after-restore`."""

from __future__ import annotations

import asyncio

import typer

from approvals.config.settings import read_settings
from approvals.storage import migrations


def upgrade() -> None:
    """Apply what is missing. `serve` does it by itself on SQLite."""
    migrations.upgrade(read_settings().database_url)
    current()


def after_restore() -> None:
    """End what the backup holds as open, and say how much that was."""
    from approvals.app import after_restore as run

    ended = asyncio.run(run(read_settings()))
    typer.echo(f"{ended.cancelled} pending or approved calls are cancelled; they may have run")
    typer.echo(f"{ended.outcome_unknown} calls that were being sent: outcome unknown")
    if ended.unreadable:
        typer.echo(f"{ended.unreadable} records cannot be read and stay as they are")
        raise typer.Exit(1)


def current() -> None:
    """Print both revisions."""
    at, needed = migrations.current(read_settings().database_url)
    typer.echo(f"at {at or 'nothing yet'}, this version needs {needed}")
