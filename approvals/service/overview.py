"""What an operator looks at: how queue, freezes, processes and configuration stand now."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.errors import StoreFailure
from approvals.ports import Kept, Standing

if TYPE_CHECKING:
    from approvals.ports import Clock, Hints, Store
    from approvals.service.rules import Rules

logger = logging.getLogger(__name__)

ANSWERS_WITHIN = timedelta(seconds=2)
"""Shorter than whoever asks waits: what is known without the database is told while it is down."""
REMEMBERED = timedelta(seconds=1)
"""Anybody may ask, and counting a long queue takes the database a while."""


class Overview:
    """Reads it at most once a second, however many ask."""

    def __init__(self, *, store: Store, rules: Rules, clock: Clock, hints: Hints) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock
        self._hints = hints
        self._reading = asyncio.Lock()
        self._read_at: float | None = None
        self._kept: Kept | None = None

    async def now(self) -> Standing:
        """Never fails."""
        return Standing(
            kept=await self._newest(),
            file_loads=not self._rules.problems,
            unreadable=self._store.unreadable,
            listening=self._hints.listening,
            hints_lost=self._hints.lost,
        )

    async def _newest(self) -> Kept | None:
        async with self._reading:
            now = asyncio.get_running_loop().time()
            if self._read_at is None or now - self._read_at >= REMEMBERED.total_seconds():
                self._kept = await self._read()
                self._read_at = asyncio.get_running_loop().time()
            return self._kept

    async def _read(self) -> Kept | None:
        try:
            async with asyncio.timeout(ANSWERS_WITHIN.total_seconds()):
                at = self._clock.now()
                processes = await self._store.processes(now=at)
                return Kept(
                    at=at,
                    backlog=await self._store.backlog(),
                    freezes=len(await self._store.freezes()),
                    processes=len(processes),
                    configurations=len({process.config_hash for process in processes}),
                )
        except (StoreFailure, TimeoutError) as error:
            logger.warning("the database does not say how things stand: %r", error)
            return None
