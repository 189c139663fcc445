"""How long anything waits, and who is connected while it does.

The row is the truth; a request only waits on it. Nothing is open in the database meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from approvals.domain.states import Approval
    from approvals.ports import Store

HOLD = timedelta(seconds=45)
"""The longest a plain request is held (GATEWAY.md, way 4); TypeScript clients give up at 60 s."""
MAX_LONG_POLL = timedelta(seconds=55)
MAX_RESULT_WAIT = timedelta(seconds=10)
"""How long a write may take before nobody waits for its answer any more."""


class Waiting:
    """Wakes requests when their approval changes: by hints, and by asking once a second."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sleepers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._seen: dict[str, int] = {}
        self._attached: Counter[str] = Counter()
        self.stopping = False

    def changed(self, approval_id: str) -> None:
        """A hint: whoever waits for it reads it again."""
        for sleeper in self._sleepers.get(approval_id, ()):
            sleeper.set()

    async def until(
        self, approval_id: str, done: Callable[[Approval], bool], *, within: timedelta
    ) -> Approval:
        """The approval once it is `done`, or as it is when `within` has passed.

        Registers first and reads then, so that no change falls between; a lost hint costs at most
        one poll.
        """
        deadline = asyncio.get_running_loop().time() + within.total_seconds()
        woken = asyncio.Event()
        self._sleepers[approval_id].add(woken)
        try:
            while True:
                woken.clear()
                approval = await self._read(approval_id)
                if done(approval) or self.stopping or not await _woken_before(woken, deadline):
                    return approval
        finally:
            self._sleepers[approval_id].discard(woken)
            if not self._sleepers[approval_id]:
                del self._sleepers[approval_id]
                self._seen.pop(approval_id, None)

    def stop(self) -> None:
        """The service is going down: everybody who waits is answered with how it stands now."""
        self.stopping = True
        for approval_id in self._sleepers:
            self.changed(approval_id)

    async def poll(self) -> None:
        """Find out what changed without a hint: one query for everybody who waits."""
        waiting = list(self._sleepers)
        if not waiting:
            return
        for approval_id, version in (await self._store.versions(waiting)).items():
            if self._seen.get(approval_id) not in {None, version}:
                self.changed(approval_id)
            self._seen[approval_id] = version

    @contextmanager
    def attached(self, approval_id: str) -> Iterator[None]:
        """While inside, a connected client waits for this approval's outcome."""
        self._attached[approval_id] += 1
        try:
            yield
        finally:
            self._attached[approval_id] -= 1
            if not self._attached[approval_id]:
                del self._attached[approval_id]

    def is_attended(self, approval_id: str) -> bool:
        """Whether some connected client waits for it here."""
        return self._attached[approval_id] > 0

    async def _read(self, approval_id: str) -> Approval:
        approval = await self._store.approval(approval_id)
        if approval is None:
            raise NotFound("There is no such approval.")
        return approval


async def _woken_before(woken: asyncio.Event, deadline: float) -> bool:
    try:
        async with asyncio.timeout_at(deadline):
            await woken.wait()
    except TimeoutError:
        return False
    return True
