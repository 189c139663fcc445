"""Deadlines: each recorded once, soon, and also after the service was away."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from approvals.domain.states import Status, Transition
from approvals.ports import Applied, Urgency
from tests.contracts.suite import parking
from tests.e2e.world import world

if TYPE_CHECKING:
    from approvals.ports import Answer, Operation, Store

pytestmark = pytest.mark.anyio


async def test_every_one_of_thousands_of_deadlines_is_recorded_once(tmp_path: Path) -> None:
    """More than one sweep takes at a time. The bound only catches a hang."""
    async with world(tmp_path) as w:
        store = w.services.store
        made = [parking(lasts=timedelta(seconds=1)) for _ in range(2500)]
        answers = await asyncio.gather(
            *(store.apply(one, within=timedelta(seconds=30)) for one in made)
        )
        assert answers == [Applied()] * 2500
        async with asyncio.timeout(30):
            while await store.overdue(now=w.services.clock.now(), limit=1) or (
                w.services.clock.now() < max(one.approval.expires_at for one in made)
            ):
                await asyncio.sleep(0.1)
        for one in made[::50]:
            stored = await store.approval(one.approval.id)
            assert stored is not None
            assert stored.status is Status.EXPIRED
            events = await store.events(stored.id)
            assert [event.fact.type for event in events] == ["parked", "expired"]


class Noting:
    """The real store; notes how urgent each event's write was."""

    def __init__(self) -> None:
        self.urgencies: dict[str, set[Urgency]] = {}
        self._store: Any = None

    def __call__(self, store: Store) -> Any:
        self._store = store
        return self

    async def apply(
        self, operation: Operation, *, urgency: Urgency = Urgency.PEOPLE, **how: Any
    ) -> Answer:
        if isinstance(operation, Transition):
            self.urgencies.setdefault(operation.event.fact.type, set()).add(urgency)
        answer: Answer = await self._store.apply(operation, urgency=urgency, **how)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_person_is_written_first_a_deadline_next_and_a_reminder_last(
    tmp_path: Path,
) -> None:
    noting = Noting()
    async with world(tmp_path, timeout="2s", wrap_store=noting) as w:
        await w.parked({"what": "nobody answers"})
        await w.approve(await w.parked({"what": "approved"}))
        async with asyncio.timeout(10):
            while "expired" not in noting.urgencies:
                await asyncio.sleep(0.05)
    assert noting.urgencies["approved"] == {Urgency.PEOPLE}
    assert noting.urgencies["expired"] == {Urgency.DEADLINES}
    assert noting.urgencies["reminded"] == {Urgency.JOBS}
