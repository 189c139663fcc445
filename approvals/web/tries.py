"""Failed tries of one address, so that nobody guesses for long (SECURITY.md 21)."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

MOST = 10
WINDOW = 60.0
"""Seconds in which an address may fail so often."""
MAX_ADDRESSES = 10_000


class Tries:
    """How often each address has failed, since its first failure of this window."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait(self, address: str) -> int:
        """Seconds until this address may try again; 0: now."""
        began, count = self._current(address)
        return 0 if count <= MOST else 1 + int(began + WINDOW - self._now())

    def failed(self, address: str) -> None:
        """Count one. Of very many addresses the oldest are forgotten."""
        began, count = self._current(address)
        self._failed[address] = began, count + 1
        while len(self._failed) > MAX_ADDRESSES:
            self._failed.popitem(last=False)

    def _current(self, address: str) -> tuple[float, int]:
        began, count = self._failed.get(address, (self._now(), 0))
        return (began, count) if self._now() < began + WINDOW else (self._now(), 0)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
