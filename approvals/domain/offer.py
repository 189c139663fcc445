"""What a surface may offer one person on a call; judged again when a button is pressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain.rights import rights_of
from approvals.domain.states import Answer, Pending
from approvals.errors import ApprovalsError

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
    standing = {decision.person: decision.answer for decision in approval.standing}.get(person)
    may = {
        answer: _refusal(approval, person, assurance, directory, answer)
        for answer in (Answer.APPROVE, Answer.DENY)
    }
    deny = not may[Answer.DENY] and standing is not Answer.DENY
    if standing is Answer.APPROVE:
        return Offer(deny=deny, why_not=ALREADY)
    if (why_not := may[Answer.APPROVE]) or standing is Answer.DENY:
        return Offer(deny=deny, why_not=why_not)
    if approval.hidden and not revealed:
        return Offer(deny=deny, reveal=True, why_not=REVEAL)
    return Offer(approve=approval.erased is None, deny=deny)


def _refusal(
    approval: Approval, person: str, assurance: Assurance, directory: Directory, answer: Answer
) -> str:
    try:
        rights_of(person, assurance, approval, directory, answer=answer)
    except ApprovalsError as error:
        return str(error)
    return ""
