"""Have enough of the right people answered? Decided from all decisions at once.

A person counts for one stage only. Which one is found by matching over all decisions, so nobody
has to answer in a lucky order (PRODUCT.md, "stage").
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain.directory import EVERYONE, Assurance

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_TIMEOUT = timedelta(minutes=15)
USE_WITHIN = timedelta(minutes=5)
"""How long an approved call may wait to be sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One set of people of whom `required` must approve and `deny_threshold` can deny."""

    name: str = ""
    approvers: frozenset[str] = frozenset({EVERYONE})
    required: int = 1
    deny_threshold: int = 1
    assurance: Assurance = Assurance.SLACK


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """Who has to approve, frozen when the call is parked. Stages are ANDed."""

    stages: tuple[Stage, ...] = (Stage(),)
    ordered: bool = False
    exclude_owner: bool = True
    timeout: timedelta = DEFAULT_TIMEOUT
    use_within: timedelta = USE_WITHIN


@dataclass(frozen=True, kw_only=True, slots=True)
class Vote:
    """One person's standing answer and the stages that the person was eligible for."""

    person: str
    approves: bool
    stages: frozenset[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Approvals counted per stage, and whether that settles the matter."""

    approved: tuple[int, ...]
    reached: bool
    denied: bool


def tally(stages: Sequence[Stage], votes: Sequence[Vote]) -> Tally:
    """Count `votes`, each person for at most one stage, so that as many places as possible fill.

    Denials are counted in every stage the person was eligible for: one stage that says no is
    enough to end the matter.
    """
    denied = any(
        sum(not vote.approves and index in vote.stages for vote in votes) >= stage.deny_threshold
        for index, stage in enumerate(stages)
    )
    seats = _seat([vote for vote in votes if vote.approves], stages)
    approved = tuple(len(seats[index]) for index in range(len(stages)))
    reached = all(count >= stage.required for count, stage in zip(approved, stages, strict=True))
    return Tally(approved=approved, reached=reached and not denied, denied=denied)


def _seat(votes: Sequence[Vote], stages: Sequence[Stage]) -> list[list[Vote]]:
    seats: list[list[Vote]] = [[] for _ in stages]
    for vote in votes:
        _take_seat(vote, stages, seats, tried=set())
    return seats


def _take_seat(
    vote: Vote, stages: Sequence[Stage], seats: list[list[Vote]], *, tried: set[int]
) -> bool:
    """Seat `vote`, moving others to another of their stages where that makes room."""
    for index in sorted(vote.stages - tried):
        tried.add(index)
        if len(seats[index]) < stages[index].required:
            seats[index].append(vote)
            return True
        for other in seats[index]:
            if _take_seat(other, stages, seats, tried=tried):
                seats[index].remove(other)
                seats[index].append(vote)
                return True
    return False
