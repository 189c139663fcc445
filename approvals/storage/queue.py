"""What waits to be written, and what goes together into the next write."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from approvals.errors import Overloaded

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """Bounded; people before jobs; order kept within a row."""

    _interactive: deque[W] = field(default_factory=deque)
    _background: deque[W] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self._interactive) + len(self._background)

    def put(self, waiter: W, *, background: bool) -> None:
        """Raises Overloaded when 4096 wait."""
        if len(self) >= MAX_WAITING:
            raise Overloaded("Too many writes are waiting. Try again in a moment.")
        (self._background if background else self._interactive).append(waiter)

    def put_back(self, waiters: Sequence[W]) -> None:
        """First in line again, in this order."""
        self._interactive.extendleft(reversed(waiters))

    def take_out(self, waiter: W) -> bool:
        """Whether it was still waiting, and now is not."""
        for waiting in (self._interactive, self._background):
            if waiter in waiting:
                waiting.remove(waiter)
                return True
        return False

    def take(self) -> list[W]:
        """The next group: people first, one per row."""
        group: list[W] = []
        rows: set[str] = set()
        size = 0
        for waiting in (self._interactive, self._background):
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
