"""The outbox on PostgreSQL: one statement each; how telling went is written with other writes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.ports.telling import Ending, Receipt
from approvals.storage import mapping
from approvals.storage.outbox_reads import OutboxReads
from approvals.storage.postgres_operations import Told
from approvals.storage.postgres_statement import readable, storable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence
    from datetime import datetime
    from typing import Any

    from approvals.ports.telling import Delivery, DeliveryRecord
    from approvals.storage.driver import Connection, Record
    from approvals.storage.reads import Reader

_LEASE = """
update outbox set leased_until = clock_timestamp() + $2::interval
where id in (
  select o.id from outbox o
  where o.channel = $1 and o.done_at is null and o.due_at <= now()
    and (o.leased_until is null or o.leased_until <= now())
    and (
      select true from outbox e where e.approval_id = o.approval_id and e.channel = o.channel
        and e.version < o.version and coalesce(e.done_at, 'infinity') = 'infinity' limit 1
    ) is null
  order by o.due_at limit $3 for update skip locked
)
returning *
"""
"""What came before is looked up by approval, one by one: neither a join nor the index of all that
waits, which the server would rather take while it has no statistics, can be made of this."""
_KEEP = "update outbox set body = coalesce(body, $2) where id = $1 returning body"
_LOCKED = "select id from outbox where id = any($1) and done_at is null order by id for update"
_PUT_OFF = f"""
update outbox set due_at = clock_timestamp() + $2::interval, leased_until = null
where id in ({_LOCKED})
"""  # noqa: S608 (no values in it)
_DIGESTED = f"""
with channel as (
  insert into channels (channel, digested_at) values ($3, clock_timestamp())
  on conflict (channel) do update set digested_at = excluded.digested_at
)
update outbox set due_at = clock_timestamp() + $2::interval, leased_until = null,
  digested_at = clock_timestamp()
where id in ({_LOCKED})
"""  # noqa: S608 (no values in it)
_TAKE = """
insert into channels (channel, worker, worked_until)
values ($1, $2, clock_timestamp() + $3::interval)
on conflict (channel) do update set worker = excluded.worker, worked_until = excluded.worked_until
where channels.worker = excluded.worker
  or coalesce(channels.worked_until, '-infinity') <= clock_timestamp()
returning true
"""
_LET_GO = "update channels set worked_until = null where channel = $1 and worker = $2"
_FORGET = "delete from messages where approval_id = $1 and receipt = $2"
_ADOPT = """
with kept as (
  insert into messages (approval_id, receipt, channel, at)
  values ($1, $3, $2, clock_timestamp()) on conflict do nothing returning at
)
insert into outbox (id, approval_id, channel, version, kind, due_at, attempts, event, at)
select $4, $1, $2, a.version, 'requested', kept.at, 0, 'adopted', kept.at
from kept, approvals a where a.id = $1
on conflict (id) do update set done_at = null, ended = null, due_at = excluded.due_at
returning true
"""
_AGAIN = """
update outbox set due_at = clock_timestamp(), leased_until = null, done_at = null, ended = null
where id = $1 returning *
"""
_CLOSE = """
insert into channels (channel, closed) values ($1, $2)
on conflict (channel) do update set closed = excluded.closed
"""
_OPEN = "update channels set closed = null where channel = $1"


class PostgresOutbox(OutboxReads):
    """The Outbox port. `write` puts into the next flush how telling went."""

    def __init__(
        self,
        run: Callable[[Callable[[Connection], Any]], Awaitable[Any]],
        write: Callable[[Told], Awaitable[None]],
        reader: Reader,
        now: Callable[[], datetime],
    ) -> None:
        super().__init__(reader, now)
        self._run = run
        self._write = write

    async def lease(self, channel: str, *, lease: timedelta, limit: int) -> Sequence[Delivery]:
        rows = await self._run(lambda c: c.fetch(_LEASE, channel, lease, limit))
        return sorted((mapping.delivery_of(_row(r)) for r in rows), key=lambda one: one.at)

    async def keep(self, delivery_id: str, body: str) -> str:
        kept = await self._run(lambda c: c.fetchval(_KEEP, delivery_id, storable(body)))
        return readable(kept) if kept is not None else body

    async def told(self, delivery_id: str, *, receipt: Receipt | None = None) -> None:
        await self._write(Told(delivery_id=delivery_id, receipt=receipt, ended=Ending.TOLD))

    async def failed(
        self, delivery_id: str, *, error: str, retry_in: timedelta | None, unclear: int = 0
    ) -> None:
        told = Told(
            delivery_id=delivery_id,
            error=error,
            wait=retry_in or timedelta(0),
            unclear=unclear,
            ended=Ending.GIVEN_UP if retry_in is None else None,
        )
        await self._write(told)

    async def put_off(self, delivery_ids: Collection[str], *, wait: timedelta) -> None:
        await self._run(lambda c: c.execute(_PUT_OFF, list(delivery_ids), wait))

    async def digested(
        self, channel: str, delivery_ids: Collection[str], *, wait: timedelta
    ) -> None:
        await self._run(lambda c: c.execute(_DIGESTED, list(delivery_ids), wait, channel))

    async def take(self, channel: str, *, worker: str, lease: timedelta) -> bool:
        return bool(await self._run(lambda c: c.fetchval(_TAKE, channel, worker, lease)))

    async def let_go(self, channel: str, *, worker: str) -> None:
        await self._run(lambda c: c.execute(_LET_GO, channel, worker))

    async def forget(self, approval_id: str, receipt: Receipt) -> None:
        await self._run(lambda c: c.execute(_FORGET, approval_id, receipt))

    async def adopt(self, approval_id: str, channel: str, receipt: Receipt) -> bool:
        id_ = mapping.adopted_id(channel, receipt)
        return bool(
            await self._run(lambda c: c.fetchval(_ADOPT, approval_id, channel, receipt, id_))
        )

    async def redeliver(self, delivery_id: str) -> DeliveryRecord | None:
        row = await self._run(lambda c: c.fetchrow(_AGAIN, delivery_id))
        return None if row is None else mapping.delivery_record_of(_row(row))

    async def close(self, channel: str, *, address: str) -> None:
        await self._run(lambda c: c.execute(_CLOSE, channel, address))

    async def open(self, channel: str) -> None:
        await self._run(lambda c: c.execute(_OPEN, channel))


def _row(record: Record) -> dict[str, Any]:
    return {name: readable(v) if isinstance(v, str) else v for name, v in record.items()}
