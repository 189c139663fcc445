"""What an engine reads of the outbox, the same on every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from approvals.domain.rulebook import LOG
from approvals.ports.telling import ANNOUNCED, Ending, Pings, Receipt
from approvals.storage import mapping
from approvals.storage.queries import APPROVALS, LIMIT, named
from approvals.storage.tables import ChannelRow, MessageRow, OutboxRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from approvals.ports.telling import DeliveryFilter, DeliveryRecord
    from approvals.storage.reads import Reader

OUTBOX = OutboxRow.__table__  # type: ignore[attr-defined]
MESSAGES = MessageRow.__table__  # type: ignore[attr-defined]
CHANNELS = ChannelRow.__table__  # type: ignore[attr-defined]

WAITING = sa.text("outbox.done_at is null")
GIVEN_UP = sa.text("outbox.ended = 'given_up'")
"""Written out, so that the indexes of just these rows are used."""
_AT = sa.func.coalesce(OUTBOX.c.at, OUTBOX.c.due_at)


def _channels_in_use() -> sa.CTE:
    """Every channel for which something waits: one look into the index for each, however much."""
    waiting, more = OUTBOX.alias("waiting"), OUTBOX.alias("more")
    first = sa.select(sa.func.min(waiting.c.channel).label("channel"))
    names = first.where(waiting.c.done_at.is_(None)).cte("names", recursive=True)
    following = (
        sa.select(sa.func.min(more.c.channel))
        .where(more.c.done_at.is_(None), more.c.channel > names.c.channel)
        .scalar_subquery()
    )
    return names.union_all(sa.select(following).where(names.c.channel.is_not(None)))


_NAMES = _channels_in_use()
_NOW = named("now")
_A_ROW = (
    sa.select(OUTBOX.c.id)
    .where(
        OUTBOX.c.channel == _NAMES.c.channel,
        OUTBOX.c.done_at.is_(None),
        OUTBOX.c.due_at <= _NOW,
        sa.or_(OUTBOX.c.leased_until.is_(None), OUTBOX.c.leased_until <= _NOW),
    )
    .limit(1)
)
DUE = sa.select(_NAMES.c.channel).where(_A_ROW.scalar_subquery().is_not(None))
"""The channels of which a row is due. One look for each: no join can be made of a limit."""
CARDS = sa.select(sa.func.count().label("n")).where(
    MESSAGES.c.channel == named("channel"), MESSAGES.c.at > named("since")
)
LAST_DIGEST = sa.select(CHANNELS.c.digested_at.label("at")).where(
    CHANNELS.c.channel == named("channel")
)
UNTOLD = (
    sa.select(OUTBOX.c.id, OUTBOX.c.approval_id)
    .join(APPROVALS, APPROVALS.c.id == OUTBOX.c.approval_id)
    .where(
        OUTBOX.c.channel == named("channel"),
        WAITING,
        OUTBOX.c.event.in_(ANNOUNCED),
        OUTBOX.c.digested_at.is_(None),
        sa.text("approvals.status = 'pending'"),
        ~sa.exists().where(
            MESSAGES.c.approval_id == OUTBOX.c.approval_id,
            MESSAGES.c.channel == OUTBOX.c.channel,
        ),
    )
    .order_by(_AT, OUTBOX.c.id)
    .limit(LIMIT)
)
"""Pending calls of which a channel was not told yet, not by a digest either."""
KEPT = (
    sa.select(MESSAGES.c.receipt)
    .where(MESSAGES.c.approval_id == named("approval_id"), MESSAGES.c.channel == named("channel"))
    .order_by(MESSAGES.c.at, MESSAGES.c.receipt)
)
"""Where a channel keeps messages about an approval."""
CHANNEL_OF = sa.select(OUTBOX.c.channel).where(OUTBOX.c.id == named("id"))
ADDRESS = sa.select(CHANNELS.c.closed.label("address")).where(
    CHANNELS.c.channel == named("channel")
)
_OTHER = OUTBOX.alias("other")
_OLD = OUTBOX.c.at <= named("before")
_LATE = sa.union_all(
    sa.select(OUTBOX.c.approval_id, OUTBOX.c.channel).where(
        WAITING, _OLD, OUTBOX.c.told_at.is_(None)
    ),
    sa.select(OUTBOX.c.approval_id, OUTBOX.c.channel).where(
        GIVEN_UP, _OLD, OUTBOX.c.at > named("since")
    ),
).subquery("late")
UNNOTICED = (
    sa.select(APPROVALS)
    .where(
        sa.text("status = 'pending'"),
        APPROVALS.c.unnoticed.is_(None),
        APPROVALS.c.id.in_(
            sa.select(_LATE.c.approval_id).where(
                ~sa.exists().where(
                    _OTHER.c.approval_id == _LATE.c.approval_id,
                    sa.or_(
                        _OTHER.c.told_at.is_not(None),
                        _OTHER.c.digested_at.is_not(None),
                        # told by an older version, which does not say when
                        sa.and_(_OTHER.c.done_at.is_not(None), _OTHER.c.ended.is_(None)),
                    ),
                    sa.or_(_OTHER.c.channel != LOG, _LATE.c.channel == LOG),
                ),
            )
        ),
    )
    .order_by(APPROVALS.c.created_at)
    .limit(LIMIT)
)
"""Pending, and no people were told by any channel that was to tell them since before then. What was
given up is looked at for a day: longer than nearly every call may wait."""


_NOT_TOLD = sa.union_all(
    sa.select(OUTBOX.c.id).where(WAITING), sa.select(OUTBOX.c.id).where(GIVEN_UP)
)


def listed(filter_: DeliveryFilter) -> sa.Select[Any]:
    """Deliveries by time, oldest first."""
    query = sa.select(OUTBOX)
    if filter_.approval_id is not None:
        query = query.where(OUTBOX.c.approval_id == filter_.approval_id)
    if filter_.channel is not None:
        query = query.where(OUTBOX.c.channel == filter_.channel)
    if filter_.waiting:
        query = query.where(WAITING)
    elif filter_.ended is not None:
        given_up = filter_.ended is Ending.GIVEN_UP
        query = query.where(GIVEN_UP if given_up else OUTBOX.c.ended == filter_.ended)
    elif filter_.approval_id is None:
        query = query.where(OUTBOX.c.id.in_(_NOT_TOLD))
    if filter_.after is not None:
        at, id_ = filter_.after
        query = query.where(sa.or_(at < _AT, sa.and_(_AT.op("=")(at), OUTBOX.c.id > id_)))
    return query.order_by(_AT, OUTBOX.c.id).limit(filter_.limit)


class OutboxReads:
    """The reading half of the Outbox port."""

    def __init__(self, reader: Reader, now: Callable[[], datetime]) -> None:
        self._reader = reader
        self._now = now

    async def due(self) -> Sequence[str]:
        return [row["channel"] for row in await self._reader.rows(DUE, {"now": self._now()})]

    async def pings(self, channel: str, *, within: timedelta) -> Pings:
        now = self._now()
        cards = await self._reader.rows(CARDS, {"channel": channel, "since": now - within})
        digests = await self._reader.rows(LAST_DIGEST, {"channel": channel})
        at = digests[0]["at"] if digests else None
        return Pings(cards=cards[0]["n"], since_digest=None if at is None else now - at)

    async def untold(self, channel: str, *, limit: int) -> Sequence[tuple[str, str]]:
        found = await self._reader.rows(UNTOLD, {"channel": channel, "limit": limit})
        return [(row["id"], row["approval_id"]) for row in found]

    async def messages(self, approval_id: str, channel: str) -> Sequence[Receipt]:
        found = await self._reader.rows(KEPT, {"approval_id": approval_id, "channel": channel})
        return [Receipt(row["receipt"]) for row in found]

    async def deliveries(self, filter_: DeliveryFilter) -> Sequence[DeliveryRecord]:
        return [mapping.delivery_record_of(r) for r in await self._reader.rows(listed(filter_))]

    async def channel_of(self, delivery_id: str) -> str | None:
        found = await self._reader.rows(CHANNEL_OF, {"id": delivery_id})
        return str(found[0]["channel"]) if found else None

    async def closed(self, channel: str) -> str | None:
        found = await self._reader.rows(ADDRESS, {"channel": channel})
        return found[0]["address"] if found else None
