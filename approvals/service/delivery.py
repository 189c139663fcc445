"""Tell the channels: read due outbox rows, render the state as it is now, send, note how it went.

No transaction is open while a channel is being told. Execution never goes through here.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain.card import card
from approvals.ports import Delivery, Notice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.ports import Channel, Clock, Meter, Store
    from approvals.service.rules import Rules

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
AT_ONCE = 50
FIRST_RETRY = timedelta(seconds=1)
LAST_RETRY = timedelta(minutes=10)


class Deliveries:
    """Works the outbox off."""

    def __init__(
        self,
        *,
        store: Store,
        rules: Rules,
        clock: Clock,
        channels: Mapping[str, Channel],
        meter: Meter,
    ) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._channels = channels
        self._meter = meter

    async def deliver_due(self) -> int:
        """Tell everything that is due; how many rows that were."""
        due = await self._store.lease_deliveries(lease=LEASE, limit=AT_ONCE)
        await asyncio.gather(*(self._deliver(delivery) for delivery in due))
        return len(due)

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            async with asyncio.timeout(LEASE.total_seconds() / 2):
                await self._tell(delivery)
        except Exception as error:
            logger.exception(
                "%s could not be told of %s",
                delivery.channel,
                delivery.approval_id,
                extra={"approval": delivery.approval_id},
            )
            await self._store.delivery_failed(
                delivery.id, error=type(error).__name__, retry_in=_pause(delivery.attempts)
            )
            self._meter.not_told(delivery)
        else:
            await self._store.delivered(delivery.id)
            self._meter.told(delivery, at=self._clock.now())

    async def _tell(self, delivery: Delivery) -> None:
        approval = await self._store.approval(delivery.approval_id)
        if approval is None:
            raise LookupError("the approval of an outbox row is gone")
        rulebook = self._rules.current
        now = self._clock.now().astimezone(rulebook.zone)
        shown = card(approval, directory=rulebook.directory, now=now)
        await self._channels[delivery.channel].announce(
            Notice(
                kind=delivery.kind,
                approval=approval,
                question=shown.question,
                outcome=shown.outcome,
                deadline=shown.deadline,
            )
        )


def _pause(attempts: int) -> timedelta:
    doubled: int = 2 ** min(attempts, 20)
    return min(FIRST_RETRY * doubled, LAST_RETRY)
