"""Who may decide on a call, judged at the moment of deciding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain.directory import Assurance, Directory, Role, title
from approvals.domain.states import Answer
from approvals.errors import ApprovalsError, AssuranceTooLow, NotAnApprover, OwnerExcluded

if TYPE_CHECKING:
    from approvals.domain.states import Approval


@dataclass(frozen=True, kw_only=True, slots=True)
class Rights:
    """The stages a person counts for, and whether only solo mode lets the owner decide."""

    stages: frozenset[int]
    solo: bool


def rights_of(
    person: str,
    assurance: Assurance,
    approval: Approval,
    directory: Directory,
    *,
    answer: Answer,
) -> Rights:
    """What `person` may answer on `approval` now.

    A denial counts in every stage at any time; an approval counts in the stages whose turn it is,
    and only where the whole of the arguments can be seen. Raises NotAnApprover, OwnerExcluded or
    AssuranceTooLow with the sentence for that person.
    """
    owns = person in _owners(approval, directory)
    if owns and approval.requirement.exclude_owner and not directory.solo:
        raise OwnerExcluded(
            f"You own {approval.call.agent}, so somebody else has to decide on its calls."
        )
    named = {
        index
        for index, stage in enumerate(approval.stages)
        if directory.names(person, stage.approvers)
    }
    if not named:
        raise NotAnApprover("You are not among the people who may decide on this call.")
    if answer is Answer.APPROVE:
        if not named & approval.stages_to_approve:
            raise NotAnApprover("Others have to approve this call before you.")
        if approval.hidden and assurance < Assurance.WEB:
            raise AssuranceTooLow(
                "Some values of this call are hidden here, so it cannot be approved here; it can "
                "be denied."
            )
    strong = {i for i in named if assurance >= approval.requirement.stages[i].assurance}
    if not strong or (answer is Answer.APPROVE and not strong & approval.stages_to_approve):
        weakest = min(approval.requirement.stages[i].assurance for i in named)
        raise AssuranceTooLow(f"This call is decided with {weakest.word} sign-in or stronger.")
    return Rights(stages=frozenset(strong), solo=owns and directory.solo)


def why_not(
    person: str,
    assurance: Assurance,
    approval: Approval,
    directory: Directory,
    *,
    answer: Answer = Answer.APPROVE,
) -> ApprovalsError | None:
    """The reason why `person` may not give this answer, or None."""
    try:
        rights_of(person, assurance, approval, directory, answer=answer)
    except ApprovalsError as error:
        return error
    return None


def may_cancel(person: str, approval: Approval, directory: Directory) -> bool:
    """An admin may withdraw any call, an owner those of its agents."""
    known = directory.people.get(person)
    if known is None:
        return False
    return Role.ADMIN in known.roles or person in _owners(approval, directory)


def may_steer(person: str, assurance: Assurance, approval: Approval, directory: Directory) -> bool:
    """Whether `person` may extend, escalate or revoke: who may decide on it, or an admin."""
    known = directory.people.get(person)
    if known is not None and Role.ADMIN in known.roles:
        return True
    return why_not(person, assurance, approval, directory, answer=Answer.DENY) is None


def owner_line(approval: Approval, directory: Directory) -> str:
    """What a card says of the owner rule when it does not hold."""
    if directory.solo:
        return "Solo mode: one person exists, so the owner may decide."
    if not approval.requirement.exclude_owner:
        return f"This rule lets {title(approval.call.owner)}, who owns the agent, decide."
    return ""


def _owners(approval: Approval, directory: Directory) -> set[str]:
    """The owner when the call was parked and the owner now: neither may slip through a reload."""
    agent = directory.agent(approval.call.agent)
    return {approval.call.owner} | ({agent.owner} if agent else set())
