"""How bad a call can be."""

from __future__ import annotations

import pytest

from approvals.domain.risk import UNKNOWN, WHY, Category, Level, Risk, risk_of


@pytest.mark.parametrize(
    ("category", "level", "undoable"),
    [
        (Category.READ, Level.LOW, True),
        (Category.WRITE, Level.MEDIUM, True),
        (Category.EXECUTE, Level.HIGH, True),
        (Category.DESTRUCTIVE, Level.CRITICAL, False),
        (Category.FINANCIAL, Level.CRITICAL, False),
    ],
)
def test_a_category_has_its_level_and_a_sentence_why(
    category: Category, level: Level, undoable: bool
) -> None:
    risk = risk_of(category)
    assert risk == Risk(level=level, category=category, why=WHY[category])
    assert risk.undoable is undoable


def test_what_the_policy_says_replaces_the_words_of_our_table() -> None:
    risk = risk_of(Category.READ, level=Level.HIGH, why="reads customer data.")
    assert risk == Risk(level=Level.HIGH, category=Category.READ, why="reads customer data.")


def test_an_unknown_tool_is_high() -> None:
    assert (UNKNOWN.level, UNKNOWN.category) == (Level.HIGH, Category.EXECUTE)
