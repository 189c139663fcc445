"""What the command line prints: text, whoever wrote it."""

from __future__ import annotations

import typer

from approvals.domain.display import visible


def say(text: str, *, err: bool = False) -> None:
    """Print it; nothing in it but its line ends reaches a terminal as anything but text."""
    typer.echo("\n".join(visible(line) for line in text.split("\n")), err=err)
