"""Is the database well? Looked at from outside, also while a server is using it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from approvals.storage import migrations
from approvals.storage.tables import from_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOM = 512 * 1024 * 1024
AHEAD = timedelta(seconds=2)


class Severity(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    severity: Severity
    what: str


def diagnosed(path: Path, now: datetime) -> Iterator[Finding]:
    """What is to be said of an SQLite database; nothing in it is changed."""
    yield _room(path)
    if not path.exists():
        yield Finding(Severity.OK, f"database: {path} will be made by the first start")
        return
    try:
        reading = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
        with closing(reading) as connection:
            yield from _content(connection, path, now)
    except sqlite3.Error as error:
        yield Finding(Severity.FAIL, f"database: {path} cannot be read ({error})")


def _content(connection: sqlite3.Connection, path: Path, now: datetime) -> Iterator[Finding]:
    (said,) = connection.execute("pragma quick_check(1)").fetchone()
    well = said == "ok"
    yield Finding(
        Severity.OK if well else Severity.FAIL,
        f"database: {path} {'is whole' if well else f'is damaged: {said}'}",
    )
    at, needed = migrations.current(f"sqlite:///{path}")
    if at != needed:
        yield Finding(Severity.WARN, f"database: schema {at}, {needed} needed: db upgrade")
        return
    yield _clock(connection, now)


def _clock(connection: sqlite3.Connection, now: datetime) -> Finding:
    """Deadlines hang on the clock: it must not stand before what is already written."""
    (newest,) = connection.execute("select max(at) from events").fetchone()
    if newest is not None and from_microseconds(newest) > now + AHEAD:
        behind = from_microseconds(newest) - now
        return Finding(Severity.FAIL, f"clock: {behind} behind what the database has already seen")
    return Finding(Severity.OK, "clock: not behind the database")


def _room(path: Path) -> Finding:
    folder = path.resolve().parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    mebibytes = free // 1024**2
    if free < ROOM:
        return Finding(Severity.WARN, f"disk: {mebibytes} MiB free; full, calls are refused")
    return Finding(Severity.OK, f"disk: {mebibytes} MiB free")
