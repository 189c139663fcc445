"""Are there enough people who may answer? A rule that nobody can ever satisfy does not load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain.directory import EVERYONE, Agent, Directory
from approvals.domain.display import visible
from approvals.domain.quorum import can_be_met

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from approvals.domain.policy.reading import Place
    from approvals.domain.quorum import Requirement, Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Eligible:
    """Who may answer in each stage, and whether these people are enough for all stages at once.

    A person counts for one stage only. Whom an escalation adds is not among them: a requirement
    has to be met by those who are asked first.
    """

    stages: tuple[frozenset[str], ...]
    enough: bool


def eligible_people(
    requirement: Requirement, directory: Directory, agent: Agent | None = None
) -> Eligible:
    """Who may answer a call of `agent`, whose owner is left out where that rule holds.

    Without an agent nobody is left out.
    """
    left_out = _left_out(requirement, directory, agent)
    stages = tuple(directory.eligible(stage.approvers) - left_out for stage in requirement.stages)
    people = {
        person: frozenset(at for at, found in enumerate(stages) if person in found)
        for person in frozenset[str]().union(*stages)
    }
    return Eligible(stages=stages, enough=can_be_met(requirement.stages, people))


def shortages(
    requirement: Requirement, directory: Directory, agents: Iterable[Agent]
) -> Iterator[str]:
    """What it asks for and cannot get, at all or else for which of the agents.

    Nothing while a name in it means nobody, which is a problem of its own.
    """
    if unknown_approvers(requirement.stages, directory):
        return
    if short := _short(requirement, directory, None):
        yield f"{short}; name more people or lower `required`"
        return
    for agent in agents:
        if short := _short(requirement, directory, agent):
            yield (
                f"{short} for {visible(agent.name)}, whose owner {visible(agent.owner)} does not "
                "count; name more people or lower `required`"
            )


def check_named(approval: Place, directory: Directory) -> None:
    """Everybody whom the settings at `approval` name exists."""
    for place in _named_in(approval):
        name = place.value
        if not isinstance(name, str) or _is_known(name, directory):
            continue
        kind, _, who = name.partition(":")
        if kind in {"person", "group"} and who:  # else it is no such name, and that was said
            among = "people" if kind == "person" else "groups"
            place.wrong(
                f"names {visible(name)}, which approvals.yaml does not have among its `{among}`"
            )


def unknown_approvers(stages: Sequence[Stage], directory: Directory) -> frozenset[str]:
    """The approver names that mean nobody."""
    named = frozenset[str]().union(*(stage.approvers for stage in stages))
    return frozenset(name for name in named if not _is_known(name, directory))


def _left_out(
    requirement: Requirement, directory: Directory, agent: Agent | None
) -> frozenset[str]:
    if agent is None or directory.solo or not requirement.exclude_owner:
        return frozenset()
    return frozenset({agent.owner})


def _short(requirement: Requirement, directory: Directory, agent: Agent | None) -> str | None:
    found = eligible_people(requirement, directory, agent)
    if found.enough:
        return None
    for stage, people in zip(requirement.stages, found.stages, strict=True):
        if len(people) < stage.required:
            where = f" in stage {visible(stage.name)}" if stage.name else ""
            return f"{stage.required}{where}, and {len(people)} may answer"
    total = sum(stage.required for stage in requirement.stages)
    everybody = len(frozenset[str]().union(*found.stages))
    return (
        f"{total} different people in {len(found.stages)} stages, and the {everybody} who "
        "may answer are not enough for all of them at once"
    )


def _named_in(approval: Place) -> Iterator[Place]:
    yield from approval.child("approvers").items()
    for stage in approval.child("stages").items():
        yield from stage.child("approvers").items()
    yield from approval.child("escalate").child("approvers").items()


def _is_known(approver: str, directory: Directory) -> bool:
    kind, _, name = approver.partition(":")
    known = {"person": directory.people, "group": directory.groups}
    return approver == EVERYONE or name in known.get(kind, {})
