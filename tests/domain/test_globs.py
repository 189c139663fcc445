"""Names with a star: what they fit, which of them counts, and whether two fit one name."""

from __future__ import annotations

import sys
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.domain.policy.globs import matches, overlap
from approvals.domain.strictjson import Json
from tests.domain.builders import call
from tests.domain.policies import document, judged, policy, problems

GLOBS = st.text("ab*", max_size=5)


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("withdraw", "withdraw", True),
        ("withdraw", "withdraw_all", False),
        ("withdraw", "Withdraw", False),
        ("withdraw_*", "withdraw_", True),
        ("withdraw_*", "withdraw_all", True),
        ("withdraw_*", "withdraw", False),
        ("*_order", "cancel_order", True),
        ("*_order", "cancel_orders", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("a*bb*b", "abb", False),
        ("a*bb*b", "abbb", True),
        ("*ab*ab*", "ab", False),
        ("*ab*ab*", "abab", True),
        ("*", "", True),
        ("**", "anything", True),
        ("a.c", "abc", False),
        ("[ab]", "a", False),
        ("?", "a", False),
        ("", "a", False),
    ],
)
def test_a_star_stands_for_any_characters_and_nothing_else_is_special(
    pattern: str, name: str, fits: bool
) -> None:
    assert matches(pattern, name) is fits
    assert policy(hide=["x", pattern or "x"]).hides(name) is fits


def by_trying(pattern: str, name: str) -> bool:
    """The same by trying every way, one character at a time."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return by_trying(pattern[1:], name) or (bool(name) and by_trying(pattern, name[1:]))
    return bool(name) and pattern[0] == name[0] and by_trying(pattern[1:], name[1:])


@settings(deadline=None, database=None, max_examples=300)
@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_a_pattern_matches_exactly_what_trying_every_way_matches(pattern: str, name: str) -> None:
    assert matches(pattern, name) is by_trying(pattern, name)


# If two patterns of four characters fit one name, they fit one of at most their eight letters.
NAMES = ["".join(letters) for length in range(9) for letters in product("ab", repeat=length)]


@settings(deadline=None, database=None, max_examples=300)
@given(st.text("ab*", max_size=4), st.text("ab*", max_size=4))
def test_two_patterns_overlap_exactly_if_some_name_fits_both(one: str, other: str) -> None:
    common = any(matches(one, name) and matches(other, name) for name in NAMES)
    assert overlap(one, other) is common
    assert overlap(other, one) is common


@settings(deadline=None, database=None)
@given(GLOBS)
def test_a_pattern_overlaps_itself_and_the_lone_star(pattern: str) -> None:
    assert overlap(pattern, pattern)
    assert overlap(pattern, "*")


@pytest.mark.parametrize(
    ("tool", "rule"),
    [
        ("get_price", "/tools/get_price"),
        ("get_prices", "/tools/get_price*"),
        ("get_volume", "/tools/get_*"),
        ("set_price", "/tools/*_price"),
        ("other", "/tools/*"),
        ("*", "/tools/*"),
        ("get_*", "/tools/get_*"),
    ],
)
def test_an_exact_name_wins_over_a_glob_and_a_longer_glob_over_a_shorter(
    tool: str, rule: str
) -> None:
    tools = ["*", "get_*", "*_price", "get_price*", "get_price"]
    rules = policy(None, tools={name: {} for name in tools})
    assert judged(rules, tool=tool).rule == rule


def test_the_order_of_the_entries_does_not_matter() -> None:
    for names in (["a*", "ab*"], ["ab*", "a*"]):
        rules = policy(None, tools={name: {} for name in names})
        assert judged(rules, tool="abc").rule == "/tools/ab*"


def test_globs_of_one_length_are_fine_while_no_name_fits_both() -> None:
    rules = policy(None, tools={"get_*": {}, "set_*": {}, "b*": {}, "a*": {}})
    assert judged(rules, tool="set_x").rule == "/tools/set_*"


def test_a_name_is_found_the_same_way_every_time() -> None:
    rules = policy(None, tools={"a*": {}}, hide=["b*"])
    for _ in range(2):
        assert judged(rules, tool="ab").rule == "/tools/a*"
        assert judged(rules, tool="ba").rule == "(hidden)"
    assert rules.entry("c") is None


def test_a_long_pattern_and_a_long_name_take_linear_time() -> None:
    assert not matches("*a" * 5_000 + "b", "a" * 200_000)
    assert problems(document(None, tools={"a*" * 200: {}, "*a" * 200: {}}))


def test_a_lone_star_may_say_everything_that_any_other_entry_says() -> None:
    entry: dict[str, Json] = {
        "action": "deny",
        "reason": "Never.",
        "summary": "x",
        "risk": {"level": "low"},
    }
    verdict = judged(policy(None, tools={"*": entry}), tool="anything")
    assert (verdict.rule, verdict.message) == ("/tools/*/action", "Never.")


def test_a_name_longer_than_any_tool_has_is_not_kept_in_memory() -> None:
    rules = policy({}, hide=["b*"], default="allow")
    name = "x" * 100_000
    before = sys.getrefcount(name)
    rules.hides(name)
    rules.entry(name)
    assert sys.getrefcount(name) - before == 0


def test_nor_is_it_by_the_classification_of_a_bare_name() -> None:
    name = "x" * 100_000
    before = sys.getrefcount(name)
    asked = call(tool=name)
    assert asked.classified.because
    del asked
    assert sys.getrefcount(name) - before == 0
