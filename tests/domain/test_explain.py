"""Why a call is judged as it is: every rule that was looked at, and what came of it."""

from __future__ import annotations

from dataclasses import replace

from approvals.domain.policy.document import ask_policy
from approvals.domain.policy.explain import explained, explained_by
from approvals.domain.policy.model import Policy
from approvals.domain.rulebook import HttpServer, Rulebook
from approvals.domain.strictjson import Json
from tests.domain.builders import NOON, PEOPLE, call
from tests.domain.policies import ALWAYS, policy

LARGE: Json = [{"path": "args.quantity", "op": "gt", "value": 5}]
COUNTED: Json = {"counter": "orders", "window": "hour", "max": 20, "scope": "agent"}


def told(rules: Policy, arguments: dict[str, Json] | None = None, tool: str = "t") -> list[str]:
    return explained_by(rules, call(arguments, tool=tool), now=NOON, labels={})


def test_every_rule_says_what_came_of_it() -> None:
    rules = policy(
        {
            "require": [{"conditions": [{"path": "args.symbol", "op": "eq", "value": "BTC"}]}],
            "deny_if": [{"conditions": LARGE}],
            "require_approval_if": [ALWAYS],
            "limits": [COUNTED],
            "risk": {"category": "Read"},
        }
    )
    assert told(rules, {"symbol": "BTC", "quantity": 1}) == [
        f"policy: test ({rules.hash})",
        "entry: /tools/t",
        "risk: low · Read, as the policy says",
        "/tools/t/require/0: holds",
        "/tools/t/deny_if/0: does not match (args.quantity is above 5)",
        "/tools/t/require_approval_if/0: matches (always)",
        "/tools/t/limits/0: counted until 13:00:00 UTC",
        "verdict: require_approval /tools/t/require_approval_if/0",
        "asks: 1 of everyone, 15 min",
    ]


def test_what_fails_is_in_doubt_or_cannot_be_counted_says_why_without_the_value() -> None:
    rules = policy(
        {
            "require": [{"conditions": LARGE}],
            "deny_if": [{"conditions": LARGE}],
            "limits": [{**COUNTED, "increment": "args.amount"}],  # type: ignore[dict-item]
        }
    )
    lines = told(rules, {"quantity": "secret-9"})
    assert lines[3:] == [
        "/tools/t/require/0: does not hold: args.quantity is of another kind",
        (
            "/tools/t/deny_if/0: counts as matched, in doubt: args.quantity is of another kind "
            "(args.quantity is above 5)"
        ),
        "/tools/t/limits/0: cannot be counted: args.amount is missing",
        "verdict: deny /tools/t/require/0",
    ]
    assert "secret-9" not in "".join(lines)


def test_a_hidden_tool_says_only_that() -> None:
    lines = told(policy({"deny_if": [ALWAYS]}, hide=["t"]))
    assert lines[1] == "entry: hidden"
    assert lines[3:] == ["verdict: hide (hidden)"]


def test_an_unlisted_tool_follows_the_default() -> None:
    lines = told(policy(), tool="frobnicate")
    assert lines[1:] == [
        "entry: none, so the default: deny",
        "risk: high · Execute, nothing says what it does",
        "verdict: deny (default deny)",
    ]


def test_the_built_in_policy_says_what_it_asks_for() -> None:
    lines = told(ask_policy(), tool="delete_user")
    assert lines[1] == "entry: the built-in policy asks for everything but reading"
    assert lines[3:] == ["verdict: require_approval (ask)", "asks: 1 of everyone, 15 min"]


def test_the_file_names_the_policy_the_people_and_the_zone() -> None:
    rules = policy({"action": "require_approval"})
    book = Rulebook(
        directory=PEOPLE,
        servers={"exchange": HttpServer(url="http://up/mcp", name="exchange", policy=rules)},
    )
    assert explained(book, call(tool="t"), now=NOON)[-1] == (
        "asks: 1 of everyone (bob, carol; not alice, who owns trader-bot), 15 min"
    )
    stranger = replace(call(tool="t"), agent="stranger")
    assert explained(book, stranger, now=NOON) == ["verdict: deny (not bound)"]


def test_a_justification_that_is_wanted_is_said_to_be_given_or_missing() -> None:
    rules = policy({"justification": "required"})
    for given, word in (("it is stale", "given"), ("  ", "missing"), (None, "missing")):
        asked = replace(call(), tool="t", justification=given)
        said = explained_by(rules, asked, now=NOON, labels={})
        assert f"/tools/t/justification: {word}" in said
