"""Judging a call: hidden, denied, needs a person, or allowed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.domain.policy.document import read_policy
from approvals.domain.policy.evaluate import is_hidden, judge, not_bound
from approvals.domain.policy.model import ApprovalSettings, Policy, Ruling, Verdict
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.risk import UNKNOWN, Category, risk_of
from tests.domain.builders import call

if TYPE_CHECKING:
    from approvals.domain.strictjson import Json

TRADING: Json = ["group:trading"]
ALWAYS: dict[str, Json] = {"conditions": []}
ASKS: dict[str, Json] = {**ALWAYS, "on_deny": "Requires human approval."}


def policy(
    tool: dict[str, Json] | None = None,
    *,
    fallback: ApprovalSettings | None = None,
    **top: Json,
) -> Policy:
    """A policy for tool `t` that denies by default."""
    tools: dict[str, Json] = {} if tool is None else {"t": tool}
    document: Json = {"version": "1", "default": "deny", "tools": tools, **top}
    return read_policy(document, source="test", fallback=fallback)


def judged(rules: Policy, tool: str = "t") -> Verdict:
    return judge(rules, call(tool=tool))


def asked(rules: Policy) -> Requirement:
    requirement = judged(rules).requirement
    assert requirement is not None
    return requirement


def test_an_unlisted_tool_follows_the_default() -> None:
    denied, allowed = judged(policy()), judged(policy(default="allow"))
    assert (denied.ruling, denied.rule) == (Ruling.DENY, "(default deny)")
    assert denied.message == "the tool is not listed in it"
    assert (allowed.ruling, allowed.rule, allowed.message) == (Ruling.ALLOW, "(default allow)", "")


def test_a_listed_tool_without_rules_is_allowed() -> None:
    verdict = judged(policy({}))
    assert (verdict.ruling, verdict.rule) == (Ruling.ALLOW, "/tools/t")
    assert verdict.requirement is None


def test_a_tool_is_meant_by_its_exact_name_only() -> None:
    for name in ("T", "t ", "tt", "\u0442", ""):
        assert judged(policy({}), name).rule == "(default deny)"


def test_a_denial_names_its_rule_and_its_message() -> None:
    verdict = judged(policy({"deny_if": [{**ALWAYS, "on_deny": "Never."}]}))
    assert (verdict.ruling, verdict.rule, verdict.message) == (
        Ruling.DENY,
        "/tools/t/deny_if/0",
        "Never.",
    )


def test_a_denial_beats_an_approval_and_an_action_that_allows() -> None:
    deny: Json = {**ALWAYS, "on_deny": "Never."}
    for other in (
        {"deny_if": [ASKS, deny]},
        {"deny_if": [deny], "action": "require_approval"},
        {"deny_if": [deny], "action": "allow"},
        {"require_approval_if": [ALWAYS], "action": "deny"},
    ):
        assert judged(policy(other)).ruling is Ruling.DENY  # type: ignore[arg-type]


def test_the_published_wording_parks_every_call() -> None:
    verdict = judged(policy({"deny_if": [ASKS]}))
    assert (verdict.ruling, verdict.rule, verdict.message) == (
        Ruling.REQUIRE_APPROVAL,
        "/tools/t/deny_if/0",
        "",
    )
    assert verdict.requirement == Requirement()


def test_every_verdict_carries_the_policy_the_risk_and_the_summary() -> None:
    rules = policy({"action": "deny", "risk": {"category": "Read"}, "summary": "Look at {x}"})
    verdict = judged(rules)
    assert verdict.policy_hash == rules.hash
    assert verdict.risk == risk_of(Category.READ)
    assert verdict.summary == "Look at {x}"
    assert judged(policy()).risk == UNKNOWN
    assert judged(policy({})).risk == UNKNOWN


def test_a_hidden_tool_is_hidden_before_anything_else() -> None:
    verdict = judged(policy({"action": "allow"}, default="allow", hide=["t"]))
    assert (verdict.ruling, verdict.rule) == (Ruling.HIDE, "(hidden)")
    assert verdict.message == "the tool is not listed in it"


@pytest.mark.parametrize(
    ("pattern", "name", "hidden"),
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
    pattern: str, name: str, hidden: bool
) -> None:
    assert is_hidden(policy(hide=[pattern]), name) is hidden


def matches(pattern: str, name: str) -> bool:
    """The same by trying every way, one character at a time."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return matches(pattern[1:], name) or (bool(name) and matches(pattern, name[1:]))
    return bool(name) and pattern[0] == name[0] and matches(pattern[1:], name[1:])


@settings(deadline=None, database=None, max_examples=300)
@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_a_pattern_matches_exactly_what_trying_every_way_matches(pattern: str, name: str) -> None:
    assert is_hidden(policy(hide=[pattern]), name) is matches(pattern, name)


def test_one_of_several_patterns_suffices_to_hide() -> None:
    rules = policy(hide=["x", "withdraw_*"])
    assert is_hidden(rules, "withdraw_all")
    assert not is_hidden(rules, "t")


def test_settings_are_taken_key_by_key_from_rule_tool_policy_and_file() -> None:
    rule: Json = {**ALWAYS, "approval": {"required": 2}}
    requirement = asked(
        policy(
            {"require_approval_if": [rule], "approval": {"required": 3, "timeout": "30m"}},
            approval={"timeout": "1h", "approvers": TRADING},
            fallback=ApprovalSettings(
                approvers=frozenset({"person:bob"}), required=4, timeout=timedelta(hours=2)
            ),
        )
    )
    assert requirement == Requirement(
        stages=(Stage(approvers=frozenset({"group:trading"}), required=2),),
        timeout=timedelta(minutes=30),
    )


def test_what_no_place_says_is_taken_from_the_file() -> None:
    behind = ApprovalSettings(approvers=frozenset({"person:bob"}), timeout=timedelta(hours=2))
    assert asked(policy({"action": "require_approval"}, fallback=behind)) == Requirement(
        stages=(Stage(approvers=frozenset({"person:bob"})),), timeout=timedelta(hours=2)
    )


def test_several_approval_rules_ask_all_their_stages_within_the_shortest_timeout() -> None:
    verdict = judged(
        policy(
            {
                "require_approval_if": [
                    {
                        **ALWAYS,
                        "message": "Large.",
                        "approval": {"approvers": TRADING, "timeout": "1h"},
                    },
                    {**ALWAYS, "approval": {"approvers": ["person:bob"], "timeout": "5m"}},
                    {**ALWAYS, "message": "Late.", "approval": {"approvers": TRADING}},
                ]
            }
        )
    )
    assert verdict.requirement == Requirement(
        stages=(
            Stage(approvers=frozenset({"group:trading"})),
            Stage(approvers=frozenset({"person:bob"})),
        ),
        timeout=timedelta(minutes=5),
    )
    assert verdict.rule == "/tools/t/require_approval_if/0"
    assert verdict.message == "Large. Late."


def test_the_same_stage_asked_twice_is_one() -> None:
    rules = policy({"deny_if": [ASKS], "action": "require_approval"})
    assert asked(rules).stages == (Stage(),)


def test_an_agent_without_the_server_is_denied() -> None:
    assert not_bound("trader-bot", "backup") == Verdict(
        ruling=Ruling.DENY,
        rule="(not bound)",
        message="trader-bot has no server backup",
        policy_hash="",
        risk=UNKNOWN,
    )
