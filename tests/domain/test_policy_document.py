"""Reading a policy: the published ones unchanged, and every problem of a bad one at its place."""

from __future__ import annotations

from datetime import timedelta

import pytest

from approvals.domain.policy.document import asks_for_approval, near_misses, read_policy
from approvals.domain.policy.model import ApprovalSettings, Policy, Rule, Ruling, ToolPolicy
from approvals.domain.policy.reading import Place, Problems
from approvals.domain.risk import UNKNOWN, Category, Level, risk_of
from approvals.domain.strictjson import Json, parse
from approvals.errors import ConfigurationInvalid


def policy(text: str, *, fallback: ApprovalSettings | None = None) -> Policy:
    return read_policy(parse(text.encode()), source="policy.json", fallback=fallback)


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigurationInvalid) as refused:
        policy(text)
    assert refused.value.source == "policy.json"
    return refused.value.problems


def pointers(text: str) -> list[str]:
    return [problem.partition(": ")[0] for problem in problems(text)]


def tool(entry: str) -> ToolPolicy:
    read = policy(f'{{"version": "1", "default": "deny", "tools": {{"t": {entry}}}}}')
    return read.tools["t"]


@pytest.mark.parametrize(
    "name", ["binance_us_cancel_order", "binance_us_cust_cancel_orders_symbol"]
)
def test_the_published_policies_that_ask_a_person_are_read_so(name: str) -> None:
    read = policy(
        f"""
        {{ "version": "1", "default": "deny",
          "tools": {{ "{name}": {{ "deny_if": [ {{ "conditions": [],
            "on_deny": "Requires human approval." }} ] }} }} }}
        """
    )
    assert read.default is Ruling.DENY
    assert read.tools == {
        name: ToolPolicy(
            pointer=f"/tools/{name}",
            require_approval_if=(Rule(pointer=f"/tools/{name}/deny_if/0", message=""),),
        )
    }


@pytest.mark.parametrize(
    "name", ["binance_us_cust_cancel_order", "cancel_order", "BinanceSpotCancelOpenTWAPOrder"]
)
def test_the_published_policies_that_hide_a_tool_are_read_so(name: str) -> None:
    read = policy(f'{{ "version": "1", "default": "deny", "hide": [ "{name}" ] }}')
    assert (read.default, read.hide, read.tools) == (Ruling.DENY, (name,), {})


def test_a_policy_keeps_its_settings_and_those_behind_it() -> None:
    behind = ApprovalSettings(required=3)
    read = policy(
        '{"version": "1", "default": "allow", "approval": {"approvers": ["everyone"]}}',
        fallback=behind,
    )
    assert read.default is Ruling.ALLOW
    assert read.approval == ApprovalSettings(approvers=frozenset({"everyone"}))
    assert read.fallback is behind


def test_the_hash_is_of_the_meaning_and_not_of_the_spelling() -> None:
    one = policy('{"version": "1", "default": "deny", "tools": {}}')
    same = policy('{ "tools":{}, "default" : "deny","version":"1" }')
    other = policy('{"version": "1", "default": "allow", "tools": {}}')
    assert one.hash == same.hash
    assert one.hash != other.hash


def test_every_key_of_a_tool_is_read() -> None:
    read = tool(
        """
        {"deny_if": [{"conditions": [], "on_deny": "Never."}],
         "require_approval_if": [{"conditions": [], "message": "Large.",
           "approval": {"approvers": ["group:trading", "person:bob"], "required": 2,
                        "timeout": "30m"}}],
         "approval": {"timeout": "1h"},
         "summary": "Sell {symbol}",
         "risk": {"level": "low", "category": "Financial", "why": "small."}}
        """
    )
    assert read == ToolPolicy(
        pointer="/tools/t",
        deny_if=(Rule(pointer="/tools/t/deny_if/0", message="Never."),),
        require_approval_if=(
            Rule(
                pointer="/tools/t/require_approval_if/0",
                message="Large.",
                approval=ApprovalSettings(
                    approvers=frozenset({"group:trading", "person:bob"}),
                    required=2,
                    timeout=timedelta(minutes=30),
                ),
            ),
        ),
        approval=ApprovalSettings(timeout=timedelta(hours=1)),
        summary="Sell {symbol}",
        risk=risk_of(Category.FINANCIAL, level=Level.LOW, why="small."),
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
        ('{"action": "require_approval"}', (), (Rule(pointer="/tools/t/action", message=""),)),
    ],
)
def test_the_short_form_action_is_read(
    action: str, denials: tuple[Rule, ...], approvals: tuple[Rule, ...]
) -> None:
    read = tool(action)
    assert (read.deny_if, read.require_approval_if) == (denials, approvals)


def test_approval_rules_come_in_the_order_published_own_action() -> None:
    read = tool(
        '{"action": "require_approval", "require_approval_if": [{"conditions": []}], '
        '"deny_if": [{"conditions": [], "on_deny": "requires human approval"}]}'
    )
    assert [rule.pointer for rule in read.require_approval_if] == [
        "/tools/t/deny_if/0",
        "/tools/t/require_approval_if/0",
        "/tools/t/action",
    ]


