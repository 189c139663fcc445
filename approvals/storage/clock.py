"""The clock of an SQLite database: the machine's own, since the writer runs on it."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """Clock for one process and its database file."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251 (this is its home)
