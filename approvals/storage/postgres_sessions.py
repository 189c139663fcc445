"""Sign-in links and sessions, on PostgreSQL: one statement each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.ports import SessionRecord
from approvals.storage.tables import FORGOTTEN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime, timedelta
    from typing import Any

    from approvals.storage.driver import Connection

_ADD = """
with links as (delete from sign_in_links where expires_at < clock_timestamp() - $4::interval),
old as (delete from sessions where expires_at < clock_timestamp() - $4::interval)
insert into sign_in_links (sha256, person, expires_at)
values ($1, $2, clock_timestamp() + $3::interval)
on conflict (sha256) do update set expires_at = excluded.expires_at
returning expires_at
"""
_SIGN_IN = """
with used as (
  update sign_in_links set session = $2
  where sha256 = $1 and expires_at > clock_timestamp() and (session is null or session = $2)
  returning person
)
insert into sessions (sha256, person, created_at, expires_at)
select $2, person, clock_timestamp(), clock_timestamp() + $3::interval from used
on conflict (sha256) do update set expires_at = excluded.expires_at
returning person, expires_at
"""
_SESSION = """
select person, expires_at from sessions
where sha256 = $1 and ended_at is null and expires_at > clock_timestamp()
"""
_END = """
update sessions set ended_at = clock_timestamp() where sha256 = $1 and ended_at is null
returning true
"""


_FORGET = "with links as (delete from sign_in_links) delete from sessions"


class PostgresSessions:
    """The SessionStore port."""

    def __init__(self, run: Callable[[Callable[[Connection], Any]], Awaitable[Any]]) -> None:
        self._run = run

    async def add_link(self, sha256: str, *, person: str, lasts: timedelta) -> datetime:
        ends: datetime = await self._run(
            lambda c: c.fetchval(_ADD, sha256, person, lasts, FORGOTTEN)
        )
        return ends

    async def sign_in(self, link: str, *, session: str, lasts: timedelta) -> SessionRecord | None:
        return await self._record(_SIGN_IN, link, session, lasts)

    async def session(self, sha256: str) -> SessionRecord | None:
        return await self._record(_SESSION, sha256)

    async def end_session(self, sha256: str) -> bool:
        return bool(await self._run(lambda c: c.fetchval(_END, sha256)))

    async def forget(self) -> None:
        await self._run(lambda c: c.execute(_FORGET))

    async def _record(self, sql: str, *values: object) -> SessionRecord | None:
        row = await self._run(lambda c: c.fetchrow(sql, *values))
        return SessionRecord(person=row["person"], expires_at=row["expires_at"]) if row else None
