"""Waiting: a hint wakes at once, and a lost one costs at most one poll."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from approvals.domain.states import Approval
from approvals.errors import NotFound
from approvals.service.waiting import Waiting
from tests.domain.builders import approval

pytestmark = pytest.mark.anyio
LONG = timedelta(seconds=20)


class OneRow:
    """A store with one approval whose version the test moves."""

    def __init__(self) -> None:
        self.row: Approval | None = approval()
        self.reads = 0

    async def approval(self, approval_id: str) -> Approval | None:
        self.reads += 1
        return self.row

    async def versions(self, approval_ids: Collection[str]) -> Mapping[str, int]:
        return {self.row.id: self.row.version} if self.row else {}

    def move(self) -> None:
        assert self.row is not None
        self.row = replace(self.row, version=self.row.version + 1)


def moved(found: Approval) -> bool:
    return found.version > 1


async def started(waiting: Waiting, store: Any) -> asyncio.Task[Approval]:
    task = asyncio.create_task(waiting.until(store.row.id, moved, within=LONG))
    while not store.reads:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_a_hint_wakes_whoever_waits() -> None:
    store: Any = OneRow()
    waiting = Waiting(store)
    tasks = [await started(waiting, store) for _ in range(3)]
    store.move()
    waiting.changed(store.row.id, 2)
    for task in tasks:
        assert (await asyncio.wait_for(task, 5)).version == 2


async def test_a_lost_hint_costs_one_poll_even_before_the_first_one() -> None:
    store: Any = OneRow()
    waiting = Waiting(store)
    task = await started(waiting, store)
    store.move()  # and nobody is told
    await waiting.poll()
    assert (await asyncio.wait_for(task, 5)).version == 2


async def test_a_poll_without_news_wakes_nobody() -> None:
    store: Any = OneRow()
    waiting = Waiting(store)
    task = await started(waiting, store)
    await waiting.poll()
    await asyncio.sleep(0)
    assert (task.done(), store.reads) == (False, 1)
    waiting.stop()
    assert (await asyncio.wait_for(task, 5)).version == 1


async def test_when_its_time_is_over_it_answers_with_how_it_stands() -> None:
    store: Any = OneRow()
    found = await Waiting(store).until(store.row.id, moved, within=timedelta(milliseconds=10))
    assert found.version == 1


async def test_what_does_not_exist_is_not_waited_for() -> None:
    store: Any = OneRow()
    store.row = None
    with pytest.raises(NotFound):
        await Waiting(store).until("apr_none", moved, within=LONG)
    await Waiting(store).poll()
