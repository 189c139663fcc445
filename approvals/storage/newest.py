"""Approvals that were written a moment ago, so that whoever waits for them need not read them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from approvals.domain.states import Approval

MOST = 4096
MOST_EXPECTED = 512
"""Two groups of writes."""
LARGEST = 8 * 1024
"""Characters of arguments: larger ones are read again each time."""


class Newest:
    """Bounded; forgets what was not asked for longest."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Approval] = OrderedDict()
        self._expected: OrderedDict[str, Approval] = OrderedDict()

    def expect(self, approval: Approval) -> None:
        """This is the newest version if what is being written is committed."""
        _keep(self._expected, approval, most=MOST_EXPECTED)

    def expect_no_more(self, approval: Approval) -> None:
        """It was not written."""
        self._expected.pop(approval.id, None)

    def keep(self, approval: Approval) -> None:
        """This is the newest committed version now."""
        self._expected.pop(approval.id, None)
        _keep(self._known, approval, most=MOST)

    def drop(self, approval_id: str) -> None:
        """What is known of it may not be the newest."""
        self._known.pop(approval_id, None)

    def get(self, approval_id: str) -> Approval | None:
        found = self._known.get(approval_id)
        if found is not None:
            self._known.move_to_end(approval_id)
        return found

    def at(self, approval_id: str, head: str) -> Approval | None:
        """The version whose newest event has this hash, committed or expected."""
        some = (self.get(approval_id), self._expected.get(approval_id))
        return next((one for one in some if one and one.head.hash == head), None)


def _keep(kept: OrderedDict[str, Approval], approval: Approval, *, most: int) -> None:
    kept.pop(approval.id, None)
    if len(approval.call.arguments) > LARGEST:
        return
    kept[approval.id] = approval
    if len(kept) > most:
        kept.popitem(last=False)
