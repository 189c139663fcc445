"""Conditions and limits that do not load: a rule that could not work is refused at its place."""

from __future__ import annotations

import pytest

from approvals.domain.policy.read_rules import MAX_PATTERN
from approvals.domain.strictjson import Json, Number
from tests.domain.policies import document, policy, problems

AT = "/tools/t/deny_if/0/conditions/0"


def condition(**given: Json) -> dict[str, Json]:
    return document({"deny_if": [{"conditions": [given]}]})


def of(path: str, op: str, value: Json) -> dict[str, Json]:
    return condition(path=path, op=op, value=value)


def limit(**changes: Json) -> dict[str, Json]:
    base: dict[str, Json] = {"counter": "a", "window": "hour", "max": 5, "scope": "agent"}
    given = {name: v for name, v in {**base, **changes}.items() if v != "(left out)"}
    return document({"limits": [given]})


LEFT_OUT = "(left out)"


NOT_THERE = (
    f"{AT}/path: is missing: what the condition looks at",
    (
        f"{AT}/op: is missing: must be one of eq, neq, lt, lte, gt, gte, in, not_in, exists, "
        "regex, contains, starts_with, ends_with, len_gt"
    ),
    f"{AT}/value: is missing: what the operator compares with",
)
NO_PATH = (
    "is no path; paths are args.NAME (with .NAME, [0] and [*] behind it), agent.name, "
    "agent.labels.NAME, server, tool, risk.level, risk.category, time.weekday, time.hour"
)
NO_RE2 = "is no RE2 expression (missing ): (a); look-around and \\1 do not exist in RE2"
CHOICES = "must be a list of texts, numbers or true/false for"
A_TEXT = "must be a text, as what is compared is one"
LENGTH = "must be a whole number of at least 0 for len_gt"
HOURS = "must be whole hours from 0 to 23"
LEVELS = "must be of low, medium, high, critical"
CATEGORIES = "must be of Read, Write, Execute, Destructive, Financial"

# What cannot be asked, and what is said at its value.
UNANSWERABLE: list[tuple[str, str, Json, str]] = [
    ("args.x", "gt", "5", "must be a number for gt"),
    ("args.x", "lte", True, "must be a number for lte"),
    ("args.x", "in", "a", f"{CHOICES} in"),
    ("args.x", "in", [], f"{CHOICES} in"),
    ("args.x", "in", [None], f"{CHOICES} in"),
    ("args.x", "not_in", [["a"]], f"{CHOICES} not_in"),
    ("args.x", "exists", "yes", "must be true or false for exists"),
    ("args.x", "contains", None, "must be a text, a number or true/false for contains"),
    ("args.x", "starts_with", "", "must be a text for starts_with"),
    ("args.x", "ends_with", 5, "must be a text for ends_with"),
    ("args.x", "len_gt", -1, LENGTH),
    ("args.x", "len_gt", Number("1.0"), LENGTH),
    ("args.x", "regex", 5, "must be a text"),
    ("args.x", "regex", "(a", NO_RE2),
    ("args.x", "regex", "a" * (MAX_PATTERN + 1), "is longer than 10000 characters"),
    ("time.weekday", "eq", "monday", "must be of mon, tue, wed, thu, fri, sat, sun"),
    ("risk.level", "in", ["high", "severe"], LEVELS),
    ("risk.category", "neq", "read", CATEGORIES),
    ("time.hour", "eq", 24, HOURS),
    ("time.hour", "gt", 24, "must be a whole hour from 0 to 23"),
    ("time.hour", "lt", Number("7.5"), "must be a whole hour from 0 to 23"),
    ("time.hour", "in", [8, "9"], HOURS),
    ("time.hour", "regex", "8", "regex cannot be asked of time.hour, which is a number"),
    ("time.weekday", "lt", 3, "lt cannot be asked of time.weekday, which is a text"),
    ("server", "gt", 5, "gt cannot be asked of server, which is a text"),
    ("server", "eq", 5, A_TEXT),
    ("agent.name", "in", ["a", 5], A_TEXT),
    ("tool", "contains", 5, A_TEXT),
    # A list never equals a text: such a rule would deny, or park, whatever is called.
    ("server", "eq", ["exchange"], A_TEXT),
    ("tool", "neq", [], A_TEXT),
    ("risk.level", "eq", ["high"], LEVELS),
]


