"""Policies that do not load: every problem is named at once, each at its place."""

from __future__ import annotations

import pytest

from approvals.domain.policy.document import NO_SETTINGS, policy_at, read_policy
from approvals.domain.policy.reading import Place, Problems
from approvals.domain.strictjson import parse
from approvals.errors import ConfigurationInvalid
from tests.domain.policies import HEAD, document, pointers, problems

# Where a document is wrong, and the JSON pointers that say so. `T` stands for a good beginning.
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
        "/tools/a/deny_if/0/conditions/0/op",
        "/tools/a/deny_if/0/conditions/0/value",
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
        "/tools/a/approval/timeout",
        "/tools/a/approval/approvers/0",
        "/tools/a/approval/required",
    ],
    '{T, "tools": {"a": {"require_approval_if": [{"conditions": [], "approval": []}]}}}': [
        "/tools/a/require_approval_if/0/approval"
    ],
    '{T, "hide": ["a", ""]}': ["/hide/1"],
    '{T, "tools": {"a_*": {}, "*_b": {}}}': ["/tools/a_*"],
    '{T, "tools": {"a*": {}, "*a": {}, "b*": {}}}': ["/tools/a*", "/tools/b*"],
    '{T, "tools": {"a": {"justification": "optional"}}}': ["/tools/a/justification"],
    '{T, "tools": {"a": {"justification": true}}}': ["/tools/a/justification"],
    '{T, "tools": {"a": {"redact": "args.x"}}}': ["/tools/a/redact"],
    '{T, "tools": {"a": {"redact": ["args.x", "x", 5, "tool", ""]}}}': [
        "/tools/a/redact/1",
        "/tools/a/redact/2",
        "/tools/a/redact/3",
        "/tools/a/redact/4",
    ],
    '{T, "tools": {"a": {"require": [{"on_deny": "No."}]}}}': ["/tools/a/require/0/conditions"],
    '{T, "tools": {"a": {"require": [{"conditions": [], "message": "x"}]}}}': [
        "/tools/a/require/0/message"
    ],
    '{T, "all_tools": []}': ["/all_tools"],
    '{T, "all_tools": {"summary": "x", "action": "deny"}}': [
        "/all_tools/summary",
        "/all_tools/action",
    ],
    '{T, "all_tools": {"deny_if": [{}]}}': ["/all_tools/deny_if/0/conditions"],
}


@pytest.mark.parametrize(("text", "places"), MALFORMED.items(), ids=MALFORMED)
def test_a_malformed_document_is_refused_and_every_wrong_place_is_named(
    text: str, places: list[str]
) -> None:
    whole = text.replace("T", HEAD, 1) if text.startswith("{T") else text
    assert list(dict.fromkeys(pointers(parse(whole.encode())))) == places


def test_all_problems_are_named_at_once_in_one_message() -> None:
    wrong = parse(b'{"version": "1", "default": "no", "hide": [1], "tools": {"a": {"rsk": 1}}}')
    with pytest.raises(ConfigurationInvalid) as refused:
        read_policy(wrong, source="policy.json")
    assert refused.value.source == "policy.json"
    assert str(refused.value).splitlines() == [
        "policy.json does not load:",
        "  /default: must be one of allow, deny",
        "  /hide/0: must be a text",
        (
            "  /tools/a/rsk: is not a key that is known here (require, deny_if, "
            "require_approval_if, limits, rate_limit, action, reason, approval, summary, redact, "
            "risk, justification); did you mean risk?"
        ),
    ]


def test_a_key_that_resembles_none_gets_no_proposal() -> None:
    (problem,) = problems(document({"zzz": 1}))
    assert problem.endswith("justification)")


def test_a_tool_without_a_name_is_refused() -> None:
    assert problems(document(None, tools={"": {}})) == ("/tools/: is no tool name",)


@pytest.mark.parametrize("summary", ["Pay {amount", "Pay amount}", "Pay {a b}", "Pay {}"])
def test_a_summary_with_a_brace_that_names_no_argument_is_refused(summary: str) -> None:
    assert problems(document({"summary": summary})) == (
        "/tools/t/summary: has a brace that belongs to no {argument}",
    )


def test_two_globs_of_one_length_that_fit_one_name_are_refused_and_named() -> None:
    assert problems(document(None, tools={"get_*": {}, "*_get": {}})) == (
        "/tools/get_*: fits the same names as *_get, which is as long; make one of them longer",
    )


def test_a_problem_that_is_met_twice_is_said_once() -> None:
    twice = Problems()
    place = Place(7, "/groups/x", twice)
    assert place.items() == place.items() == []
    assert [str(problem) for problem in twice.found] == ["/groups/x: must be a list"]


def test_what_is_missing_and_needed_says_what_it_is_for() -> None:
    found = Problems()
    assert not Place({}, "/a", found).needs("b", "the second letter").exists
    assert not Place([], "/c", found).needs("d", "a letter").exists  # said elsewhere: no object
    assert [str(problem) for problem in found.found] == ["/a/b: is missing: the second letter"]


def test_a_policy_inside_another_file_points_into_itself_and_its_problems_into_the_file() -> None:
    inside = document({"deny_if": [{"conditions": []}]})
    for wrong, places in ((None, []), (1, ["/servers/a~1b/policy/zzz"])):
        found = Problems()
        whole = Place(
            {"a/b": {"policy": {**inside, **({"zzz": wrong} if wrong else {})}}}, "/servers", found
        )
        place = whole.child("a/b").child("policy").as_document()
        rules = policy_at(place, name="a/b", fallback=NO_SETTINGS)
        assert rules.tools["t"].deny_if[0].pointer == "/tools/t/deny_if/0"
        assert [problem.pointer for problem in found.found] == places


def test_an_empty_entry_is_told_how_to_allow_the_tool() -> None:
    assert problems({"version": "1", "default": "deny", "tools": {"t": None}}) == (
        "/tools/t: is empty; write {} to allow the tool",
    )
