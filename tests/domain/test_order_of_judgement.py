"""What is asked first: hidden, require, deny_if, justification, limits, approval, then allow."""

from __future__ import annotations

from itertools import combinations

import pytest

from approvals.domain.policy.document import read_policy
from approvals.domain.policy.model import Ruling
from approvals.domain.strictjson import Json
from tests.domain.policies import ALWAYS, judged

NEVER: Json = [{"path": "tool", "op": "eq", "value": "other"}]

# Everything that can be said of a tool, in the order of judgement, and what comes of it.
STEPS: dict[str, tuple[dict[str, Json], Ruling, str]] = {
    "hide": ({}, Ruling.HIDE, "(hidden)"),
    "require": ({"require": [{"conditions": NEVER}]}, Ruling.DENY, "/tools/t/require/0"),
    "deny_if": ({"deny_if": [ALWAYS]}, Ruling.DENY, "/tools/t/deny_if/0"),
    "justification": ({"justification": "required"}, Ruling.DENY, "/tools/t/justification"),
    "limits": (
        {
            "limits": [
                {
                    "counter": "spend",
                    "window": "day",
                    "max": 5,
                    "scope": "agent",
                    "increment": "args.missing",
                }
            ]
        },
        Ruling.DENY,
        "/tools/t/limits/0",
    ),
    "require_approval_if": (
        {"require_approval_if": [ALWAYS]},
        Ruling.REQUIRE_APPROVAL,
        "/tools/t/require_approval_if/0",
    ),
}
SETS = [set(chosen) for size in range(7) for chosen in combinations(STEPS, size)]


@pytest.mark.parametrize("said", SETS, ids=lambda said: "+".join(sorted(said)) or "nothing")
@pytest.mark.parametrize("default", ["allow", "deny"])
def test_of_everything_that_is_said_the_first_step_judges(said: set[str], default: str) -> None:
    tool: dict[str, Json] = {}
    for name in said:
        tool |= STEPS[name][0]
    document: dict[str, Json] = {"version": "1", "default": default, "tools": {"t": tool}}
    if "hide" in said:
        document["hide"] = ["t"]
    first = next((name for name in STEPS if name in said), None)
    ruling, rule = STEPS[first][1:] if first else (Ruling.ALLOW, "/tools/t")
    verdict = judged(read_policy(document, source="test"))
    assert (verdict.ruling, verdict.rule) == (ruling, rule)


def test_of_two_rules_of_one_kind_the_first_is_named_and_the_tools_own_before_all_tools() -> None:
    deny: Json = {"conditions": []}
    document: Json = {
        "version": "1",
        "default": "deny",
        "all_tools": {"deny_if": [deny], "require": [{"conditions": NEVER}]},
        "tools": {"t": {"deny_if": [{"conditions": NEVER}, deny, deny]}, "u": {}},
    }
    rules = read_policy(document, source="test")
    assert judged(rules).rule == "/all_tools/require/0"
    without: Json = {**document, "all_tools": {"deny_if": [deny]}}  # type: ignore[dict-item]
    assert judged(read_policy(without, source="test")).rule == "/tools/t/deny_if/1"
    assert judged(read_policy(without, source="test"), tool="u").rule == "/all_tools/deny_if/0"


def test_an_unlisted_tool_is_denied_before_any_rule_for_all_tools() -> None:
    document: Json = {
        "version": "1",
        "default": "deny",
        "all_tools": {"require_approval_if": [ALWAYS]},
        "hide": ["h*"],
    }
    rules = read_policy(document, source="test")
    assert judged(rules, tool="x").rule == "(default deny)"
    assert judged(rules, tool="hidden").rule == "(hidden)"