def test_a_condition_says_where_it_looks_how_and_at_what() -> None:
    assert problems(condition()) == NOT_THERE
    assert problems(of("quantity", "gt", 5)) == (f"{AT}/path: {NO_PATH}",)
    assert problems(of("args.x", "above", 5))[0].startswith(f"{AT}/op: must be one of eq, neq")


@pytest.mark.parametrize(("path", "op", "value", "said"), UNANSWERABLE)
def test_a_condition_that_could_not_work_is_refused(
    path: str, op: str, value: Json, said: str
) -> None:
    assert problems(of(path, op, value)) == (f"{AT}/value: {said}",)


@pytest.mark.parametrize("pattern", ["(?=a)", "(?<!a)b", r"(a)\1", "(a{1000}){1000}", "a**+"])
def test_what_would_need_a_backtracking_engine_is_refused(pattern: str) -> None:
    (problem,) = problems(of("args.x", "regex", pattern))
    assert problem.startswith(f"{AT}/value: is no RE2 expression (")


@pytest.mark.parametrize(
    ("path", "op", "value"),
    [
        ("args.x", "eq", None),
        ("args.x", "eq", ["a"]),
        ("args.x", "regex", "^a" * 100),
        ("server", "exists", True),
        ("server", "regex", "^ex"),
        ("server", "len_gt", 3),
        ("agent.labels.desk", "in", ["spot", "swap"]),
        ("time.weekday", "not_in", ["sat", "sun"]),
        ("time.hour", "gte", 8),
        ("time.hour", "in", [0, 23]),
        ("risk.level", "eq", "critical"),
        ("risk.category", "in", ["Destructive", "Financial"]),
    ],
)
def test_a_condition_that_can_work_loads(path: str, op: str, value: Json) -> None:
    rule: Json = {"conditions": [{"path": path, "op": op, "value": value}]}
    (read,) = policy({"deny_if": [rule]}).tools["t"].deny_if
    assert [(c.path.text, str(c.op), c.value) for c in read.conditions] == [(path, op, value)]


@pytest.mark.parametrize(
    ("wrong", "places"),
    [
        (document({"limits": [5]}), ["", "/window", "/scope"]),
        (document({"limits": [{}]}), ["/counter", "/window", "/scope", "/max"]),
        (limit(per="hour"), ["/per"]),
        (limit(counter=""), ["/counter"]),
        (limit(counter=5), ["/counter"]),
        (limit(window="week"), ["/window"]),
        (limit(window=60), ["/window"]),
        (limit(scope="user"), ["/scope"]),
        (limit(max=LEFT_OUT), ["/max"]),
        (limit(max=-1), ["/max"]),
        (limit(max="5"), ["/max"]),
        (limit(max=True), ["/max"]),
        (limit(increment=2), ["/increment"]),
        (limit(increment=True), ["/increment"]),
        (limit(increment="amount"), ["/increment"]),
        (limit(increment="time.hour"), ["/increment"]),
        (limit(increment="args.rows[*].amount"), ["/increment"]),
    ],
)
def test_a_limit_that_could_not_count_is_refused(wrong: Json, places: list[str]) -> None:
    found = [problem.partition(": ")[0] for problem in problems(wrong)]
    assert found == [f"/tools/t/limits/0{place}" for place in places]


@pytest.mark.parametrize(
    ("given", "places"),
    [
        (
            10,
            [
                "",
            ],
        ),
        ({}, ["/max", "/window"]),
        ({"max": 0, "window": 60}, ["/max"]),
        ({"max": 10, "window": Number("0.5")}, ["/window"]),
        ({"max": 10, "window": "minute"}, ["/window"]),
        ({"max": 10, "window": 604_801}, ["/window"]),
        ({"max": 10, "window": 60, "scope": "agent"}, ["/scope"]),
    ],
)
def test_a_rate_limit_that_could_not_count_is_refused(given: Json, places: list[str]) -> None:
    found = [problem.partition(": ")[0] for problem in problems(document({"rate_limit": given}))]
    assert found == [f"/tools/t/rate_limit{place}" for place in places]


def test_a_limit_of_nothing_and_of_a_fraction_can_be_said() -> None:
    rules = policy(
        {
            "limits": [
                {"counter": "a", "window": "day", "max": value, "scope": "policy"}
                for value in (0, Number("0.5"))
            ]
        }
    )
    assert [limit.max_ for limit in rules.tools["t"].limits] == [0, 5 * 10**17]
