"""What the command line prints: text, whoever wrote it."""

from __future__ import annotations

import typer

from approvals.domain.display import visible


def say(text: str, *, err: bool = False) -> None:
    """Print one line; nothing in it reaches a terminal as anything but text, no line end either."""
    typer.echo(visible(text), err=err)


def say_lines(text: str, *, err: bool = False) -> None:
    """The same of a text that is ours, line by line."""
    for line in text.split("\n"):
        say(line, err=err)
