"""`approvals demo`."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from typing import TYPE_CHECKING

import typer

from approvals.domain.policy.reading import read_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.demo.attacked import Attack
    from approvals.demo.play import Answer

TIME_TO_DECIDE = "2m"
_KEYS: dict[str, Answer] = {"a": "approve", "d": "deny", "q": "quit"}


def demo(*, yes: bool, no: bool, timeout: str | None) -> None:
    """Play it; without a terminal and without a flag nobody answers, so it is denied."""
    if sum([yes, no, timeout is not None]) > 1:
        raise typer.BadParameter("give one of --yes, --no and --timeout")
    if timeout is not None and read_duration(timeout) is None:
        raise typer.BadParameter('--timeout is a duration such as "5s" or "1m"')
    from approvals.demo.play import Script, play

    logging.disable(logging.CRITICAL)  # what goes wrong is told by the transcript
    if not (yes or no or timeout or sys.stdin.isatty()):
        timeout = "5s"

    async def ask() -> Answer:
        if yes or no or timeout:
            return "approve" if yes else "deny" if no else "nothing"
        return await _prompt()

    asyncio.run(play(Script(ask=ask, timeout=timeout or TIME_TO_DECIDE, say=typer.echo)))


def attacks(played: Sequence[Attack] | None = None) -> None:
    """Play attacks, all there are unless told which; exit code 1 if one gets through."""
    from approvals.demo.attacked import play
    from approvals.demo.attacks import ATTACKS

    logging.disable(logging.CRITICAL)  # what comes of an attack is on its line
    if not asyncio.run(play(typer.echo, ATTACKS if played is None else played)):
        raise typer.Exit(1)


async def _prompt() -> Answer:
    """Ask in a thread of its own that nobody waits for, so that Ctrl-C ends the demo at once."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Answer] = loop.create_future()

    def read() -> None:
        answer = _read_answer()
        if not loop.is_closed():
            loop.call_soon_threadsafe(_answer, answered, answer)

    threading.Thread(target=read, daemon=True).start()
    return await answered


def _answer(answered: asyncio.Future[Answer], answer: Answer) -> None:
    if not answered.done():
        answered.set_result(answer)


def _read_answer() -> Answer:
    """What was typed; the end of the input is quitting."""
    while True:
        try:
            typed = input("  [a] approve   [d] deny   [q] quit > ").strip().lower()[:1]
        except EOFError:
            typer.echo()
            return "quit"
        if typed in _KEYS:
            return _KEYS[typed]
