"""Clocks. The time of the service is the time of its database, so that replicas agree."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from approvals.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable


def elapsed() -> float:
    """Seconds since some moment: also while it sleeps, whatever its clock says."""
    return time.clock_gettime(_CLOCK)


_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The clock of an SQLite database: the machine's own, since the writer runs on it."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 (this is its home)


class DatabaseClock:
    """The clock of a database server, known from its answers.

    An answer that was asked for at `asked` and is here now was given in between: that bounds how
    far the server's clock is ahead of ours. Each answer narrows the bounds; one that contradicts
    them (a clock was set, or runs faster) starts anew.
    """

    def __init__(self, elapsed: Callable[[], float] = elapsed) -> None:
        self.elapsed = elapsed
        self._bounds: tuple[datetime, datetime] | None = None
        """The server's time at our second 0: not before the first, not after the second."""
        self._middle: datetime | None = None

    def now(self) -> datetime:
        """Raises Unavailable while the server has not been heard."""
        if self._middle is None:
            raise Unavailable("The database's clock is not known yet.")
        return self._middle + timedelta(seconds=self.elapsed())

    def heard(self, at: datetime, *, asked: float) -> None:
        """The server's clock stood at `at` some time between `asked` and now."""
        bounds = at - timedelta(seconds=self.elapsed()), at - timedelta(seconds=asked)
        if self._bounds is not None:
            narrowed = max(bounds[0], self._bounds[0]), min(bounds[1], self._bounds[1])
            bounds = narrowed if narrowed[0] <= narrowed[1] else bounds
        self._bounds = bounds
        self._middle = bounds[0] + (bounds[1] - bounds[0]) / 2
