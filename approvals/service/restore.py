"""After a restore: the database is older than what happened, so nothing in it may go on.

A call that is pending or approved in it may have been decided, sent and answered since the backup.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain import approval as machine
from approvals.domain.chain import Fact
from approvals.domain.states import CancelReason, Status
from approvals.errors import Unavailable
from approvals.ports import Applied, ListFilter, Record
from approvals.service.waiting import MAX_RESULT_WAIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.domain.states import Approval, Transition
    from approvals.ports import Clock, Ids, SessionStore, Store

OPEN = frozenset({Status.PENDING, Status.APPROVED})
AT_ONCE = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Restored:
    """How many calls were withdrawn, of how many nobody knows how they went, and how many records
    could not be read and stay as they are."""

    cancelled: int
    outcome_unknown: int
    unreadable: int


class Restore:
    """Ends everything that was open when the backup was made. Safe to run twice."""

    def __init__(
        self, *, store: Store, sessions: SessionStore, clock: Clock, ids: Ids, stream: str
    ) -> None:
        """`stream`: a process's, for the event that says that it was done."""
        self._store = store
        self._sessions = sessions
        self._clock = clock
        self._ids = ids
        self._stream = stream

    async def end_all(self, *, user: str) -> Restored:
        """Cancel what is pending or approved, give up what was being sent, and sign everybody out:
        who signed out since the backup is signed in there.

        Raises Unavailable while a service runs on the database.
        """
        if await self._store.processes(now=self._clock.now()):
            raise Unavailable("A service uses this database. Stop every one of them first.")
        lost = await self._end_sent()
        cancelled = await self._end_open()
        await self._sessions.forget()
        await self._record(user, cancelled=cancelled, lost=lost)
        return Restored(
            cancelled=cancelled, outcome_unknown=lost, unreadable=self._store.unreadable
        )

    async def _end_open(self) -> int:
        total, ended = 0, 1
        while ended:
            page = await self._store.page(ListFilter(statuses=OPEN, limit=AT_ONCE))
            ended = await self._apply([self._cancelled(approval) for approval in page.approvals])
            total += ended
        return total

    async def _end_sent(self) -> int:
        total, ended = 0, 1
        while ended:
            sent = await self._store.being_sent(limit=AT_ONCE)
            ended = await self._apply([self._lost(approval) for approval in sent])
            total += ended
        return total

    def _cancelled(self, approval: Approval) -> Transition:
        return machine.cancel(
            approval,
            CancelReason.RESTORED,
            actor="service",
            now=self._clock.now(),
            event_id=self._ids.event(),
        )

    def _lost(self, approval: Approval) -> Transition:
        now, event_id = self._clock.now(), self._ids.event()
        return machine.lose(approval, now=now, event_id=event_id, restored=True)

    async def _apply(self, steps: Sequence[Transition]) -> int:
        answers = await asyncio.gather(
            *(self._store.apply(step, within=MAX_RESULT_WAIT) for step in steps)
        )
        return sum(isinstance(answer, Applied) for answer in answers)

    async def _record(self, user: str, *, cancelled: int, lost: int) -> None:
        fact = Fact(
            id=self._ids.event(),
            type="restored",
            actor="service",
            at=self._clock.now(),
            detail={"cancelled": cancelled, "outcome_unknown": lost, "user": user},
        )
        await self._store.apply(Record(stream=self._stream, fact=fact), within=MAX_RESULT_WAIT)
