"""What every engine tells its meter. An engine's test module gives `store` made with `counted`."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from approvals.ports import Again, Applied, Conflict, Operation, Record
from tests.contracts.suite import approving, denying, do, fact, parking

if TYPE_CHECKING:
    from tests.contracts.suite import Engine


class Counted:
    """A meter that remembers what it was told."""

    def __init__(self) -> None:
        self.operations: list[tuple[Operation, datetime]] = []
        self.groups: list[tuple[int, timedelta]] = []
        self.retries: list[Again] = []

    def committed(self, operation: Operation, *, at: datetime) -> None:
        self.operations.append((operation, at))

    def flushed(self, *, operations: int, took: timedelta) -> None:
        self.groups.append((operations, took))

    def again(self, why: Again) -> None:
        self.retries.append(why)

    @property
    def committed_ids(self) -> list[str]:
        return [operation.op_id for operation, _ in self.operations]


class MeterContract:
    """What is told, when, and how often."""

    pytestmark = pytest.mark.anyio

    async def test_what_is_committed_is_told_once_however_often_it_is_submitted(
        self, store: Engine, counted: Counted
    ) -> None:
        made = parking()
        step = approving(made.approval)
        record = Record(stream="prc_x", fact=fact())
        for operation in (made, step, made, record, step, record):
            assert await do(store, operation) == Applied()
        assert counted.committed_ids == [made.op_id, step.op_id, record.op_id]
        assert counted.operations[0][0] is made
        for _, at in counted.operations:
            assert made.approval.created_at <= at < made.approval.created_at + timedelta(minutes=1)

    async def test_of_two_decisions_the_one_that_counts_is_told(
        self, store: Engine, counted: Counted
    ) -> None:
        made = parking()
        await do(store, made)
        steps = [approving(made.approval), denying(made.approval)]
        answers = await asyncio.gather(*(do(store, step) for step in steps))
        assert Conflict() in answers
        winner = steps[answers.index(Applied())]
        assert counted.committed_ids == [made.op_id, winner.op_id]

    async def test_what_nobody_waits_for_any_more_is_told_when_it_is_committed(
        self, store: Engine, counted: Counted
    ) -> None:
        made = parking()
        waiting = asyncio.ensure_future(do(store, made))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await do(store, Record(stream="prc", fact=fact())) == Applied()
        assert counted.committed_ids[0] == made.op_id

    async def test_every_write_is_in_one_of_the_groups_and_each_took_a_while(
        self, store: Engine, counted: Counted
    ) -> None:
        await asyncio.gather(*(do(store, parking()) for _ in range(100)))
        assert sum(size for size, _ in counted.groups) == 100
        assert len(counted.groups) < 100
        for _, took in counted.groups:
            assert timedelta(0) < took < timedelta(seconds=30)
        assert counted.retries == []
