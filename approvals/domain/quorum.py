"""Have enough of the right people answered? Decided from all decisions at once.

A person counts for one stage only. Which one is found by matching over all decisions, so nobody
has to answer in a lucky order (PRODUCT.md, "stage").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from functools import reduce
from typing import TYPE_CHECKING

from approvals.domain.directory import EVERYONE, Assurance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_TIMEOUT = timedelta(minutes=15)
USE_WITHIN = timedelta(minutes=5)
"""How long an approved call may wait to be sent."""
DENY_MEMORY = timedelta(minutes=5)
"""How long the same call gets the same denial without a new card."""
REMIND_AT = (Decimal("0.5"), Decimal("0.8"))
MAX_TIMEOUT = timedelta(hours=24)
"""Until when after parking a deadline may be moved."""


class Gone(StrEnum):
    """What becomes of a held call whose client closes the connection."""

    KEEP = "keep"
    CANCEL = "cancel"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One set of people of whom `required` must approve and `deny_threshold` can deny.

    `escalates_to` joins them once the call is escalated.
    """

    name: str = ""
    approvers: frozenset[str] = frozenset({EVERYONE})
    required: int = 1
    deny_threshold: int = 1
    assurance: Assurance = Assurance.SLACK
    escalates_to: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """Who has to approve and within which times, frozen when the call is parked.

    Stages are ANDed. `remind_at` are parts of the time between parking and deadline; `channels`
    None means all there are; POLICY.md has the meaning of each.
    """

    stages: tuple[Stage, ...] = (Stage(),)
    ordered: bool = False
    exclude_owner: bool = True
    timeout: timedelta = DEFAULT_TIMEOUT
    use_within: timedelta = USE_WITHIN
    release_delay: timedelta = timedelta(0)
    deny_memory: timedelta = DENY_MEMORY
    remind_at: tuple[Decimal, ...] = REMIND_AT
    escalate_after: timedelta | None = None
    escalate_channels: tuple[str, ...] = ()
    max_timeout: timedelta = MAX_TIMEOUT
    on_requester_gone: Gone = Gone.KEEP
    detached: bool = False
    channels: tuple[str, ...] | None = None
    name_approvers: bool = False
    allow_input: bool = False


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


def all_of(requirements: Sequence[Requirement]) -> Requirement:
    """One requirement that asks for everything that each of these asks for.

    Stages are ANDed (the same one asked twice is one); of everything else the stricter counts:
    shortest timeout, strictest assurance, all channels (POLICY.md).
    """
    first, *others = requirements
    return reduce(_both, others, first)


def _both(one: Requirement, other: Requirement) -> Requirement:
    assurance = max(stage.assurance for stage in (*one.stages, *other.stages))
    stages = (replace(stage, assurance=assurance) for stage in (*one.stages, *other.stages))
    after = [r.escalate_after for r in (one, other) if r.escalate_after is not None]
    every_channel = one.channels is None or other.channels is None
    return Requirement(
        stages=tuple(dict.fromkeys(stages)),
        ordered=one.ordered or other.ordered,
        exclude_owner=one.exclude_owner or other.exclude_owner,
        timeout=min(one.timeout, other.timeout),
        use_within=min(one.use_within, other.use_within),
        release_delay=max(one.release_delay, other.release_delay),
        deny_memory=max(one.deny_memory, other.deny_memory),
        remind_at=tuple(sorted({*one.remind_at, *other.remind_at})),
        escalate_after=min(after) if after else None,
        escalate_channels=_joined(one.escalate_channels, other.escalate_channels),
        max_timeout=min(one.max_timeout, other.max_timeout),
        on_requester_gone=max(one.on_requester_gone, other.on_requester_gone, key=_leaving),
        detached=one.detached and other.detached,
        channels=None if every_channel else _joined(one.channels or (), other.channels or ()),
        name_approvers=one.name_approvers and other.name_approvers,
        allow_input=one.allow_input and other.allow_input,
    )


def _leaving(gone: Gone) -> bool:
    return gone is Gone.CANCEL


def _joined(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


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


def can_be_met(stages: Sequence[Stage], people: Mapping[str, frozenset[int]]) -> bool:
    """Whether all these people together, each for one of its stages, are enough for every stage."""
    yes = [Vote(person=p, approves=True, stages=found) for p, found in people.items()]
    return tally(stages, yes).reached


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
