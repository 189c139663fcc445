"""A policy in people's words: what each rule does, and who would be asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain.card import span
from approvals.domain.directory import approver_title
from approvals.domain.display import visible
from approvals.domain.limits import DAY, Scope
from approvals.domain.policy.conditions import Op
from approvals.domain.policy.model import Ruling
from approvals.domain.summary import json_shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from approvals.domain.directory import Agent, Directory
    from approvals.domain.limits import Limit
    from approvals.domain.policy.conditions import Condition
    from approvals.domain.policy.model import Policy, ToolPolicy
    from approvals.domain.quorum import Requirement, Stage

_OPS = {
    Op.EQ: "is",
    Op.NEQ: "is not",
    Op.LT: "is below",
    Op.LTE: "is at most",
    Op.GT: "is above",
    Op.GTE: "is at least",
    Op.IN: "is one of",
    Op.NOT_IN: "is none of",
    Op.REGEX: "matches",
    Op.CONTAINS: "contains",
    Op.STARTS_WITH: "starts with",
    Op.ENDS_WITH: "ends with",
    Op.LEN_GT: "is longer than",
}
_WINDOWS = {timedelta(seconds=1): "second", timedelta(minutes=1): "minute"} | {
    timedelta(hours=1): "hour",
    DAY: "day",
}
_FOR = {
    Scope.GRANT: "for each agent on each server",
    Scope.AGENT: "for each agent",
    Scope.SESSION: "for each session",
    Scope.SERVER: "for each server",
    Scope.POLICY: "for this policy",
}
PLACES = 10**18


def described(
    policy: Policy, *, directory: Directory | None = None, agents: Sequence[Agent] = ()
) -> list[str]:
    """One line for each thing the policy says, with its pointer.

    With a directory, also who would be asked for these agents.
    """
    if policy.ask is not None:
        asked = _asked(policy.ask, directory, agents)
        return [f"what only reads runs; everything else → {asked} (ask)"]
    lines = [f"{visible(name)}: hidden (/hide/{index})" for index, name in enumerate(policy.hide)]
    for name, tool in policy.tools.items():
        lines += [f"{visible(name)} {line}" for line in _entry(tool, directory, agents)]
    if policy.default is Ruling.DENY:
        return [*lines, "any other tool is denied (/default)"]
    unlisted = replace(policy.unlisted, pointer="/default")
    return [*lines, *(f"any other tool {line}" for line in _entry(unlisted, directory, agents))]


def rule_words(conditions: Sequence[Condition]) -> str:
    """`args.quantity is above 5 and agent.name is "bot"`; empty for a rule that always holds."""
    return " and ".join(map(condition_words, conditions))


def condition_words(condition: Condition) -> str:
    """One condition in words, its value exact."""
    if condition.op is Op.EXISTS:
        return f"{condition.path.text} is {'given' if condition.value else 'missing'}"
    value = json_shown(condition.value)
    return f"{visible(condition.path.text)} {_OPS[condition.op]} {value}"


def asked_words(
    requirement: Requirement, directory: Directory | None = None, agent: Agent | None = None
) -> str:
    """`2 of trading (bob, carol; not alice, who owns trader-bot) in #trading, 30 min`."""
    joint = ", then " if requirement.ordered else ", and "
    stages = joint.join(
        _stage(stage, requirement, directory, agent) for stage in requirement.stages
    )
    channels = requirement.channels or ()
    where = f" in {', '.join(visible(c.removeprefix('slack:')) for c in channels)}"
    return f"{stages}{where if channels else ''}, {span(requirement.timeout)}"


def _entry(tool: ToolPolicy, directory: Directory | None, agents: Sequence[Agent]) -> Iterator[str]:
    """What happens to the tool, in the order of judgement."""
    for rule in tool.require:
        yield f"only if {rule_words(rule.conditions) or 'anything'} ({rule.pointer})"
    for rule in tool.deny_if:
        yield f"{_when(rule.conditions)}→ denied{_said(rule.message)} ({rule.pointer})"
    if tool.justification:
        yield f"only with a justification ({tool.pointer}/justification)"
    for limit in tool.limits:
        yield f"{limit_words(limit)} ({limit.pointer})"
    if tool.redact:
        yield f"hides {', '.join(path.text for path in tool.redact)} ({tool.pointer}/redact)"
    for asking in tool.require_approval_if:
        asked = _asked(asking.requirement, directory, agents)
        yield f"{_when(asking.conditions)}→ {asked} ({asking.pointer})"
    rules = (*tool.deny_if, *tool.require_approval_if)
    if all(rule.conditions for rule in rules):
        yield f"{'otherwise ' if rules else ''}runs ({tool.pointer})"


def limit_words(limit: Limit) -> str:
    """`at most 20 orders per hour for each agent`."""
    whole, part = divmod(limit.max_, PLACES)
    most = f"{whole}.{part:018d}".rstrip("0").rstrip(".") if part else str(whole)
    window = _WINDOWS.get(limit.window) or f"{limit.window // timedelta(seconds=1)} seconds"
    what = f" (sum of {limit.increment.text})" if limit.increment else ""
    counted = "calls" if limit.counter.startswith("rate_limit") else visible(limit.counter)
    return f"at most {most} {counted}{what} per {window} {_FOR[limit.scope]}"


def _asked(requirement: Requirement, directory: Directory | None, agents: Sequence[Agent]) -> str:
    if directory is None or not agents:
        return asked_words(requirement, directory)
    return "; ".join(dict.fromkeys(asked_words(requirement, directory, agent) for agent in agents))


def _stage(
    stage: Stage, requirement: Requirement, directory: Directory | None, agent: Agent | None
) -> str:
    people = " or ".join(sorted(approver_title(name) for name in stage.approvers))
    return f"{stage.required} of {people}{_named(stage, requirement, directory, agent)}"


def _named(
    stage: Stage, requirement: Requirement, directory: Directory | None, agent: Agent | None
) -> str:
    if directory is None:
        return ""
    people = directory.eligible(stage.approvers)
    owner = agent.owner if agent and requirement.exclude_owner and not directory.solo else None
    names = ", ".join(sorted(people - {owner})) or "nobody"
    if owner not in people:
        return f" ({names})"
    return f" ({names}; not {owner}, who owns {agent.name if agent else ''})"


def _when(conditions: Sequence[Condition]) -> str:
    words = rule_words(conditions)
    return f"when {words} " if words else ""


def _said(message: str) -> str:
    return f": {visible(message)}" if message else ""
