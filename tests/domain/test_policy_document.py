"""Reading a policy: what each key of a document means."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from approvals.domain.digest import sha256
from approvals.domain.limits import Limit, Scope, scaled
from approvals.domain.policy.conditions import Condition, Op
from approvals.domain.policy.document import ask_policy, read_policy
from approvals.domain.policy.model import AskingRule, Rule, ToolPolicy
from approvals.domain.policy.paths import Path, Root
from approvals.domain.policy.settings import ApprovalSettings
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.risk import Category, Level, RiskOverride, risk_of
from approvals.domain.strictjson import Json, Number, parse
from tests.domain.policies import ASKS, HEAD, policy, read

KNOWN = risk_of(Category.WRITE)
READS = risk_of(Category.READ, level=Level.HIGH, why="x")


def tool(entry: str) -> ToolPolicy:
    return read(f'{{{HEAD}, "tools": {{"t": {entry}}}}}').tools["t"]


def large(value: Json, op: Op = Op.GT) -> tuple[Condition, ...]:
    path = Path(text="args.quantity", root=Root.ARGS, steps=("quantity",))
    return (Condition(path=path, op=op, value=value),)


def test_the_settings_of_policy_and_file_reach_every_rule_that_asks() -> None:
    behind = ApprovalSettings(required=3)
    rules = read(
        f'{{{HEAD}, "approval": {{"approvers": ["group:trading"]}}, '
        '"tools": {"t": {"action": "require_approval"}}}',
        fallback=behind,
    )
    (rule,) = rules.tools["t"].require_approval_if
    assert rule.requirement == Requirement(
        stages=(Stage(approvers=frozenset({"group:trading"}), required=3),)
    )


def test_the_hash_is_of_the_meaning_and_not_of_the_spelling() -> None:
    one = read('{"version": "1", "default": "deny", "tools": {}}')
    same = read('{ "tools":{}, "default" : "deny","version":"1" }')
    other = read('{"version": "1", "default": "allow", "tools": {}}')
    assert one.hash == same.hash
    assert one.hash != other.hash


def test_every_key_of_a_tool_is_read() -> None:
    entry = tool(
        """
        {"require": [{"conditions": [{"path": "args.quantity", "op": "gt", "value": 0}],
                      "on_deny": "Nothing."}],
         "deny_if": [{"conditions": [{"path": "args.quantity", "op": "gt", "value": 5}],
                      "on_deny": "Never."}],
         "require_approval_if": [{"conditions": [{"path": "args.quantity", "op": "gt",
                                                  "value": 0.5}],
           "message": "Large.",
           "approval": {"approvers": ["group:trading", "person:bob"], "required": 2,
                        "timeout": "30m"}}],
         "limits": [{"counter": "orders", "window": "hour", "max": 20, "scope": "agent"}],
         "rate_limit": {"max": 10, "window": 60},
         "approval": {"timeout": "1h"},
         "summary": "Sell {symbol}",
         "redact": ["args.api_secret"],
         "justification": "required",
         "risk": {"level": "low", "category": "Financial", "why": "small."}}
        """
    )
    assert entry == ToolPolicy(
        pointer="/tools/t",
        require=(Rule(pointer="/tools/t/require/0", message="Nothing.", conditions=large(0)),),
        deny_if=(Rule(pointer="/tools/t/deny_if/0", message="Never.", conditions=large(5)),),
        require_approval_if=(
            AskingRule(
                pointer="/tools/t/require_approval_if/0",
                message="Large.",
                conditions=large(Number("0.5")),
                requirement=Requirement(
                    stages=(
                        Stage(approvers=frozenset({"group:trading", "person:bob"}), required=2),
                    ),
                    timeout=timedelta(minutes=30),
                ),
            ),
        ),
        limits=(
            Limit(
                pointer="/tools/t/limits/0",
                counter="orders",
                window=timedelta(hours=1),
                max_=scaled(20),
                scope=Scope.AGENT,
            ),
            Limit(
                pointer="/tools/t/rate_limit",
                counter="rate_limit t",
                window=timedelta(minutes=1),
                max_=scaled(10),
                scope=Scope.GRANT,
            ),
        ),
        summary="Sell {symbol}",
        redact=(Path(text="args.api_secret", root=Root.ARGS, steps=("api_secret",)),),
        risk=RiskOverride(level=Level.LOW, category=Category.FINANCIAL, why="small."),
        justification=True,
    )


def test_an_empty_tool_has_no_rules() -> None:
    assert tool("{}") == ToolPolicy(pointer="/tools/t")


@pytest.mark.parametrize(
    ("action", "denials", "approvals"),
    [
        ('{"action": "allow"}', (), ()),
        ('{"action": "allow", "reason": "Harmless."}', (), ()),
        (
            '{"action": "deny", "reason": "Never."}',
            (Rule(pointer="/tools/t/action", message="Never."),),
            (),
        ),
        (
            '{"action": "require_approval"}',
            (),
            (AskingRule(pointer="/tools/t/action", message="", requirement=Requirement()),),
        ),
    ],
)
def test_the_short_form_action_is_read(
    action: str, denials: tuple[Rule, ...], approvals: tuple[Rule, ...]
) -> None:
    entry = tool(action)
    assert (entry.deny_if, entry.require_approval_if) == (denials, approvals)


def test_approval_rules_come_in_the_order_published_own_action_and_those_of_all_tools() -> None:
    rules = policy(
        {
            "action": "require_approval",
            "require_approval_if": [{"conditions": []}],
            "deny_if": [{"conditions": [], "on_deny": "requires human approval"}],
        },
        all_tools={"deny_if": [ASKS]},
    )
    assert [rule.pointer for rule in rules.tools["t"].require_approval_if] == [
        "/tools/t/deny_if/0",
        "/tools/t/require_approval_if/0",
        "/tools/t/action",
        "/all_tools/deny_if/0",
    ]


def test_the_published_wording_as_a_message_says_nothing_more() -> None:
    entry = tool(
        '{"require_approval_if": [{"conditions": [], "message": "Requires human approval."}]}'
    )
    assert entry.require_approval_if[0].message == ""


@pytest.mark.parametrize(
    ("risk", "meant"),
    [
        ("{}", KNOWN),
        ('{"category": "Read"}', risk_of(Category.READ)),
        ('{"level": "critical"}', replace(KNOWN, level=Level.CRITICAL)),
        ('{"why": "x"}', replace(KNOWN, why="x")),
        ('{"category": "Read", "level": "high", "why": "x"}', READS),
    ],
)
def test_what_a_risk_leaves_out_is_left_as_it_is_known(risk: str, meant: object) -> None:
    assert tool(f'{{"risk": {risk}}}').risk.over(KNOWN) == meant


@pytest.mark.parametrize(
    ("timeout", "meant"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("168h", timedelta(days=7)),
        ("7d", timedelta(days=7)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(timeout: str, meant: timedelta) -> None:
    entry = tool(f'{{"action": "require_approval", "approval": {{"timeout": "{timeout}"}}}}')
    assert entry.require_approval_if[0].requirement.timeout == meant


def test_a_policy_that_names_no_all_tools_asks_nothing_of_unlisted_ones() -> None:
    assert policy().unlisted == ToolPolicy(pointer="(default allow)")


def test_whom_a_policy_asks_counts_only_rules_that_can_be_reached() -> None:
    asking: Json = {"deny_if": [ASKS]}
    assert policy({"action": "require_approval"}).requirements == (Requirement(),)
    assert policy(default="allow", all_tools=asking).requirements == (Requirement(),)
    assert policy(all_tools=asking).requirements == ()
    assert ask_policy().requirements == (Requirement(),)


def test_the_built_in_policy_asks_as_approvals_yaml_says() -> None:
    settings = ApprovalSettings(required=2, remind_at=(Decimal("0.1"),))
    built_in = ask_policy(settings)
    assert built_in.ask == settings.requirement()
    assert ask_policy().ask == Requirement()
    assert (built_in.name, built_in.hash) == ("(ask)", sha256("(ask)"))


def test_a_policy_knows_the_name_it_was_read_under() -> None:
    document = parse(f"{{{HEAD}}}".encode())
    assert read_policy(document, source="policies/exchange.json").name == "policies/exchange.json"
