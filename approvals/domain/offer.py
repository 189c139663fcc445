"""What a surface may offer one person on a call; judged again when a button is pressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain.rights import why_not
from approvals.domain.states import Answer, Pending

if TYPE_CHECKING:
    from approvals.domain.directory import Assurance, Directory
    from approvals.domain.states import Approval

ALREADY = "You have approved this call; it waits for others."
REVEAL = "Some values are hidden. Reveal them to approve; that is recorded."


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """`why_not` says in a sentence why Approve is not offered, where that is not plain."""

    approve: bool = False
    deny: bool = False
    reveal: bool = False
    why_not: str = ""


def approvable(approval: Approval, *, assurance: Assurance) -> bool:
    """Whether a message for everybody who reads a channel may offer Approve: somebody with this
    assurance may approve now, and nothing of the call is hidden (promise 6)."""
    if not isinstance(approval.state, Pending) or approval.hidden or approval.erased is not None:
        return False
    counted = list(zip(approval.requirement.stages, approval.tally.approved, strict=True))
    asked = [counted[index] for index in approval.stages_to_approve]
    return any(count < s.required and s.assurance <= assurance for s, count in asked)


def offer(
    approval: Approval,
    *,
    person: str,
    assurance: Assurance,
    directory: Directory,
    revealed: bool = False,
) -> Offer:
    """The buttons for `person`, who sees the card as it is at this surface (promise 6)."""
    if not isinstance(approval.state, Pending):
        return Offer()
    said = approval.decision_of(person)
    standing = said.answer if said else None
    against = {a: why_not(person, assurance, approval, directory, answer=a) for a in Answer}
    deny = against[Answer.DENY] is None and standing is not Answer.DENY
    if standing is Answer.APPROVE:
        return Offer(deny=deny, why_not=ALREADY)
    if against[Answer.APPROVE] or standing is Answer.DENY:
        return Offer(deny=deny, why_not=str(against[Answer.APPROVE] or ""))
    if approval.hidden and not revealed:
        return Offer(deny=deny, reveal=True, why_not=REVEAL)
    return Offer(approve=approval.erased is None, deny=deny)
