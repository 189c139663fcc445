"""The clock of an SQLite database: the machine's own, since the writer runs on it."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Clock for one process and its database file."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 (this is its home)


def elapsed() -> float:
    """Seconds since some moment: also while it sleeps, whatever its clock says."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