@pytest.mark.parametrize(
    ("risk", "meant"),
    [
        ("{}", UNKNOWN),
        ('{"category": "Read"}', risk_of(Category.READ)),
        ('{"level": "critical"}', risk_of(Category.EXECUTE, level=Level.CRITICAL)),
        ('{"why": "x"}', risk_of(Category.EXECUTE, why="x")),
    ],
)
def test_what_a_risk_leaves_out_is_taken_from_our_table(risk: str, meant: object) -> None:
    assert tool(f'{{"risk": {risk}}}').risk == meant


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
    assert tool(f'{{"approval": {{"timeout": "{timeout}"}}}}').approval.timeout == meant


@pytest.mark.parametrize(
    ("on_deny", "asks"),
    [
        ("Requires human approval.", True),
        ("requires human approval", True),
        ("  REQUIRES   Human\tapproval . ", True),
        ("Requires approval.", False),
        ("Requires human approval!", False),
        ("Never requires human approval.", False),
        ("", False),
    ],
)
def test_only_the_published_wording_asks_for_a_person(on_deny: str, asks: bool) -> None:
    assert asks_for_approval(on_deny) is asks


# Where a document is wrong, and the JSON pointers that say so. `T` stands for a good beginning.
HEAD = '"version": "1", "default": "deny"'
MALFORMED = {
    "[]": [
        "(the document)",
        "/version",
        "/default",
    ],
    "null": ["(the document)", "/version", "/default"],
    "{}": ["/version", "/default"],
    '{"version": "1"}': ["/default"],
    '{"default": "deny"}': ["/version"],
    '{"version": 1, "default": "deny"}': ["/version"],
    '{"version": "2", "default": "deny"}': ["/version"],
    '{"version": "1", "default": "hide"}': ["/default"],
    '{"version": "1", "default": "require_approval"}': ["/default"],
    '{"version": "1", "default": true}': ["/default"],
    '{"version": "1", "default": ["deny"]}': ["/default"],
    '{T, "default_": 1}': ["/default_"],
    '{T, "a/b~c": 1}': ["/a~1b~0c"],
    '{T, "a\\u202eb": 1}': [r"/a\u202eb"],
    '{T, "hide": "withdraw_*"}': ["/hide"],
    '{T, "hide": {"a": 1}}': ["/hide"],
    '{T, "hide": ["a", 1, null]}': ["/hide/1", "/hide/2"],
    '{T, "tools": []}': ["/tools"],
    '{T, "tools": {"a": null}}': ["/tools/a"],
    '{T, "tools": {"a": "allow"}}': ["/tools/a"],
    '{T, "tools": {"withdraw_*": {}}}': ["/tools/withdraw_*"],
    '{T, "tools": {"a/b": {"denyif": []}}}': ["/tools/a~1b/denyif"],
    '{T, "tools": {"a": {"deny_if": {}}}}': ["/tools/a/deny_if"],
    '{T, "tools": {"a": {"deny_if": [1]}}}': [
        "/tools/a/deny_if/0",
        "/tools/a/deny_if/0/conditions",
    ],
    '{T, "tools": {"a": {"deny_if": [{"on_deny": "No."}]}}}': ["/tools/a/deny_if/0/conditions"],
    '{T, "tools": {"a": {"deny_if": [{"conditions": [], "on_deny": 5}]}}}': [
        "/tools/a/deny_if/0/on_deny"
    ],
    '{T, "tools": {"a": {"deny_if": [{"conditions": {}, "on_deny": "No."}]}}}': [
        "/tools/a/deny_if/0/conditions"
    ],
    '{T, "tools": {"a": {"deny_if": [{"conditions": [{"path": "args.x"}]}]}}}': [
        "/tools/a/deny_if/0/conditions"
    ],
    '{T, "tools": {"a": {"deny_if": [{"conditions": [], "message": "No."}]}}}': [
        "/tools/a/deny_if/0/message"
    ],
    '{T, "tools": {"a": {"require_approval_if": true}}}': ["/tools/a/require_approval_if"],
    '{T, "tools": {"a": {"require_approval_if": [{}]}}}': [
        "/tools/a/require_approval_if/0/conditions"
    ],
    '{T, "tools": {"a": {"require_approval_if": [{"conditions": [], "on_deny": "No."}]}}}': [
        "/tools/a/require_approval_if/0/on_deny"
    ],
    '{T, "tools": {"a": {"require_approval_if": [{"conditions": [], "message": []}]}}}': [
        "/tools/a/require_approval_if/0/message"
    ],
    '{T, "tools": {"a": {"action": "ask"}}}': ["/tools/a/action"],
    '{T, "tools": {"a": {"action": "hide"}}}': ["/tools/a/action"],
    '{T, "tools": {"a": {"action": null}}}': ["/tools/a/action"],
    '{T, "tools": {"a": {"reason": "Because."}}}': ["/tools/a/reason"],
    '{T, "tools": {"a": {"action": "deny", "reason": 1}}}': ["/tools/a/reason"],
    '{T, "tools": {"a": {"summary": 1}}}': ["/tools/a/summary"],
    '{T, "tools": {"a": {"risk": "high"}}}': ["/tools/a/risk"],
    '{T, "tools": {"a": {"risk": {"level": "severe"}}}}': ["/tools/a/risk/level"],
    '{T, "tools": {"a": {"risk": {"category": "read"}}}}': ["/tools/a/risk/category"],
    '{T, "tools": {"a": {"risk": {"why": 1, "who": 2}}}}': [
        "/tools/a/risk/who",
        "/tools/a/risk/why",
    ],
    '{T, "approval": "trading"}': ["/approval"],
    '{T, "approval": {"quorum": 2}}': ["/approval/quorum"],
    '{T, "approval": {"required": 0}}': ["/approval/required"],
    '{T, "approval": {"required": -1}}': ["/approval/required"],
    '{T, "approval": {"required": true}}': ["/approval/required"],
    '{T, "approval": {"required": 1.0}}': ["/approval/required"],
    '{T, "approval": {"required": "1"}}': ["/approval/required"],
    '{T, "approval": {"timeout": 900}}': ["/approval/timeout"],
    '{T, "approval": {"timeout": "0s"}}': ["/approval/timeout"],
    '{T, "approval": {"timeout": "15 m"}}': ["/approval/timeout"],
    '{T, "approval": {"timeout": "15m\\n"}}': ["/approval/timeout"],
    '{T, "approval": {"timeout": "1.5h"}}': ["/approval/timeout"],
    '{T, "approval": {"timeout": "8d"}}': ["/approval/timeout"],
    '{T, "approval": {"timeout": "9999999d"}}': ["/approval/timeout"],
    '{T, "approval": {"approvers": []}}': ["/approval/approvers"],
    '{T, "approval": {"approvers": ["alice"]}}': ["/approval/approvers/0"],
    '{T, "approval": {"approvers": ["person:"]}}': ["/approval/approvers/0"],
    '{T, "approval": {"approvers": ["everyone", "role:admin"]}}': ["/approval/approvers/1"],
    '{T, "approval": {"approvers": ["everyone", 5]}}': ["/approval/approvers/1"],
    '{T, "tools": {"a": {"approval": {"timeout": "x", "required": 0, "approvers": ["x"]}}}}': [
        "/tools/a/approval/approvers/0",
        "/tools/a/approval/required",
        "/tools/a/approval/timeout",
    ],
    '{T, "tools": {"a": {"require_approval_if": [{"conditions": [], "approval": []}]}}}': [
        "/tools/a/require_approval_if/0/approval"
    ],
}


