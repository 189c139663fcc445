"""What waits to be written, and what goes together into the next write."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from approvals.errors import Overloaded
from approvals.ports import Urgency

MAX_GROUP = 256
MAX_WAITING = 4096
MAX_SIZE = 4 * 1024 * 1024
"""Characters of one group, so that it is over the wire well within its time."""


class Waiter(Protocol):
    """One write on its way; no second one of the same group touches the same `row`."""

    @property
    def row(self) -> str: ...

    @property
    def size(self) -> int:
        """About how many characters it writes."""
        ...


W = TypeVar("W", bound=Waiter)


@dataclass(slots=True)
class Queue(Generic[W]):
    """Bounded; people before deadlines before jobs; order kept within a row."""

    _waiting: tuple[deque[W], ...] = field(default_factory=lambda: tuple(deque() for _ in Urgency))

    def __len__(self) -> int:
        return sum(map(len, self._waiting))

    def put(self, waiter: W, urgency: Urgency) -> None:
        """Raises Overloaded when 4096 wait."""
        if len(self) >= MAX_WAITING:
            raise Overloaded("Too many writes are waiting. Try again in a moment.")
        self._waiting[urgency].append(waiter)

    def take(self) -> list[W]:
        """The next group: the most urgent first, one per row."""
        group: list[W] = []
        rows: set[str] = set()
        size = 0
        for waiting in self._waiting:
            left: deque[W] = deque()
            while waiting and len(group) < MAX_GROUP:
                waiter = waiting.popleft()
                if waiter.row in rows or (group and size + waiter.size > MAX_SIZE):
                    left.append(waiter)
                else:
                    group.append(waiter)
                    size += waiter.size
                rows.add(waiter.row)
            waiting.extendleft(reversed(left))
        return group
