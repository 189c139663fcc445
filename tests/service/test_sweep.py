"""Deadlines: each recorded once, soon, and also after the service was away."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from approvals.domain.states import Status
from approvals.ports import Applied
from tests.contracts.suite import parking
from tests.e2e.world import world

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