@pytest.mark.parametrize(("text", "places"), MALFORMED.items(), ids=MALFORMED)
def test_a_malformed_document_is_refused_and_every_wrong_place_is_named(
    text: str, places: list[str]
) -> None:
    assert pointers(text.replace("T", HEAD, 1) if text.startswith("{T") else text) == places


def test_all_problems_are_named_at_once_in_one_message() -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        policy('{"version": "1", "default": "no", "hide": [1], "tools": {"a": {"x": 1}}}')
    assert str(refused.value).splitlines() == [
        "policy.json does not load:",
        (
            "  /tools/a/x: is not a key that is known here (deny_if, require_approval_if, action, "
            "reason, approval, summary, risk)"
        ),
        "  /default: must be one of allow, deny",
        "  /hide/0: must be a text",
    ]


def test_a_wording_that_almost_asks_for_a_person_is_pointed_out() -> None:
    document: dict[str, Json] = {
        "tools": {
            "a": {"deny_if": [{"on_deny": "Needs approval"}, {"on_deny": 5}]},
            "b": {"deny_if": [{"on_deny": "Requires human APPROVAL."}, {"on_deny": "Never."}]},
            "c": {"deny_if": [{}, {"on_deny": "Must be approved by a person."}]},
            "d": {},
        }
    }
    assert near_misses(document) == ["/tools/a/deny_if/0/on_deny", "/tools/c/deny_if/1/on_deny"]
    assert near_misses({}) == []


def test_a_tool_without_a_name_is_refused() -> None:
    document = '{"version": "1", "default": "deny", "tools": {"": {}}}'
    assert problems(document) == ("/tools/: is no tool name",)


@pytest.mark.parametrize("summary", ["Pay {amount", "Pay amount}", "Pay {a b}", "Pay {}"])
def test_a_summary_with_a_brace_that_names_no_argument_is_refused(summary: str) -> None:
    document = (
        f'{{"version": "1", "default": "deny", "tools": {{"t": {{"summary": "{summary}"}}}}}}'
    )
    assert problems(document) == ("/tools/t/summary: has a brace that belongs to no {argument}",)


def test_a_problem_that_is_met_twice_is_said_once() -> None:
    twice = Problems()
    place = Place(7, "/groups/x", twice)
    assert place.items() == place.items() == []
    assert [str(problem) for problem in twice.found] == ["/groups/x: must be a list"]
