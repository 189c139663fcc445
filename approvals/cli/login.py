"""`login`: a link that signs in to the pages, once."""

from __future__ import annotations

import typer

from approvals.cli.connection import connect
from approvals.domain.display import visible


def login(*, person: str | None, url: str | None, key: str | None) -> None:
    """Print the link alone, so that it can be handed on."""
    with connect(url, key) as client:
        made = client.sign_in_link(person)
    typer.echo(visible(made["url"]))
    typer.echo(f"It works once, until {visible(made['expires_at'])[:16]} UTC.", err=True)
