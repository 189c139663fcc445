"""`approvals demo`."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from approvals.demo.play import Answer

TIME_TO_DECIDE = "2m"
_KEYS: dict[str, Answer] = {"a": "approve", "d": "deny", "q": "quit"}


def demo(*, yes: bool, no: bool, timeout: str | None) -> None:
    """Play it; without a terminal and without a flag nobody answers, so it is denied."""
    if sum([yes, no, timeout is not None]) > 1:
        raise typer.BadParameter("give one of --yes, --no and --timeout")
    from approvals.demo.play import Script, play

    logging.disable(logging.WARNING)
    if not (yes or no or timeout or sys.stdin.isatty()):
        timeout = "5s"

    async def ask() -> Answer:
        if yes or no or timeout:
            return "approve" if yes else "deny" if no else "nothing"
        return await asyncio.to_thread(_prompt)

    asyncio.run(play(Script(ask=ask, timeout=timeout or TIME_TO_DECIDE, say=typer.echo)))


def _prompt() -> Answer:
    while True:
        typed = input("  [a] approve   [d] deny   [q] quit > ").strip().lower()[:1]
        if typed in _KEYS:
            return _KEYS[typed]
