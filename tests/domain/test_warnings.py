"""What is legal in a policy and probably not meant."""

from __future__ import annotations

import pytest

from approvals.domain.policy.document import read_policy
from approvals.domain.policy.warnings import warnings_of
from approvals.domain.strictjson import Json
from tests.domain.policies import ALWAYS, ASKS


def of(tools: Json, **top: Json) -> list[str]:
    document: dict[str, Json] = {"version": "1", "default": "deny", "tools": tools, **top}
    return warnings_of(read_policy(document, source="test"))


def denying(*said: str) -> dict[str, Json]:
    return {"deny_if": [{"conditions": [], "on_deny": text} for text in said]}


def test_a_policy_that_means_what_it_says_has_no_warnings() -> None:
    assert of({"a": {"deny_if": [ASKS]}, "b": denying("Never."), "c": {}}, hide=["d"]) == []


@pytest.mark.parametrize(
    ("on_deny", "near"),
    [
        ("Needs approval", True),
        ("Must be approved by a person.", True),
        ("Requires human aproval.", True),
        ("Require human approval", True),
        ("Never.", False),
        ("", False),
        ("Above the desk limit.", False),
    ],
)
def test_a_wording_that_almost_asks_for_a_person_is_pointed_out(on_deny: str, near: bool) -> None:
    found = of({"a": denying("Never.", on_deny)})
    expected = (
        "/tools/a/deny_if/1/on_deny speaks of approval and only denies; write "
        '"Requires human approval." to ask a person'
    )
    assert found == ([expected] if near else [])


def test_a_wording_of_all_tools_is_pointed_out_once() -> None:
    (found,) = of({"a": {}, "b": {}}, all_tools=denying("Needs approval"))
    assert found.startswith("/all_tools/deny_if/0/on_deny ")


def test_the_reason_of_an_action_that_almost_asks_is_pointed_out_where_it_stands() -> None:
    (found,) = of({"a": {"action": "deny", "reason": "Needs approval"}})
    assert found.startswith("/tools/a/reason ")


@pytest.mark.parametrize(
    ("entry", "lost"),
    [
        ({}, "denials and approvals"),
        (denying("Never."), "approvals"),
        ({"action": "require_approval"}, "denials"),
        ({**denying("Never."), "require_approval_if": [ALWAYS]}, None),
    ],
)
def test_an_exact_entry_that_drops_what_a_glob_asks_for_is_pointed_out(
    entry: Json, lost: str | None
) -> None:
    wide: Json = {**denying("Never."), "require_approval_if": [ALWAYS]}
    found = of({"cancel_*": wide, "cancel_all": entry, "other": {}, "can*": {}})
    expected = (
        f"/tools/cancel_all stands before cancel_* and drops its {lost}; repeat the rules of the "
        "glob where they are meant to hold"
    )
    assert found == ([expected] if lost else [])


def test_rules_for_all_tools_do_not_silence_that_warning() -> None:
    everywhere: Json = {"deny_if": [{"conditions": [{"path": "tool", "op": "eq", "value": "x"}]}]}
    found = of({"cancel_*": denying("Never."), "cancel_all": {}}, all_tools=everywhere)
    assert [one.partition(" ")[0] for one in found] == ["/tools/cancel_all"]


def test_an_entry_that_is_hidden_is_pointed_out() -> None:
    assert of({"cancel_all": {}, "get": {}, "cancel_*": {}}, hide=["cancel_*"]) == [
        "/tools/cancel_all is hidden by `hide`, so what it says has no effect"
    ]


def test_a_requirement_that_always_holds_is_pointed_out() -> None:
    assert of({"a": {"require": [ALWAYS]}}) == [
        "/tools/a/require/0 has no conditions, so it holds always and requires nothing"
    ]


@pytest.mark.parametrize(
    ("pattern", "whole"),
    [
        ("^BTC$", True),
        (r"\ABTC\z", True),
        ("BTC", False),
        ("^BTC", False),
        ("BTC$", False),
    ],
)
def test_a_required_expression_that_matches_anywhere_is_pointed_out(
    pattern: str, whole: bool
) -> None:
    regex: Json = {"path": "args.x", "op": "regex", "value": pattern}
    other: Json = {"path": "args.y", "op": "eq", "value": "BTC"}
    found = of({"a": {"require": [{"conditions": [other, regex]}]}})
    expected = (
        "/tools/a/require/0/conditions/1 requires a match anywhere in the text; put ^ and $ around "
        "the expression to require it of the whole"
    )
    assert found == ([] if whole else [expected])


def test_an_escalation_that_a_nearer_timeout_forestalls_is_pointed_out() -> None:
    escalate: Json = {"after": "10m", "approvers": ["everyone"]}
    rules: Json = [{**ALWAYS, "approval": {"timeout": "10m"}}, {**ALWAYS}]
    tools: Json = {"a": {"require_approval_if": rules}}
    assert of(tools, approval={"escalate": escalate}) == [
        "/tools/a/require_approval_if/0 is denied by its timeout before it would be escalated"
    ]


def test_a_call_that_asks_with_a_value_that_is_hidden_cannot_be_approved_yet() -> None:
    assert of({"t": {"redact": ["args.note"], "require_approval_if": [ALWAYS]}}) == [
        "/tools/t/redact: a call with args.note can be denied, and in this version not approved"
    ]
