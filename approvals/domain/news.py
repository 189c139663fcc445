"""What happened to a call, in a sentence for those who were told of it before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.domain.states import Pending

if TYPE_CHECKING:
    from approvals.domain.card import Card
    from approvals.domain.states import Approval

DECIDED = frozenset({"approval_counted", "denial_counted", "approved", "denied"})
STILL = {
    "reminded": "Still waiting.",
    "escalated": "More people are asked now.",
    "extended": "There is more time.",
}


def news(event: str, approval: Approval, card: Card) -> str:
    """The sentence for an event of this type, as things stand now; empty where there is none.

    A reminder that comes after the end reminds of nothing.
    """
    waits = isinstance(approval.state, Pending)
    if event in DECIDED:
        return f"{card.so_far}. Needs {card.needs}." if waits else card.outcome
    return f"{STILL[event]} {card.deadline}" if waits and event in STILL else ""
