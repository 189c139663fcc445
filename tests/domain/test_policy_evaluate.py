"""Judging a call: hidden, denied, limited, needs a person, or allowed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from approvals.domain.policy.document import ask_policy
from approvals.domain.policy.evaluate import not_bound
from approvals.domain.policy.model import Ruling, Verdict
from approvals.domain.policy.paths import Path, Root
from approvals.domain.policy.settings import ApprovalSettings
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.risk import UNKNOWN, Category, risk_of
from approvals.domain.strictjson import Json
from tests.domain.builders import call, defined
from tests.domain.policies import ALWAYS, ASKS, asked, judged, policy

TRADING: Json = ["group:trading"]
LARGE: Json = [{"path": "args.quantity", "op": "gt", "value": 5}]


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
        assert judged(policy({}), tool=name).rule == "(default deny)"


def test_a_denial_names_its_rule_and_its_message() -> None:
    verdict = judged(policy({"deny_if": [{**ALWAYS, "on_deny": "Never."}]}))
    assert (verdict.ruling, verdict.rule, verdict.message) == (
        Ruling.DENY,
        "/tools/t/deny_if/0",
        "Never.",
    )


def test_a_rule_that_does_not_match_says_nothing() -> None:
    rules = policy(
        {
            "deny_if": [{"conditions": LARGE, "on_deny": "Never."}],
            "require_approval_if": [{"conditions": LARGE}],
            "require": [{"conditions": [{"path": "args.quantity", "op": "gt", "value": 0}]}],
        }
    )
    verdict = judged(rules, {"quantity": 5})
    assert (verdict.ruling, verdict.rule, verdict.doubts) == (Ruling.ALLOW, "/tools/t", ())


def test_a_requirement_that_fails_denies_and_the_audit_is_told_why() -> None:
    verdict = judged(
        policy({"require": [{"conditions": LARGE, "on_deny": "Too small."}]}), {"quantity": 1}
    )
    assert (verdict.ruling, verdict.rule, verdict.message) == (
        Ruling.DENY,
        "/tools/t/require/0",
        "Too small.",
    )
    assert verdict.doubts == ("args.quantity gt does not hold",)


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


def test_every_verdict_carries_the_policy_the_risk_the_summary_and_what_is_hidden() -> None:
    rules = policy(
        {
            "action": "deny",
            "risk": {"category": "Read"},
            "summary": "Look at {x}",
            "redact": ["args.x"],
        }
    )
    verdict = judged(rules)
    assert verdict.policy_hash == rules.hash
    assert verdict.risk == risk_of(Category.READ)
    assert verdict.summary == "Look at {x}"
    assert verdict.redact == (Path(text="args.x", root=Root.ARGS, steps=("x",)),)
    assert judged(policy()).risk == UNKNOWN
    assert judged(policy({})).risk == UNKNOWN


def test_the_risk_is_the_policys_else_what_is_known_of_the_tool() -> None:
    definition = defined()
    verdict = judged(policy({}), definition=definition)
    assert verdict.risk == definition.classified.risk
    assert judged(policy(default="allow"), tool="withdraw_funds").risk == risk_of(
        Category.FINANCIAL
    )


def test_a_hidden_tool_is_hidden_before_anything_else_also_from_the_built_in_policy() -> None:
    verdict = judged(policy({"action": "allow"}, default="allow", hide=["t"]))
    assert (verdict.ruling, verdict.rule) == (Ruling.HIDE, "(hidden)")
    assert verdict.message == "the tool is not listed in it"


def test_one_of_several_patterns_suffices_to_hide() -> None:
    rules = policy(hide=["x", "withdraw_*"])
    assert rules.hides("withdraw_all")
    assert not rules.hides("t")
    assert policy(hide=["*"]).hides("anything")


def test_rules_for_all_tools_hold_for_listed_and_by_default_allowed_ones() -> None:
    never: Json = {"deny_if": [{**ALWAYS, "on_deny": "Never."}]}
    rules = policy(None, default="allow", all_tools=never, tools={"t": {}, "a*": {}})
    for tool in ("t", "ab", "unlisted"):
        assert judged(rules, tool=tool).rule == "/all_tools/deny_if/0"
    assert judged(policy(all_tools=never)).rule == "(default deny)"


def test_every_kind_of_rule_can_be_said_for_all_tools() -> None:
    everywhere: dict[str, Json] = {
        "require": [{"conditions": LARGE}],
        "deny_if": [{"conditions": [{"path": "args.quantity", "op": "gt", "value": 100}]}],
        "require_approval_if": [
            {"conditions": [{"path": "args.quantity", "op": "gt", "value": 9}]}
        ],
        "limits": [{"counter": "c", "window": "hour", "max": 5, "scope": "agent"}],
        "rate_limit": {"max": 10, "window": 60},
    }
    rules = policy({}, all_tools=everywhere)
    assert judged(rules, {"quantity": 1}).rule == "/all_tools/require/0"
    assert judged(rules, {"quantity": 101}).rule == "/all_tools/deny_if/0"
    assert judged(rules, {"quantity": 10}).rule == "/all_tools/require_approval_if/0"
    charged = judged(rules, {"quantity": 6}).charges
    assert [charge.pointer for charge in charged] == [
        "/all_tools/limits/0",
        "/all_tools/rate_limit",
    ]


def test_a_call_without_the_justification_that_is_wanted_is_denied() -> None:
    rules = policy({"justification": "required", "require_approval_if": [ALWAYS]})
    verdict = judged(rules)
    assert (verdict.ruling, verdict.rule) == (Ruling.DENY, "/tools/t/justification")
    assert verdict.message == "this tool is called with a justification"
    assert verdict.wants_justification
    assert judged(rules, justification="").ruling is Ruling.DENY
    given = judged(rules, justification="It is stale.")
    assert given.ruling is Ruling.REQUIRE_APPROVAL
    assert not given.wants_justification


@pytest.mark.parametrize(
    ("tool", "ruling"),
    [
        ("get_price", Ruling.ALLOW),
        ("update_settings", Ruling.REQUIRE_APPROVAL),
        ("delete_everything", Ruling.REQUIRE_APPROVAL),
        ("place_order", Ruling.REQUIRE_APPROVAL),
        ("frobnicate", Ruling.REQUIRE_APPROVAL),
    ],
)
def test_the_built_in_policy_lets_run_what_only_reads(tool: str, ruling: Ruling) -> None:
    rules = ask_policy(ApprovalSettings(required=2))
    verdict = judged(rules, tool=tool)
    assert (verdict.ruling, verdict.rule, verdict.message) == (ruling, "(ask)", "")
    wanted = Requirement(stages=(Stage(required=2),))
    assert verdict.requirement == (wanted if ruling is Ruling.REQUIRE_APPROVAL else None)


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
                    {"conditions": [{"path": "tool", "op": "eq", "value": "x"}], "message": "No."},
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


def test_a_parked_call_is_charged_too() -> None:
    rules = policy({"action": "require_approval", "rate_limit": {"max": 1, "window": 60}})
    assert [charge.pointer for charge in judged(rules).charges] == ["/tools/t/rate_limit"]


def test_an_agent_without_the_server_is_denied() -> None:
    assert not_bound("trader-bot", "backup") == Verdict(
        ruling=Ruling.DENY,
        rule="(not bound)",
        message="trader-bot has no server backup",
        policy_hash="",
        risk=UNKNOWN,
    )


def test_two_calls_of_one_text_are_judged_alike_whatever_the_order_of_their_arguments() -> None:
    rules = policy({"deny_if": [{"conditions": LARGE}]})
    one, other = call({"a": 1, "quantity": 9}), call({"quantity": 9, "a": 1})
    assert one.arguments == other.arguments
    assert judged(rules, {"a": 1, "quantity": 9}) == judged(rules, {"quantity": 9, "a": 1})


@pytest.mark.parametrize(("key", "op"), [("deny_if", "gte"), ("require", "lt")])
def test_a_denial_by_a_rule_on_the_time_says_so(key: str, op: str) -> None:
    closed: Json = [{"path": "time.hour", "op": op, "value": 0}]
    verdict = judged(policy({key: [{"conditions": closed}]}))
    assert (verdict.ruling, verdict.timely) == (Ruling.DENY, True)
