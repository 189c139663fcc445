"""Who watches what happens: hints that an approval is at another version now.

Hints only. Whoever falls behind is told to look at everything anew (API.md, `GET /v1/events`).
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 1000
"""Hints that wait for one watcher."""


class Watch:
    """One watcher's hints, the newest version of each approval."""

    def __init__(self) -> None:
        self._changed: dict[str, int] = {}
        self._reset = True
        self._any = asyncio.Event()
        self._any.set()

    def changed(self, approval_id: str, version: int) -> None:
        if len(self._changed) >= MOST:
            self.reset()
        self._changed[approval_id] = max(version, self._changed.get(approval_id, 0))
        self._any.set()

    def reset(self) -> None:
        """What was missed is not known: everything is to be looked at anew."""
        self._changed.clear()
        self._reset = True
        self._any.set()

    async def next(self, *, within: float) -> tuple[bool, dict[str, int]]:
        """Whether to look at everything anew (so it is first of all), and what changed since;
        nothing, if nothing did for so many seconds. A service that stops wakes everybody."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._any.wait(), within)
        self._any.clear()
        found = self._reset, self._changed
        self._reset, self._changed = False, {}
        return found


class News:
    """Everybody who watches this process."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()

    def changed(self, approval_id: str, version: int) -> None:
        for watch in self._watches:
            watch.changed(approval_id, version)

    def reset(self) -> None:
        for watch in self._watches:
            watch.reset()

    @contextmanager
    def watching(self) -> Iterator[Watch]:
        """A watcher, for as long as the block runs."""
        watch = Watch()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)
