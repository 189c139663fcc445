"""Every operator against values of every kind: yes, no, or no answer at all."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.domain.policy.conditions import Doubt, Op, _answer, failing, matches, same
from approvals.domain.policy.read_rules import read_conditions
from approvals.domain.policy.reading import Place, Problems
from approvals.domain.strictjson import Json, Number, parse
from tests.domain.policies import facts

DOUBT = "doubt"
WHOLE, PART = 10**18 + 1, Number("0.1")

# operator, value in the rule, value in the call, answer
TABLE: list[tuple[Op, Json, Json, bool | str]] = [
    (Op.EQ, "a", "a", True),
    (Op.EQ, "a", "A", False),
    (Op.EQ, 1, Number("1.0"), True),
    (Op.EQ, Number("1e0"), 1, True),
    (Op.EQ, PART, Number("0.10"), True),
    (Op.EQ, WHOLE, 10**18, False),
    (Op.EQ, WHOLE, Number("1000000000000000001.0"), True),
    (Op.EQ, 5, "5", DOUBT),
    (Op.EQ, "5", 5, DOUBT),
    (Op.EQ, True, 1, DOUBT),
    (Op.EQ, 1, True, DOUBT),
    (Op.EQ, True, True, True),
    (Op.EQ, False, True, False),
    (Op.EQ, "a", None, DOUBT),
    (Op.EQ, None, None, True),
    (Op.EQ, None, "a", False),
    (Op.EQ, [1, "a"], [Number("1.0"), "a"], True),
    (Op.EQ, [1, 2], [2, 1], False),
    (Op.EQ, [1], [1, 1], False),
    (Op.EQ, {"a": 1}, {"a": Number("1.0")}, True),
    (Op.EQ, {"a": 1}, {"a": 1, "b": 2}, False),
    (Op.EQ, {"a": 1}, {"b": 1}, False),
    (Op.EQ, [], {}, DOUBT),
    (Op.NEQ, "a", "b", True),
    (Op.NEQ, "a", "a", False),
    (Op.NEQ, 5, "5", DOUBT),
    (Op.NEQ, None, 1, True),
    (Op.NEQ, None, None, False),
    (Op.LT, 5, 4, True),
    (Op.LT, 5, 5, False),
    (Op.LT, 5, Number("4.999999999999999999999999999999999999999"), True),
    (Op.LT, 5, "4", DOUBT),
    (Op.LT, 5, True, DOUBT),
    (Op.LTE, 5, 5, True),
    (Op.LTE, 5, Number("5.000000000000000000000000000000000000001"), False),
    (Op.LTE, 5, None, DOUBT),
    (Op.GT, PART, Number("0.1000000000000000000000000000000000001"), True),
    (Op.GT, 5, 5, False),
    (Op.GT, 5, [6], DOUBT),
    (Op.GT, 5, {}, DOUBT),
    (Op.GTE, 5, 5, True),
    (Op.GTE, 5, 4, False),
    (Op.GTE, Number("-0"), 0, True),
    (Op.GTE, 5, "9", DOUBT),
    (Op.IN, ["a", "b"], "b", True),
    (Op.IN, ["a", "b"], "c", False),
    (Op.IN, ["a", 5], Number("5.0"), True),
    (Op.IN, [5], "5", DOUBT),
    (Op.IN, [1], True, DOUBT),
    (Op.IN, ["a"], None, DOUBT),
    (Op.IN, ["a"], ["a"], DOUBT),
    (Op.NOT_IN, ["a", "b"], "c", True),
    (Op.NOT_IN, ["a", "b"], "a", False),
    (Op.NOT_IN, ["a"], 1, DOUBT),
    (Op.EXISTS, True, None, True),
    (Op.EXISTS, True, 0, True),
    (Op.EXISTS, False, "", False),
    (Op.REGEX, "^a+$", "aaa", True),
    (Op.REGEX, "^a+$", "aab", False),
    (Op.REGEX, "b", "abc", True),
    (Op.REGEX, "", "", True),
    (Op.REGEX, "^[0-9]+$", 5, DOUBT),
    (Op.REGEX, "a", ["a"], DOUBT),
    (Op.REGEX, "a", None, DOUBT),
    (Op.CONTAINS, "b", "abc", True),
    (Op.CONTAINS, "B", "abc", False),
    (Op.CONTAINS, "b", ["a", "b"], True),
    (Op.CONTAINS, "c", ["a", "b"], False),
    (Op.CONTAINS, 1, [Number("1.0")], True),
    (Op.CONTAINS, 1, [True], DOUBT),
    (Op.CONTAINS, 1, ["1"], DOUBT),
    (Op.CONTAINS, "a", [], False),
    (Op.CONTAINS, 1, "1", DOUBT),
    (Op.CONTAINS, "a", {"a": 1}, DOUBT),
    (Op.CONTAINS, "a", None, DOUBT),
    # One item that cannot be compared may be what is looked for, in the tool's reading.
    (Op.CONTAINS, "admin", ["user", ["admin"]], DOUBT),
    (Op.CONTAINS, "5", ["x", 5], DOUBT),
    (Op.CONTAINS, "a", ["a", 5], True),
    (Op.STARTS_WITH, "ab", "abc", True),
    (Op.STARTS_WITH, "bc", "abc", False),
    (Op.STARTS_WITH, "a", 5, DOUBT),
    (Op.ENDS_WITH, "bc", "abc", True),
    (Op.ENDS_WITH, "ab", "abc", False),
    (Op.ENDS_WITH, "a", ["a"], DOUBT),
    (Op.LEN_GT, 2, "abc", True),
    (Op.LEN_GT, 3, "abc", False),
    (Op.LEN_GT, 0, [], False),
    (Op.LEN_GT, 0, [1], True),
    (Op.LEN_GT, 1, {"a": 1, "b": 2}, True),
    (Op.LEN_GT, 2, 1000, DOUBT),
    (Op.LEN_GT, 0, True, DOUBT),
    (Op.LEN_GT, 0, None, DOUBT),
]


def read(*conditions: dict[str, Json]):  # type: ignore[no-untyped-def]
    found = Problems()
    rules = read_conditions(Place(list(conditions), "/conditions", found))
    assert found.found == []
    return rules


@pytest.mark.parametrize(("op", "value", "found", "answer"), TABLE)
def test_an_operator_answers_yes_no_or_not_at_all(
    op: Op, value: Json, found: Json, answer: bool | str
) -> None:
    (condition,) = read({"path": "args.x", "op": str(op), "value": value})
    given = _answer(condition, found)
    assert (DOUBT if isinstance(given, Doubt) else given) == answer


def test_every_operator_is_asked_for_yes_for_no_and_for_no_answer() -> None:
    answers = {op: {answer for tried, _, _, answer in TABLE if tried is op} for op in Op}
    assert all(
        found == {True, False, DOUBT} for op, found in answers.items() if op is not Op.EXISTS
    )
    assert answers[Op.EXISTS] == {True, False}  # a value that is there always answers


def test_why_there_is_no_answer_is_said_without_the_value() -> None:
    (condition,) = read({"path": "args.x", "op": "gt", "value": 5})
    assert _answer(condition, "secret") == Doubt("args.x is of another kind")


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


@settings(deadline=None, database=None)
@given(VALUES, VALUES)
def test_two_values_are_the_same_exactly_if_their_json_is(one: Json, other: Json) -> None:
    assert same(one, other) is (repr(one) == repr(other))
    assert same(one, other) is same(other, one)


def test_every_condition_of_a_rule_has_to_hold() -> None:
    rules = read(
        {"path": "args.a", "op": "gt", "value": 1}, {"path": "args.b", "op": "eq", "value": "x"}
    )
    assert matches(rules, facts({"a": 2, "b": "x"})) == []
    assert matches(rules, facts({"a": 2, "b": "y"})) is None
    assert failing(rules, facts({"a": 2, "b": "x"})) is None
    assert failing(rules, facts({"a": 2, "b": "y"})) == "args.b eq does not hold"
    assert failing(rules, facts({"a": 1, "b": "y"})) == "args.a gt does not hold"


def test_no_conditions_hold_for_every_call() -> None:
    assert matches((), facts()) == []
    assert failing((), facts()) is None


def test_of_a_list_one_item_suffices_to_match_and_every_item_has_to_hold() -> None:
    rules = read({"path": "args.rows[*].n", "op": "gt", "value": 5})
    some: Json = {"rows": [{"n": 1}, {"n": 9}]}
    assert matches(rules, facts(some)) == []
    assert failing(rules, facts(some)) == "args.rows[*].n gt does not hold"
    assert matches(rules, facts({"rows": [{"n": 1}, {"n": 2}]})) is None
    assert failing(rules, facts({"rows": [{"n": 6}, {"n": 7}]})) is None


def test_an_item_without_an_answer_counts_as_a_match_unless_another_matches() -> None:
    rules = read({"path": "args.rows[*].n", "op": "gt", "value": 5})
    for items in ([{"n": 1}, {"n": "9"}], [{"n": "9"}, {"n": 1}]):
        assert matches(rules, facts({"rows": items})) == [  # type: ignore[dict-item]
            Doubt("args.rows[*].n is of another kind")
        ]
    assert matches(rules, facts({"rows": [{"n": 9}, {}]})) == []


def test_a_condition_that_does_not_hold_settles_it_whatever_the_others_are() -> None:
    rules = read(
        {"path": "args.a", "op": "gt", "value": 1}, {"path": "args.b", "op": "eq", "value": "x"}
    )
    assert matches(rules, facts({"b": "y"})) is None


NESTED = ["(a+)+$", "(a|aa)+$", "(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a?){50}a{50}$"]


@pytest.mark.parametrize("pattern", NESTED)
def test_a_regex_takes_linear_time_whatever_the_agent_sends(pattern: str) -> None:
    (condition,) = read({"path": "args.x", "op": "regex", "value": pattern})
    before = time.perf_counter()
    _answer(condition, "a" * 100_000 + "!")
    assert time.perf_counter() - before < 2  # a backtracking engine never ends


def test_a_regex_reads_any_text_that_an_argument_can_be() -> None:
    (condition,) = read({"path": "args.x", "op": "regex", "value": "ö.$"})
    arguments = parse('{"x": "\\u0000\U0001f600ö\U0001f600"}'.encode())
    assert matches([condition], facts(arguments)) == []
