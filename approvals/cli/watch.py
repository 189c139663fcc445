"""`watch`: calls as they come, in a terminal. Nothing is approved that was not shown whole just
before.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import threading
import time
import tty
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from approvals.cli.calls import check_offered, headline, shown_whole, state
from approvals.cli.connection import connect
from approvals.cli.say import say
from approvals.client import ApiError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from approvals.client import Client

BELL = "\a"
KEYS = "[a] approve   [d] deny   [enter] details   [n] next   [q] quit"
LOOK_EVERY = 5.0
"""Seconds after which the list is read again without a hint."""
AGAIN_AFTER = 1.0
LOCAL = 3
"""Where a terminal's local modes stand in its attributes."""
END = {"q", "\x03", "\x04", ""}


def watch(*, url: str | None, key: str | None) -> None:
    """Until `q`; where nobody can type, only say what comes."""
    with connect(url, key) as client, connect(url, key) as listener:
        desk = _Desk(client)
        desk.look()  # says at once when nothing answers
        with _hints(listener) as hinted:
            say(f"Watching {client.url}. {'' if desk.waiting else 'Nothing is waiting.'}")
            if sys.stdin.isatty():
                with _single_keys():
                    _answering(desk, hinted)
            else:
                _listening(desk, hinted)


class _Desk:
    """The calls that wait, oldest first, and the one that keys are for."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._told: set[str] = set()
        self._at = 0
        self.waiting: list[dict[str, Any]] = []

    @property
    def current(self) -> dict[str, Any] | None:
        return self.waiting[self._at % len(self.waiting)] if self.waiting else None

    @property
    def ids(self) -> list[str]:
        return [approval["id"] for approval in self.waiting]

    def look(self) -> None:
        """Read the list again, and stay with the same call."""
        before = self.current
        found = self._client.approvals(status="pending", limit="200")
        self.waiting = list(reversed(found))
        ids = self.ids
        self._at = ids.index(before["id"]) if before and before["id"] in ids else 0
        if before and before["id"] not in ids:
            self._tell_end(before["id"])

    def tell_new(self) -> None:
        """One line and a bell for every call that was not told yet."""
        for approval in self.waiting:
            if approval["id"] not in self._told:
                self._told.add(approval["id"])
                typer.echo(BELL, nl=False)
                say(f"{approval['id']}  {headline(approval)}")

    def next(self) -> None:
        self._at += 1
        self.show()

    def show(self) -> dict[str, Any] | None:
        """The whole card of the current call."""
        if self.current is None:
            say("Nothing is waiting.")
            return None
        say("")
        return shown_whole(self._client, self.current["id"])

    def approve(self) -> None:
        """Show it whole, ask once more, and approve what was shown."""
        card = self.show()
        if card is None:
            return
        check_offered(card)
        if _said("Run this call? [y/N] ").strip().lower() in {"y", "yes"}:
            self._tell(self._client.approve(card["id"], card["digest"]))
        else:
            say("Nothing was decided.")

    def deny(self) -> None:
        """Deny the current call; an empty reason is none."""
        if self.current is None:
            return
        id_ = self.current["id"]
        say(f"Deny {headline(self.current)}")
        said = _said("Why? The agent is told. ")
        if not said:  # the end of what is typed, and no empty line
            say("Nothing was decided.")
            return
        self._tell(self._client.deny(id_, said.strip() or None))

    def _tell(self, after: dict[str, Any]) -> None:
        say(f"{after['id']} {state(after)}")
        self.look()

    def _tell_end(self, id_: str) -> None:
        with suppress(ApiError):
            say(f"{id_} {state(self._client.approval(id_))}")


def _answering(desk: _Desk, hinted: int) -> None:
    told: list[str] = []
    while True:
        _trying(desk.tell_new)
        if desk.current and told != desk.ids:
            say(f"for {desk.current['id']}: {KEYS}")
            told = desk.ids
        pressed = _key(hinted)
        if pressed is None:
            _trying(desk.look)
        elif pressed in END:
            return
        else:
            _trying(partial(_act, desk, pressed))
            told = []


def _trying(what: Callable[[], object]) -> None:
    """Say what goes wrong: somebody was faster, or may not, or the service is gone for a moment."""
    try:
        what()
    except (ApiError, Unreachable) as error:
        say(str(error))
        time.sleep(AGAIN_AFTER)


def _act(desk: _Desk, pressed: str) -> None:
    match pressed:
        case "a":
            desk.approve()
        case "d":
            desk.deny()
        case "n":
            desk.next()
        case "\n" | "\r":
            desk.show()


def _listening(desk: _Desk, hinted: int) -> None:
    while True:
        _trying(desk.tell_new)
        ready, _, _ = select.select([hinted], [], [], LOOK_EVERY)
        if ready:
            os.read(hinted, 4096)
        _trying(desk.look)


def _key(hinted: int) -> str | None:
    """The key that was pressed; None: look at the list again."""
    typing = sys.stdin.fileno()
    ready, _, _ = select.select([typing, hinted], [], [], LOOK_EVERY)
    if typing in ready:
        return os.read(typing, 1).decode("ascii", "replace")
    if hinted in ready:
        os.read(hinted, 4096)
    return None


@contextmanager
def _single_keys() -> Iterator[None]:
    """The terminal gives each key at once; afterwards it is as it was."""
    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _said(question: str) -> str:
    """A whole line, typed after the question was shown: what was typed before answers nothing."""
    keys = termios.tcgetattr(sys.stdin)
    whole = [*keys]
    whole[LOCAL] = keys[LOCAL] | termios.ICANON | termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, whole)
    try:
        sys.stdout.write(question)
        sys.stdout.flush()
        return _line()
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, keys)


def _line() -> str:
    """Read past Python's own buffer, which the waiting for keys does not see."""
    typed = b""
    while not typed.endswith(b"\n") and (part := os.read(sys.stdin.fileno(), 4096)):
        typed += part
    return typed.decode("utf-8", "replace")


@contextmanager
def _hints(listener: Client) -> Iterator[int]:
    """A file descriptor that has something to read whenever the list may have changed."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    over = threading.Event()

    def listen() -> None:
        while not over.is_set():
            with suppress(Unreachable, ApiError):
                for _ in listener.hints():
                    with suppress(OSError):
                        os.write(writing, b".")
            over.wait(AGAIN_AFTER)

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield reading
    finally:
        over.set()
