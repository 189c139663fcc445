"""Input that a server asks for during a release, where the rule says `allow_input`.

Each answer of the client is committed before it is passed on (GATEWAY.md, "Release").
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from approvals.domain.states import Approval
    from approvals.ports import Asks

    Take = Callable[[Approval, str], Awaitable[Approval | None]]

COMES_WITHIN = timedelta(minutes=10)
"""How long a server's question waits for the client to come back with the answer."""
MOST = 10
"""Answers that are passed on during one release."""


class Legs:
    """One request to the server, and the answers that are given while it lasts."""

    def __init__(self, sent: Approval, take: Take) -> None:
        """`take` commits an answer and gives the approval as it stands then."""
        self.sent = sent
        self._take = take
        self._given = 0
        self._one_at_a_time = asyncio.Lock()
        self._closed = False

    async def give(self, text: str) -> bool:
        """Commit an answer; False: it may not be passed on. Raises StoreFailure errors."""
        async with self._one_at_a_time:
            if self._closed or self._given >= MOST:
                return False
            self._given += 1
            taken = await self._take(self.sent, text)
            self.sent = taken or self.sent
            return taken is not None

    async def close(self) -> Approval:
        """Nothing is given any more; the approval as it stands after the last answer."""
        async with self._one_at_a_time:
            self._closed = True
            return self.sent


@dataclass(frozen=True, slots=True)
class _Waiting:
    task: asyncio.Task[None]
    asks: Asks
    version: int


class Inputs:
    """Releases that wait for their client to come back with answers, each for a while."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._stopping = asyncio.Event()

    @property
    def tasks(self) -> Iterable[asyncio.Task[None]]:
        return [waiting.task for waiting in self._waiting.values()]

    def wait(self, sent: Approval, asks: Asks, give_up: Callable[[], Awaitable[None]]) -> None:
        """From now on; `give_up` is called once when the time is over or the service stops."""
        task = asyncio.create_task(self._wait(give_up))
        self._waiting[sent.id] = _Waiting(task, asks, sent.version)
        task.add_done_callback(partial(self._over, sent.id))

    def question(self, approval: Approval) -> Asks | None:
        """What its server waits to be told; None once it was answered, here or elsewhere."""
        waiting = self._waiting.get(approval.id)
        return waiting.asks if waiting and waiting.version == approval.version else None

    def forget(self, approval_id: str) -> None:
        """The answers are there."""
        waiting = self._waiting.pop(approval_id, None)
        if waiting is not None:
            waiting.task.cancel()

    def stop(self) -> None:
        """Nobody comes back any more."""
        self._stopping.set()

    async def _wait(self, give_up: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(COMES_WITHIN.total_seconds()):
                await self._stopping.wait()
        except TimeoutError:
            pass
        await give_up()

    def _over(self, approval_id: str, task: asyncio.Task[None]) -> None:
        waiting = self._waiting.get(approval_id)
        if waiting is not None and waiting.task is task:
            del self._waiting[approval_id]
