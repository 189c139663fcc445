"""What was committed, told to the meter where the engine learns it.

Not where a caller hears of it: a client that leaves, or a deadline that passes, ends the wait and
not the write.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from approvals.domain.states import Parking, Transition
from approvals.ports import Applied, Record

if TYPE_CHECKING:
    from asyncio import Future
    from datetime import datetime, timedelta
    from typing import Any

    from approvals.ports import Again, Clock, Operation, WriteMeter

REMEMBERED = 10_000
"""Far more operations than can be waiting to be submitted again."""


class Commits:
    """Tells each operation once, however often it was submitted."""

    def __init__(self, meter: WriteMeter, clock: Clock) -> None:
        self._meter = meter
        self._clock = clock
        self._told: OrderedDict[str, None] = OrderedDict()

    def watch(self, operation: object, answer: Future[Any]) -> None:
        """Tell the operation once its answer is that it is applied."""
        if isinstance(operation, Parking | Transition | Record):
            answer.add_done_callback(partial(self._answered, operation))

    def _answered(self, operation: Operation, answer: Future[Any]) -> None:
        if answer.cancelled() or answer.exception() or not isinstance(answer.result(), Applied):
            return
        if operation.op_id in self._told:
            return
        self._told[operation.op_id] = None
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        self._meter.committed(operation, at=self._clock.now())


class _Unmetered:
    """Nobody counts."""

    def committed(self, operation: Operation, *, at: datetime) -> None:
        """Not counted."""

    def flushed(self, *, operations: int, took: timedelta) -> None:
        """Not counted."""

    def again(self, why: Again) -> None:
        """Not counted."""


UNMETERED: WriteMeter = _Unmetered()
