"""What happens without being asked: a few idempotent interval jobs, in memory, on every replica.

Never a job for one approval: the database knows every deadline, a job only looks (ARCHITECTURE.md,
"Time").
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from apscheduler.schedulers.asyncio import AsyncIOScheduler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from approvals.service.services import Services

logger = logging.getLogger(__name__)

EXPIRE_EVERY = timedelta(milliseconds=400)
DELIVER_EVERY = timedelta(milliseconds=500)
POLL_EVERY = timedelta(seconds=1)
RENEW_EVERY = timedelta(seconds=2)
RECOVER_EVERY = timedelta(seconds=1)
REMIND_EVERY = timedelta(seconds=1)
MISS_EVERY = timedelta(seconds=5)
FORGET_EVERY = timedelta(minutes=10)
SEAL_EVERY = timedelta(seconds=10)
ERASE_EVERY = timedelta(hours=1)
ERASE_FIRST = timedelta(minutes=1)
"""After the start: a service that never runs for an hour erases too."""


class Jobs:
    """The schedule of one process."""

    def __init__(self, services: Services) -> None:
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        self._meter = services.meter
        self._approvals = services.approvals
        self._noticed_within = services.deliveries.pace.noticed_within
        self._running: set[asyncio.Future[object]] = set()
        self._every(EXPIRE_EVERY, "expire_due", services.approvals.expire_due)
        self._every(DELIVER_EVERY, "deliver_due", services.deliveries.deliver_due)
        self._every(REMIND_EVERY, "remind_due", services.approvals.remind_due)
        self._every(MISS_EVERY, "unnoticed", self._miss_due)
        self._every(REMIND_EVERY, "unreported", services.approvals.give_up_unreported)
        self._every(RENEW_EVERY, "renew", services.liveness.renew)
        self._every(RECOVER_EVERY, "recover", services.releases.recover)
        self._every(FORGET_EVERY, "drop_counters", services.gate.drop_counters)
        self._every(POLL_EVERY, "poll", services.waiting.poll)
        self._every(SEAL_EVERY, "seal", services.audit.seal_due)
        first = services.clock.now() + ERASE_FIRST
        self._every(ERASE_EVERY, "erase", services.retention.erase_due, first=first)

    async def _miss_due(self) -> None:
        await self._approvals.miss_due(within=self._noticed_within)

    def start(self) -> None:
        self._scheduler.start()

    async def stop(self) -> None:
        """Start nothing more and let what runs come to its end."""
        self._scheduler.pause()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._scheduler.shutdown(wait=False)

    def _every(
        self,
        interval: timedelta,
        name: str,
        work: Callable[[], Awaitable[object]],
        *,
        first: datetime | None = None,
    ) -> None:
        count_failure = self._meter.job(name)

        async def run() -> None:
            task = asyncio.ensure_future(work())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            try:
                await task
            except Exception:
                count_failure()
                logger.exception("job %s failed; it runs again", name)

        self._scheduler.add_job(
            run,
            "interval",
            seconds=interval.total_seconds(),
            id=name,
            misfire_grace_time=None,
            coalesce=True,
            max_instances=1,
            **({} if first is None else {"next_run_time": first}),
        )
