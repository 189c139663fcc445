"""The configuration in force: replaced as a whole by a reload, or not at all."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from approvals.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from approvals.domain.rulebook import Rulebook

logger = logging.getLogger(__name__)


class Rules:
    """Who asks for the rulebook gets the one in force at that moment, and keeps it for one call."""

    def __init__(self, rulebook: Rulebook, load: Callable[[], Rulebook]) -> None:
        """`load` reads the file again; it raises ConfigurationInvalid."""
        self._current = rulebook
        self._load = load
        self._reloading = asyncio.Lock()
        self._problems: Sequence[str] = ()
        self.listeners: list[Callable[[Rulebook, Rulebook], None]] = []
        """Told of each reload: what was in force, and what is now. They wait for nothing."""

    @property
    def current(self) -> Rulebook:
        return self._current

    @property
    def problems(self) -> Sequence[str]:
        """What was wrong with the file when it was last read; the older content is in force."""
        return self._problems

    async def reload(self) -> Rulebook:
        """Read the file again. Raises ConfigurationInvalid, and then nothing has changed."""
        async with self._reloading:
            try:
                fresh = await asyncio.to_thread(self._load)
            except ConfigurationInvalid as error:
                self._problems = error.problems
                logger.error("the configuration is not loaded, the older one stays:\n%s", error)  # noqa: TRY400 (no stack: the file is wrong, not the code)
                raise
            before, self._current, self._problems = self._current, fresh, ()
            logger.info("the configuration is loaded: %s", fresh.hash)
        for tell in self.listeners:
            tell(before, fresh)
        return fresh
