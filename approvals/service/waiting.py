"""How long anything waits.

The row is the truth; a request only waits on it. Nothing is open in the database meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from approvals.domain.states import Approval
    from approvals.ports import Store

MAX_LONG_POLL = timedelta(seconds=55)
MAX_RESULT_WAIT = timedelta(seconds=10)
"""How long a write may take before nobody waits for its answer any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long one request of an agent is held (GATEWAY.md, "Five ways to wait").

    `hold` stands before what agents' entries say. Clients give up at 60 s, or, where they asked to
    be told of progress and are, at 300 s.
    """

    hold: timedelta | None = None
    with_progress: timedelta = timedelta(seconds=200)
    leg: timedelta = timedelta(seconds=50)
    progress_every: timedelta = timedelta(seconds=12)


class Waiting:
    """Wakes requests when their approval changes: by hints, and by asking once a second."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sleepers: defaultdict[str, dict[asyncio.Event, int]] = defaultdict(dict)
        self.stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def changed(self, approval_id: str, version: int) -> None:
        """A hint: whoever waits for it and has read an older version reads it again."""
        for sleeper, read in self._sleepers.get(approval_id, {}).items():
            if read < version:
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
        self._sleepers[approval_id][woken] = 0
        try:
            while True:
                woken.clear()
                approval = await self._read(approval_id)
                self._sleepers[approval_id][woken] = approval.version
                if done(approval) or self.stopping or not await _woken_before(woken, deadline):
                    return approval
        finally:
            del self._sleepers[approval_id][woken]
            if not self._sleepers[approval_id]:
                del self._sleepers[approval_id]

    def stop(self) -> None:
        """The service is going down: everybody who waits is answered with how it stands now."""
        if not self.stopped.done():
            self.stopped.set_result(None)
        for sleepers in self._sleepers.values():
            for sleeper in sleepers:
                sleeper.set()

    @property
    def stopping(self) -> bool:
        return self.stopped.done()

    async def poll(self) -> None:
        """Find out what changed without a hint: one query for everybody who waits."""
        waiting = list(self._sleepers)
        if not waiting:
            return
        for approval_id, version in (await self._store.versions(waiting)).items():
            self.changed(approval_id, version)

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
