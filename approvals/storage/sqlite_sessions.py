"""Sign-in links and sessions, on SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from approvals.ports import SessionRecord
from approvals.storage.sqlite_rows import insert
from approvals.storage.tables import (
    FORGOTTEN,
    SessionRow,
    SignInLinkRow,
    from_microseconds,
    to_microseconds,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from datetime import datetime, timedelta

T = TypeVar("T")

_FORGET = "delete from {} where expires_at < ?"
_USE = """
update sign_in_links set session = :session
where sha256 = :link and expires_at > :now and (session is null or session = :session)
returning person
"""
_KNOWN = "select 1 from sessions where sha256 = ?"
_SESSION = """
select person, expires_at from sessions
where sha256 = ? and ended_at is null and expires_at > ?
"""
_END = "update sessions set ended_at = ? where sha256 = ? and ended_at is null"


class Write(Protocol):
    """Runs work in a transaction of the writing thread, with the time there."""

    async def __call__(
        self, row: str, work: Callable[[sqlite3.Connection, datetime], T], /
    ) -> T: ...


class Read(Protocol):
    """Runs work in a reading thread."""

    async def __call__(self, read: Callable[[sqlite3.Connection], T], /) -> T: ...


class SqliteSessions:
    """The SessionStore port."""

    def __init__(self, write: Write, read: Read, now: Callable[[], datetime]) -> None:
        self._write = write
        self._read = read
        self._now = now

    async def add_link(self, sha256: str, *, person: str, lasts: timedelta) -> datetime:
        def work(connection: sqlite3.Connection, now: datetime) -> datetime:
            for table in ("sign_in_links", "sessions"):
                connection.execute(_FORGET.format(table), (to_microseconds(now - FORGOTTEN),))
            row = {"sha256": sha256, "person": person, "expires_at": now + lasts, "session": None}
            connection.execute("delete from sign_in_links where sha256 = ?", (sha256,))
            insert(connection, SignInLinkRow, row)
            return now + lasts

        return await self._write(sha256, work)

    async def sign_in(self, link: str, *, session: str, lasts: timedelta) -> SessionRecord | None:
        def work(connection: sqlite3.Connection, now: datetime) -> SessionRecord | None:
            named = {"link": link, "session": session, "now": to_microseconds(now)}
            used = connection.execute(_USE, named).fetchall()
            if not used:
                return None
            begun = {
                "sha256": session,
                "person": used[0][0],
                "created_at": now,
                "expires_at": now + lasts,
                "ended_at": None,
            }
            if not connection.execute(_KNOWN, (session,)).fetchone():
                insert(connection, SessionRow, begun)  # a lost commit answer makes this run twice
            return SessionRecord(person=used[0][0], expires_at=now + lasts)

        return await self._write(link, work)

    async def session(self, sha256: str) -> SessionRecord | None:
        at = to_microseconds(self._now())
        rows = await self._read(lambda c: c.execute(_SESSION, (sha256, at)).fetchall())
        if not rows:
            return None
        return SessionRecord(person=rows[0][0], expires_at=from_microseconds(rows[0][1]))

    async def end_session(self, sha256: str) -> bool:
        def work(connection: sqlite3.Connection, now: datetime) -> bool:
            ended = connection.execute(_END, (to_microseconds(now), sha256))
            return ended.rowcount == 1

        return await self._write(sha256, work)

    async def forget(self) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            del now
            connection.execute("delete from sign_in_links")
            connection.execute("delete from sessions")

        await self._write("sessions", work)
