"""Held calls that no request waits for: sent once they are approved, by a loop of the service.

Not a job: a job never calls a server (ARCHITECTURE.md, "Time").
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from approvals.domain import approval as machine
from approvals.domain.states import Approved, Pending
from approvals.errors import Overloaded, StoreFailure
from approvals.ports import Applied
from approvals.service.fields import fields
from approvals.service.waiting import MAX_RESULT_WAIT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from approvals.domain.states import Approval
    from approvals.ports import Clock, Ids, OwnUpstream, Signals, Store
    from approvals.service.release import Release, Releases

logger = logging.getLogger(__name__)

LOOK_EVERY = timedelta(milliseconds=500)
MOST = 10_000
"""More than can wait within the few minutes for which an approval may be used."""
AT_ONCE = 100
AGAIN = (1.0, 2.0, 5.0, 15.0)
"""Seconds until one that could not be sent is tried again; it lapses when its time is over."""
TRIES = 5


class Detached:
    """Lets clients go, and sends for them."""

    def __init__(
        self,
        *,
        store: Store,
        releases: Releases,
        clock: Clock,
        ids: Ids,
        signals: Signals,
        callers: Callable[[], Awaitable[Collection[str]]],
    ) -> None:
        """`callers`: the agents that have a key which is not revoked. For others nothing is sent,
        as nothing is for a request whose key was revoked."""
        self._store = store
        self._releases = releases
        self._clock = clock
        self._ids = ids
        self._signals = signals
        self._callers = callers
        self._failed: dict[str, tuple[int, float]] = {}
        self._sending: set[str] = set()
        self._ending: set[asyncio.Future[None]] = set()

    async def detach(self, approval: Approval) -> Approval:
        """From now on no request has to wait for it; durable once this returns.

        One that was sent or has ended stays as it is. Raises StoreFailure errors.
        """
        for _ in range(TRIES):
            if approval.detached or not isinstance(approval.state, Pending | Approved):
                return approval
            step = machine.detach(approval, now=self._clock.now(), event_id=self._ids.event())
            if isinstance(await self._store.apply(step, within=MAX_RESULT_WAIT), Applied):
                self._signals.changed(approval.id, step.after.version)
                return step.after
            approval = await self._store.approval(approval.id) or approval
        raise Overloaded("Too much happens to this call at this moment. Try again.")

    async def run(self, upstream_of: Callable[[Approval], OwnUpstream | None]) -> None:
        """Until cancelled: send what is approved and detached."""
        while True:
            try:
                await self.send_ready(upstream_of)
            except StoreFailure as error:
                logger.warning("what is to be sent cannot be read: %s", error)
            except Exception:
                logger.exception("the loop that sends for tasks failed; it goes on")
            await asyncio.sleep(LOOK_EVERY.total_seconds())

    async def send_ready(self, upstream_of: Callable[[Approval], OwnUpstream | None]) -> None:
        """Start a release of each that may be sent now; of several replicas one sends.

        What waits to be tried again keeps nothing else back.
        """
        ready = await self._store.detached(now=self._clock.now(), limit=MOST)
        known = {approval.id for approval in ready}
        self._failed = {key: value for key, value in self._failed.items() if key in known}
        due = [approval for approval in ready if self._is_due(approval.id)]
        callers = await self._callers() if due else ()
        for approval in due[:AT_ONCE]:
            known_caller = approval.call.agent in callers
            self._start(approval, upstream_of(approval) if known_caller else None)

    def _is_due(self, approval_id: str) -> bool:
        _, not_before = self._failed.get(approval_id, (0, 0.0))
        return approval_id not in self._sending and not_before <= _now()

    def _start(self, approval: Approval, upstream: OwnUpstream | None) -> None:
        if upstream is None:
            about = fields(approval)
            logger.warning(
                "%s is not sent: no server, or no key any more", approval.id, extra=about
            )
            self._later(approval.id)
        elif (sending := self._releases.start(approval, upstream)) is not None:
            self._sending.add(approval.id)
            sending.add_done_callback(partial(self._ended, approval.id, upstream))

    def _ended(self, approval_id: str, upstream: OwnUpstream, done: asyncio.Task[Release]) -> None:
        """What was not sent is tried again later; a release that was taken never is."""
        self._sending.discard(approval_id)
        ending = asyncio.ensure_future(upstream.end())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        if not done.cancelled():
            self._later(approval_id)

    def _later(self, approval_id: str) -> None:
        times, _ = self._failed.get(approval_id, (0, 0.0))
        wait = AGAIN[min(times, len(AGAIN) - 1)]
        self._failed[approval_id] = (times + 1, _now() + wait)


def _now() -> float:
    return asyncio.get_running_loop().time()
