"""Judge a call: hidden, denied, needs a person, or allowed. A denial beats an approval."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from approvals.domain.policy.model import Policy, Rule, Ruling, ToolPolicy, Verdict
from approvals.domain.risk import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.domain.call import Call
    from approvals.domain.quorum import Requirement

HIDDEN = "(hidden)"
DEFAULT_DENY = "(default deny)"
DEFAULT_ALLOW = "(default allow)"
NOT_BOUND = "(not bound)"
NOT_LISTED = "the tool is not listed in it"


def judge(policy: Policy, call: Call) -> Verdict:
    """The verdict on `call`, with the pointer of the rule that made it."""
    if is_hidden(policy, call.tool):
        return _verdict(policy, Ruling.HIDE, HIDDEN, NOT_LISTED)
    tool = policy.tools.get(call.tool)
    if tool is None:
        if policy.default is Ruling.ALLOW:
            return _verdict(policy, Ruling.ALLOW, DEFAULT_ALLOW, "")
        return _verdict(policy, Ruling.DENY, DEFAULT_DENY, NOT_LISTED)
    if tool.deny_if:
        rule = tool.deny_if[0]
        return _verdict(policy, Ruling.DENY, rule.pointer, rule.message, tool=tool)
    if tool.require_approval_if:
        return _ask(policy, tool, tool.require_approval_if)
    return _verdict(policy, Ruling.ALLOW, tool.pointer, "", tool=tool)


def is_hidden(policy: Policy, tool: str) -> bool:
    """Whether `hide` names this tool; the agent is then told that it does not exist."""
    return any(_matches(pattern, tool) for pattern in policy.hide)


def not_bound(agent: str, server: str) -> Verdict:
    """The verdict for an agent that may not use this server."""
    return Verdict(
        ruling=Ruling.DENY,
        rule=NOT_BOUND,
        message=f"{agent} has no server {server}",
        policy_hash="",
        risk=UNKNOWN,
    )


def _ask(policy: Policy, tool: ToolPolicy, rules: Sequence[Rule]) -> Verdict:
    requirements = [policy.settings(tool, rule).requirement() for rule in rules]
    return replace(
        _verdict(
            policy,
            Ruling.REQUIRE_APPROVAL,
            rules[0].pointer,
            " ".join(rule.message for rule in rules if rule.message),
            tool=tool,
        ),
        requirement=_all_of(requirements),
    )


def _all_of(requirements: Sequence[Requirement]) -> Requirement:
    """Stages ANDed (the same one asked twice is one), shortest timeout."""
    stages = dict.fromkeys(stage for r in requirements for stage in r.stages)
    return replace(
        requirements[0],
        stages=tuple(stages),
        timeout=min(requirement.timeout for requirement in requirements),
    )


def _verdict(
    policy: Policy, ruling: Ruling, rule: str, message: str, *, tool: ToolPolicy | None = None
) -> Verdict:
    return Verdict(
        ruling=ruling,
        rule=rule,
        message=message,
        policy_hash=policy.hash,
        risk=(tool.risk if tool else None) or UNKNOWN,
        summary=tool.summary if tool else None,
    )


def _matches(pattern: str, name: str) -> bool:
    """Whether `name` fits a pattern in which `*` stands for any characters; linear time."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, last = rest
    if not name.startswith(first) or not name.endswith(last):
        return False
    if len(name) < len(first) + len(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
