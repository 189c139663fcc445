"""A policy in people's words: what each rule does, and who would be asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from approvals.domain.directory import Agent
from approvals.domain.policy.describe import asked_words, described
from approvals.domain.policy.document import ask_policy
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.strictjson import Json, Number
from tests.domain.builders import MINUTE, PEOPLE
from tests.domain.policies import ALWAYS, policy

BOT = PEOPLE.agents["trader-bot"]
TRADING = Stage(approvers=frozenset({"group:trading"}), required=2)
LARGE: Json = [{"path": "args.quantity", "op": "gt", "value": Number("0.5")}]


def line(tool: dict[str, Json]) -> str:
    """The first thing that is said of a tool."""
    return described(policy(tool))[0]


def test_every_rule_is_one_line_in_the_order_of_judgement() -> None:
    rules = policy(
        {
            "require": [{"conditions": [{"path": "args.symbol", "op": "in", "value": ["BTC"]}]}],
            "deny_if": [{"conditions": LARGE, "on_deny": "Above the limit.\u202e"}],
            "justification": "required",
            "limits": [{"counter": "orders", "window": "hour", "max": 20, "scope": "agent"}],
            "require_approval_if": [{"conditions": LARGE}],
        },
        hide=["withdraw_*"],
    )
    assert described(rules) == [
        "withdraw_*: hidden (/hide/0)",
        't only if args.symbol is one of ["BTC"] (/tools/t/require/0)',
        (
            r"t when args.quantity is above 0.5 → denied: Above the limit.\u202e "
            "(/tools/t/deny_if/0)"
        ),
        "t only with a justification (/tools/t/justification)",
        "t at most 20 orders per hour for each agent (/tools/t/limits/0)",
        (
            "t when args.quantity is above 0.5 → 1 of everyone, 15 min "
            "(/tools/t/require_approval_if/0)"
        ),
        "t otherwise runs (/tools/t)",
        "any other tool is denied (/default)",
    ]


def test_a_tool_without_rules_runs_and_an_unconditional_rule_leaves_no_otherwise() -> None:
    assert described(policy({}, default="allow")) == [
        "t runs (/tools/t)",
        "any other tool runs (/default)",
    ]
    assert described(policy({"action": "deny"})) == [
        "t → denied (/tools/t/action)",
        "any other tool is denied (/default)",
    ]
    assert line({"require": [ALWAYS]}) == "t only if anything (/tools/t/require/0)"


@pytest.mark.parametrize(
    ("op", "value", "words"),
    [
        ("eq", "a b", 'is "a b"'),
        ("neq", None, "is not null"),
        ("lt", 5, "is below 5"),
        ("lte", 5, "is at most 5"),
        ("gt", Number("1.50"), "is above 1.50"),
        ("gte", 10**18 + 1, "is at least 1000000000000000001"),
        ("in", ["a", 1], 'is one of ["a",1]'),
        ("not_in", ["a"], 'is none of ["a"]'),
        ("exists", True, "is given"),
        ("exists", False, "is missing"),
        ("regex", "^a\u202e$", r'matches "^a\u202e$"'),
        ("contains", "a", 'contains "a"'),
        ("starts_with", "a", 'starts with "a"'),
        ("ends_with", "a", 'ends with "a"'),
        ("len_gt", 5, "is longer than 5"),
    ],
)
def test_every_operator_has_its_words_and_its_exact_value(op: str, value: Json, words: str) -> None:
    said = line({"deny_if": [{"conditions": [{"path": "args.x", "op": op, "value": value}]}]})
    assert said == f"t when args.x {words} → denied (/tools/t/deny_if/0)"


def test_several_conditions_are_joined() -> None:
    both: Json = [
        {"path": "args.x", "op": "gt", "value": 5},
        {"path": "agent.name", "op": "eq", "value": "bot"},
    ]
    assert line({"deny_if": [{"conditions": both}]}).startswith(
        't when args.x is above 5 and agent.name is "bot" → denied'
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "at most 20 orders per hour for each agent"),
        ({"max": Number("0.5"), "window": "day"}, "at most 0.5 orders per day for each agent"),
        (
            {"increment": "args.amount", "scope": "policy", "window": "minute"},
            "at most 20 orders (sum of args.amount) per minute for this policy",
        ),
        ({"window": "second"}, "at most 20 orders per second for each agent"),
    ],
)
def test_a_limit_says_how_many_in_which_time_and_of_whom(
    changes: dict[str, Json], words: str
) -> None:
    base: dict[str, Json] = {"counter": "orders", "window": "hour", "max": 20, "scope": "agent"}
    assert line({"limits": [{**base, **changes}]}) == f"t {words} (/tools/t/limits/0)"


def test_a_rate_limit_says_its_own_window() -> None:
    assert "per 90 seconds" in line({"rate_limit": {"max": 10, "window": 90}})


def test_the_built_in_policy_says_what_it_asks() -> None:
    assert described(ask_policy()) == [
        "what only reads runs; everything else → 1 of everyone, 15 min (ask)"
    ]


def test_who_would_be_asked_is_named_and_the_owner_is_not() -> None:
    requirement = Requirement(
        stages=(TRADING,), timeout=30 * MINUTE, channels=("slack:#trading-approvals",)
    )
    assert asked_words(requirement, PEOPLE, BOT) == (
        "2 of trading (bob, carol; not alice, who owns trader-bot) in #trading-approvals, 30 min"
    )
    assert asked_words(requirement, PEOPLE) == (
        "2 of trading (alice, bob, carol) in #trading-approvals, 30 min"
    )


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        (Requirement(exclude_owner=False), "1 of everyone (alice, bob, carol), 15 min"),
        (
            Requirement(stages=(Stage(approvers=frozenset({"person:bob", "group:none"})),)),
            "1 of Bob or none (bob), 15 min",
        ),
        (
            Requirement(stages=(Stage(approvers=frozenset({"group:none"})),)),
            "1 of none (nobody), 15 min",
        ),
        (
            Requirement(stages=(TRADING, Stage(approvers=frozenset({"person:bob"})))),
            "2 of trading (bob, carol; not alice, who owns trader-bot), and 1 of Bob (bob), 15 min",
        ),
    ],
)
def test_whoever_could_answer_is_counted_as_a_decision_would_be(
    requirement: Requirement, words: str
) -> None:
    assert asked_words(requirement, PEOPLE, BOT) == words


def test_ordered_stages_are_asked_one_after_the_other() -> None:
    two = Requirement(stages=(Stage(), TRADING), ordered=True)
    assert asked_words(two) == "1 of everyone, then 2 of trading, 15 min"


def test_agents_that_are_asked_alike_are_one_line_and_others_are_told_apart() -> None:
    rules = policy({"action": "require_approval"})
    twin = Agent(name="twin", owner="dan", servers=BOT.servers)
    said = described(rules, directory=PEOPLE, agents=[BOT, twin, replace(twin, name="other")])
    assert said[0] == (
        "t → 1 of everyone (bob, carol; not alice, who owns trader-bot), 15 min; "
        "1 of everyone (alice, bob, carol), 15 min (/tools/t/action)"
    )


def test_rules_for_all_tools_are_said_of_the_other_tools_that_may_run() -> None:
    rules = policy(default="allow", all_tools={"deny_if": [{"conditions": LARGE}]})
    assert described(rules) == [
        "any other tool when args.quantity is above 0.5 → denied (/all_tools/deny_if/0)",
        "any other tool otherwise runs (/default)",
    ]


@pytest.mark.parametrize("rule", ["deny_if", "require_approval_if"])
def test_other_tools_are_not_said_to_run_where_a_rule_for_all_tools_stops_every_call(
    rule: str,
) -> None:
    said = described(policy(default="allow", all_tools={rule: [ALWAYS]}))
    assert any(f"/all_tools/{rule}/0" in one for one in said)
    assert "any other tool runs (/default)" not in said


def test_what_is_hidden_is_said() -> None:
    said = described(policy({"redact": ["args.note", "args.pin"]}))
    assert "t hides args.note, args.pin (/tools/t/redact)" in said
