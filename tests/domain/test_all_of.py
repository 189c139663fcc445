"""Several rules that ask: everything that each of them asks for, and the stricter of two words."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal

import pytest

from approvals.domain.directory import Assurance
from approvals.domain.quorum import Gone, Requirement, Stage, all_of, can_be_met

DESK = Stage(approvers=frozenset({"group:trading"}))
RISK = Stage(approvers=frozenset({"person:bob"}))
ONE, TWO = timedelta(minutes=1), timedelta(minutes=2)

# For every field: the values that two rules say, and what counts when both ask.
STRICTER: dict[str, tuple[object, object, object]] = {
    "stages": ((DESK,), (RISK,), (DESK, RISK)),
    "ordered": (False, True, True),
    "exclude_owner": (False, True, True),
    "timeout": (ONE, TWO, ONE),
    "use_within": (ONE, TWO, ONE),
    "release_delay": (ONE, TWO, TWO),
    "deny_memory": (ONE, TWO, TWO),
    "remind_at": ((Decimal("0.8"),), (Decimal("0.5"),), (Decimal("0.5"), Decimal("0.8"))),
    "escalate_after": (ONE, TWO, ONE),
    "escalate_channels": (("log", "a"), ("b", "log"), ("log", "a", "b")),
    "max_timeout": (ONE, TWO, ONE),
    "on_requester_gone": (Gone.KEEP, Gone.CANCEL, Gone.CANCEL),
    "detached": (True, False, False),
    "channels": (("log", "a"), ("b", "log"), ("log", "a", "b")),
    "name_approvers": (True, False, False),
    "allow_input": (True, False, False),
}


def asking(**changes: object) -> Requirement:
    return replace(Requirement(), **changes)  # type: ignore[arg-type]


def test_every_field_is_tried() -> None:
    assert set(STRICTER) == {field.name for field in fields(Requirement)}


@pytest.mark.parametrize("field", STRICTER)
def test_of_two_rules_the_stricter_word_counts(field: str) -> None:
    one, other, both = STRICTER[field]
    joined = all_of([asking(**{field: one}), asking(**{field: other})])
    assert joined == asking(**{field: both})


@pytest.mark.parametrize(
    "field", [f for f in STRICTER if f not in {"stages", "escalate_channels", "channels"}]
)
def test_the_order_of_the_rules_does_not_matter(field: str) -> None:
    one, other, both = STRICTER[field]
    joined = all_of([asking(**{field: other}), asking(**{field: one})])
    assert getattr(joined, field) == both


def test_one_requirement_is_itself() -> None:
    one = asking(timeout=ONE, channels=("log",), stages=(DESK, RISK))
    assert all_of([one]) == one
    assert all_of([one, one, one]) == one


def test_whoever_says_no_channels_means_all_there_are() -> None:
    assert all_of([asking(channels=("log",)), asking()]).channels is None


def test_an_escalation_that_only_one_rule_wants_takes_place() -> None:
    assert all_of([asking(), asking(escalate_after=ONE)]).escalate_after == ONE
    assert all_of([asking(), asking()]).escalate_after is None


def test_the_strictest_sign_in_counts_for_every_stage() -> None:
    web = replace(RISK, assurance=Assurance.WEB)
    joined = all_of([asking(stages=(DESK,)), asking(stages=(web,))])
    assert {stage.assurance for stage in joined.stages} == {Assurance.WEB}


def test_the_same_stage_asked_twice_is_one_also_when_the_sign_in_differs() -> None:
    web = replace(DESK, assurance=Assurance.WEB)
    joined = all_of([asking(stages=(DESK,)), asking(stages=(web, RISK))])
    assert joined.stages == (web, replace(RISK, assurance=Assurance.WEB))


@pytest.mark.parametrize(
    ("people", "enough"),
    [
        ({"alice": {0}, "bob": {1}}, True),
        ({"alice": {0, 1}, "bob": {0}}, True),
        ({"alice": {0, 1}}, False),
        ({"alice": {0}, "bob": {0}}, False),
        ({}, False),
    ],
)
def test_stages_can_be_met_only_by_different_people(
    people: dict[str, set[int]], enough: bool
) -> None:
    named = {person: frozenset(stages) for person, stages in people.items()}
    assert can_be_met((DESK, RISK), named) is enough
