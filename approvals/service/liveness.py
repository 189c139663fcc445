"""Is this process still allowed to send? Others declare its releases lost once it is not.

Its row in the database says until when it lives. Before it writes to a socket it looks at its own
monotonic clock: a process that was stalled, or cut off from the database, sends nothing any more
(ARCHITECTURE.md, "Storage").
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.errors import ConfigurationInvalid, StoreFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from approvals.domain.rulebook import Rulebook
    from approvals.ports import Store
    from approvals.service.rules import Rules

logger = logging.getLogger(__name__)

LASTS = timedelta(seconds=15)
FRESH = timedelta(seconds=6)
"""Nine seconds less: what is sent just before has its connection (app.SENDING_TIMEOUT, twice: a
place in the pool and the connection) when others give this process up."""


class Liveness:
    """Renews the row of this process, and reads the file again when a reload was asked for."""

    def __init__(
        self, *, store: Store, rules: Rules, process: str, monotonic: Callable[[], float]
    ) -> None:
        """`monotonic`: seconds that go on while the machine's clock is set."""
        self._store = store
        self._rules = rules
        self._monotonic = monotonic
        self._renewed_at = -FRESH.total_seconds()
        self._reloads: int | None = None
        self.process = process

    @property
    def fresh(self) -> bool:
        """Whether the row was renewed less than six seconds ago."""
        return self._monotonic() - self._renewed_at < FRESH.total_seconds()

    async def renew(self) -> None:
        """Live on for fifteen seconds, counted from before the database was asked."""
        asked_at = self._monotonic()
        reloads = await self._store.renew(
            self.process, config_hash=self._rules.current.hash, lasts=LASTS
        )
        self._renewed_at = asked_at
        known, self._reloads = self._reloads, reloads
        if known is not None and known != reloads:
            await self._reload()

    async def reload(self) -> Rulebook:
        """Read the file again, here and in every other process. Raises ConfigurationInvalid, and
        then nothing has changed here and nobody else is asked."""
        rulebook = await self._rules.reload()
        reloads = await self._store.ask_reload()
        if self._reloads is None or reloads == self._reloads + 1:
            self._reloads = reloads
        return rulebook

    async def leave(self) -> None:
        """Nothing is sent from here any more."""
        self._renewed_at = -FRESH.total_seconds()
        try:
            await self._store.leave(self.process)
        except StoreFailure:
            logger.warning("the database was not told that this process ends; it will find out")

    async def _reload(self) -> None:
        try:
            await self._rules.reload()
        except ConfigurationInvalid:
            logger.warning("a reload was asked for; this process keeps its older configuration")
