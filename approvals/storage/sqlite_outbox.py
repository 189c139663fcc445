"""The outbox on SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.ports.telling import Ending, Receipt
from approvals.storage import mapping
from approvals.storage.outbox_reads import OutboxReads
from approvals.storage.sqlite_rows import insert, returned
from approvals.storage.tables import OutboxRow, to_microseconds

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime, timedelta

    from approvals.ports.telling import Delivery, DeliveryRecord
    from approvals.storage.reads import Reader
    from approvals.storage.sqlite_sessions import Write

_READY = "done_at is null and due_at <= :now and (leased_until is null or leased_until <= :now)"
_LEASE = f"""
update outbox set leased_until = :until where id in (
  select id from outbox o where channel = :channel and {_READY}
  and not exists (
    select 1 from outbox e where e.approval_id = o.approval_id and e.channel = o.channel
    and e.version < o.version and e.done_at is null
  )
  order by due_at limit :limit
)
"""  # noqa: S608 (no values in it)
_TRIED = """
tried = case when attempts < 20
  then json_insert(coalesce(tried, '[]'), '$[#]', json_object('at', :moment, 'error', :error))
  else json_replace(tried, '$[#-1]', json_object('at', :moment, 'error', :error)) end,
attempts = attempts + 1, leased_until = null
"""
_TOLD = f"""
update outbox set {_TRIED}, done_at = :now, ended = 'told', error = null,
  told_at = coalesce(told_at, :now)
where id = :id
"""  # noqa: S608 (no values in it)
_FAILED = f"""
update outbox set {_TRIED}, error = :error, due_at = :due, done_at = :done, ended = :ended,
  unclear = coalesce(unclear, 0) + :unclear
