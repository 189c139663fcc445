"""Have enough of the right people answered: counted by matching, in whatever order they came."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.domain.quorum import Requirement, Stage, Tally, Vote, tally
from approvals.domain.states import Answer
from tests.domain.builders import approval, decision

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random


def vote(person: str, *stages: int, approves: bool = True) -> Vote:
    return Vote(person=person, approves=approves, stages=frozenset(stages))


def most_seats(stages: Sequence[Stage], votes: Sequence[Vote]) -> int:
    """Try every way to give each approving person one stage or none; the best fills this many."""
    choices = [[None, *vote.stages] for vote in votes if vote.approves]
    return max(
        sum(min(chosen.count(index), stage.required) for index, stage in enumerate(stages))
        for chosen in product(*choices)
    )


@st.composite
def elections(draw: st.DrawFn) -> tuple[list[Stage], list[Vote]]:
    numbers = st.integers(1, 3)
    stages = draw(
        st.lists(st.builds(Stage, required=numbers, deny_threshold=numbers), min_size=1, max_size=4)
    )
    ballots = st.tuples(st.sets(st.integers(0, len(stages) - 1)), st.integers(0, 5))
    return stages, [
        vote(f"p{number}", *places, approves=coin > 0)
        for number, (places, coin) in enumerate(draw(st.lists(ballots, max_size=6)))
    ]


@settings(deadline=None, database=None, max_examples=300)
@given(elections())
def test_as_many_places_fill_as_any_assignment_of_people_could_fill(
    election: tuple[list[Stage], list[Vote]],
) -> None:
    stages, votes = election
    count, best = tally(stages, votes), most_seats(stages, votes)
    denied = any(
        len([v for v in votes if not v.approves and index in v.stages]) >= stage.deny_threshold
        for index, stage in enumerate(stages)
    )
    assert sum(count.approved) == best
    assert all(n <= stage.required for n, stage in zip(count.approved, stages, strict=True))
    assert count.denied is denied
    assert count.reached is (best == sum(stage.required for stage in stages) and not denied)


@settings(deadline=None, database=None)
@given(elections(), st.randoms(use_true_random=False))
def test_the_order_of_answers_does_not_matter(
    election: tuple[list[Stage], list[Vote]], chance: Random
) -> None:
    stages, votes = election
    shuffled = chance.sample(votes, len(votes))
    one, other = tally(stages, votes), tally(stages, shuffled)
    assert (one.reached, one.denied) == (other.reached, other.denied)
    assert sum(one.approved) == sum(other.approved)


def test_nobody_has_to_answer_in_a_lucky_order() -> None:
    stages = (Stage(name="desk"), Stage(name="risk"), Stage(name="legal"))
    votes = [vote("alice", 0, 1, 2), vote("bob", 0, 1), vote("carol", 0)]
    for order in permutations(votes):
        assert tally(stages, order) == Tally(approved=(1, 1, 1), reached=True, denied=False)


def test_one_person_counts_for_one_stage_only() -> None:
    count = tally((Stage(), Stage()), [vote("alice", 0, 1)])
    assert sum(count.approved) == 1
    assert not count.reached


def test_more_approvals_than_are_needed_do_not_fill_another_stage() -> None:
    stages = (Stage(required=1), Stage(required=1))
    count = tally(stages, [vote("alice", 0), vote("bob", 0), vote("carol", 0)])
    assert count == Tally(approved=(1, 0), reached=False, denied=False)


def test_nobody_has_answered_yet() -> None:
    assert tally((Stage(required=2),), []) == Tally(approved=(0,), reached=False, denied=False)


def test_an_approval_by_somebody_eligible_for_no_stage_counts_nowhere() -> None:
    assert not tally((Stage(),), [vote("mallory")]).reached


def test_a_denial_is_counted_in_every_stage_of_the_person() -> None:
    stages = (Stage(deny_threshold=2), Stage(deny_threshold=1))
    assert tally(stages, [vote("alice", 0, 1, approves=False)]).denied
    assert not tally(stages, [vote("alice", 0, approves=False)]).denied


@pytest.mark.parametrize(("denials", "denied"), [(1, False), (2, True), (3, True)])
def test_a_stage_denies_at_its_threshold(denials: int, denied: bool) -> None:
    votes = [vote(f"p{number}", 0, approves=False) for number in range(denials)]
    assert tally((Stage(deny_threshold=2),), votes).denied is denied


def test_a_denial_outweighs_enough_approvals() -> None:
    count = tally((Stage(),), [vote("alice", 0), vote("bob", 0, approves=False)])
    assert count == Tally(approved=(1,), reached=False, denied=True)


def test_only_the_last_answer_of_each_person_stands() -> None:
    asked = approval(Requirement(stages=(Stage(required=2, deny_threshold=2),)))
    said = (
        decision("bob", of=asked),
        decision("carol", of=asked),
        decision("bob", Answer.DENY, of=asked),
    )
    after = approval(asked.requirement, decisions=said)
    assert [(d.person, d.answer) for d in after.standing] == [
        ("bob", Answer.DENY),
        ("carol", Answer.APPROVE),
    ]
    assert after.tally == Tally(approved=(1,), reached=False, denied=False)
    assert after.decision_of("bob") == said[-1]
    assert after.decision_of("alice") is None
