"""Approvals that were written a moment ago, so that whoever waits for them need not read them."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from approvals.domain.states import Approval

MOST = 4096
LARGEST = 8 * 1024
"""Characters of arguments: larger ones are read again each time."""


class Newest:
    """Bounded; forgets what was not asked for longest."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Approval] = OrderedDict()

    def keep(self, approval: Approval) -> None:
        """This is the newest committed version now."""
        if len(approval.call.arguments) > LARGEST:
            self.drop(approval.id)
            return
        self._known[approval.id] = approval
        self._known.move_to_end(approval.id)
        if len(self._known) > MOST:
            self._known.popitem(last=False)

    def drop(self, approval_id: str) -> None:
        """What is known of it may not be the newest."""
        self._known.pop(approval_id, None)

    def get(self, approval_id: str) -> Approval | None:
        found = self._known.get(approval_id)
        if found is not None:
            self._known.move_to_end(approval_id)
        return found