where id = :id and done_at is null
"""  # noqa: S608 (no values in it)
_PUT_OFF = """
update outbox set due_at = :due, leased_until = null where id = :id and done_at is null
"""
_DIGESTED = """
update outbox set due_at = :due, leased_until = null, digested_at = :now
where id = :id and done_at is null
"""
_DIGEST_AT = """
insert into channels (channel, digested_at) values (:channel, :now)
on conflict (channel) do update set digested_at = excluded.digested_at
"""
_TAKE = """
insert into channels (channel, worker, worked_until) values (:channel, :worker, :until)
on conflict (channel) do update set worker = excluded.worker, worked_until = excluded.worked_until
where channels.worker = excluded.worker or coalesce(channels.worked_until, 0) <= :now
"""
_LET_GO = "update channels set worked_until = null where channel = ? and worker = ?"
_CLOSE = """
insert into channels (channel, closed) values (?, ?)
on conflict (channel) do update set closed = excluded.closed
"""
_OPEN = "update channels set closed = null where channel = ?"
_KEEP_MESSAGE = (
    "insert or ignore into messages (approval_id, receipt, channel, at) values (?, ?, ?, ?)"
)
_KEEP = "update outbox set body = coalesce(body, :body) where id = :id returning body"
_AGAIN = """
update outbox set due_at = :now, leased_until = null, done_at = null, ended = null where id = :id
"""


class SqliteOutbox(OutboxReads):
    """The Outbox port."""

    def __init__(self, write: Write, reader: Reader, now: Callable[[], datetime]) -> None:
        super().__init__(reader, now)
        self._write = write

    async def lease(self, channel: str, *, lease: timedelta, limit: int) -> Sequence[Delivery]:
        def work(connection: sqlite3.Connection, now: datetime) -> list[Delivery]:
            named = {
                "channel": channel,
                "now": to_microseconds(now),
                "until": to_microseconds(now + lease),
                "limit": limit,
            }
            taken = returned(connection, OutboxRow, _LEASE, named)
            return sorted(map(mapping.delivery_of, taken), key=lambda one: one.at)

        return await self._write(channel, work)

    async def keep(self, delivery_id: str, body: str) -> str:
        def work(connection: sqlite3.Connection, now: datetime) -> str:
            del now
            kept = connection.execute(_KEEP, {"id": delivery_id, "body": body}).fetchall()
            return str(kept[0][0]) if kept else body

        return await self._write(delivery_id, work)

    async def told(self, delivery_id: str, *, receipt: Receipt | None = None) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            named = {
                "id": delivery_id,
                "now": to_microseconds(now),
                "moment": now.isoformat(),
                "error": "",
            }
            connection.execute(_TOLD, named)
            if receipt is not None:
                sql = "select approval_id, channel from outbox where id = ?"
                for approval_id, channel in connection.execute(sql, (delivery_id,)).fetchall():
                    _keep(connection, approval_id, channel, receipt, now)

        await self._write(delivery_id, work)

    async def failed(
        self, delivery_id: str, *, error: str, retry_in: timedelta | None, unclear: int = 0
    ) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            given_up = retry_in is None
            named = {
                "id": delivery_id,
                "moment": now.isoformat(),
                "error": error,
                "due": to_microseconds(now if retry_in is None else now + retry_in),
                "done": to_microseconds(now) if given_up else None,
                "ended": Ending.GIVEN_UP if given_up else None,
                "unclear": unclear,
            }
            connection.execute(_FAILED, named)

        await self._write(delivery_id, work)

    async def put_off(self, delivery_ids: Collection[str], *, wait: timedelta) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            due = to_microseconds(now + wait)
            connection.executemany(_PUT_OFF, [{"due": due, "id": one} for one in delivery_ids])

        await self._write("outbox", work)

    async def digested(
        self, channel: str, delivery_ids: Collection[str], *, wait: timedelta
    ) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            at, due = to_microseconds(now), to_microseconds(now + wait)
            connection.executemany(
                _DIGESTED, [{"id": one, "now": at, "due": due} for one in delivery_ids]
            )
            connection.execute(_DIGEST_AT, {"channel": channel, "now": at})

        await self._write("outbox", work)

    async def take(self, channel: str, *, worker: str, lease: timedelta) -> bool:
        def work(connection: sqlite3.Connection, now: datetime) -> bool:
            named = {
                "channel": channel,
                "worker": worker,
                "now": to_microseconds(now),
                "until": to_microseconds(now + lease),
            }
            return connection.execute(_TAKE, named).rowcount == 1

        return await self._write(channel, work)

    async def let_go(self, channel: str, *, worker: str) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            del now
            connection.execute(_LET_GO, (channel, worker))

        await self._write(channel, work)

    async def forget(self, approval_id: str, receipt: Receipt) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            del now
            sql = "delete from messages where approval_id = ? and receipt = ?"
            connection.execute(sql, (approval_id, receipt))

        await self._write(approval_id, work)

    async def adopt(self, approval_id: str, channel: str, receipt: Receipt) -> bool:
        def work(connection: sqlite3.Connection, now: datetime) -> bool:
            if not _keep(connection, approval_id, channel, receipt, now):
                return False
            sql = "select version from approvals where id = ?"
            [version] = connection.execute(sql, (approval_id,)).fetchone()
            row = mapping.adopted_row(approval_id, channel, receipt, version=version, at=now)
            connection.execute("delete from outbox where id = ?", (row["id"],))
            insert(connection, OutboxRow, row)
            return True

        return await self._write(approval_id, work)

    async def redeliver(self, delivery_id: str) -> DeliveryRecord | None:
        def work(connection: sqlite3.Connection, now: datetime) -> DeliveryRecord | None:
            named = {"id": delivery_id, "now": to_microseconds(now)}
            found = returned(connection, OutboxRow, _AGAIN, named)
            return mapping.delivery_record_of(found[0]) if found else None

        return await self._write(delivery_id, work)

    async def close(self, channel: str, *, address: str) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            del now
            connection.execute(_CLOSE, (channel, address))

        await self._write(channel, work)

    async def open(self, channel: str) -> None:
        def work(connection: sqlite3.Connection, now: datetime) -> None:
            del now
            connection.execute(_OPEN, (channel,))

        await self._write(channel, work)


def _keep(
    connection: sqlite3.Connection, approval_id: str, channel: str, receipt: Receipt, now: datetime
) -> bool:
    """Whether it was not known."""
    values = (approval_id, receipt, channel, to_microseconds(now))
    return connection.execute(_KEEP_MESSAGE, values).rowcount == 1
