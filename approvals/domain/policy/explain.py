"""Why a call is judged as it is: every rule that was looked at, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.domain.card import clock_time
from approvals.domain.display import visible
from approvals.domain.limits import Uncountable, charges
from approvals.domain.policy.conditions import failing, matches
from approvals.domain.policy.describe import asked_words, rule_words
from approvals.domain.policy.evaluate import judge, not_bound
from approvals.domain.policy.paths import Facts
from approvals.domain.risk import AS_KNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from approvals.domain.call import Call
    from approvals.domain.directory import Agent, Directory
    from approvals.domain.policy.conditions import Condition
    from approvals.domain.policy.model import Policy, ToolPolicy
    from approvals.domain.rulebook import Rulebook


def explained(rulebook: Rulebook, call: Call, *, now: datetime) -> list[str]:
    """The verdict on a call as its agent's policy gives it now, rule by rule.

    Values of the call are not repeated.
    """
    policy = rulebook.policy_of(call.agent, call.server)
    agent = rulebook.directory.agent(call.agent)
    if policy is None or agent is None:
        return [f"verdict: deny {not_bound(call.agent, call.server).rule}"]
    return explained_by(
        policy,
        call,
        now=now.astimezone(rulebook.zone),
        labels=agent.labels,
        directory=rulebook.directory,
        agent=agent,
    )


def explained_by(
    policy: Policy,
    call: Call,
    *,
    now: datetime,
    labels: Mapping[str, str],
    directory: Directory | None = None,
    agent: Agent | None = None,
) -> list[str]:
    """The same with one policy; `now` is in the time zone of the configuration."""
    verdict = judge(policy, call, now=now, labels=labels)
    entry = policy.entry(call.tool)
    lines = [
        f"policy: {visible(policy.name)} ({policy.hash})",
        f"entry: {_entry_words(policy, entry, call.tool)}",
        f"risk: {verdict.risk.level} · {verdict.risk.category}, {_because(entry, call)}",
    ]
    if not policy.hides(call.tool):
        lines += _looked_at(policy, entry or policy.unlisted, call, now, labels)
    lines.append(f"verdict: {verdict.ruling} {verdict.rule}")
    if verdict.requirement is not None:
        lines.append(f"asks: {asked_words(verdict.requirement, directory, agent)}")
    return lines


def _entry_words(policy: Policy, entry: ToolPolicy | None, tool: str) -> str:
    if policy.hides(tool):
        return "hidden"
    if policy.ask is not None:
        return "the built-in policy asks for everything but reading"
    return entry.pointer if entry else f"none, so the default: {policy.default}"


def _because(entry: ToolPolicy | None, call: Call) -> str:
    said = entry is not None and entry.risk != AS_KNOWN
    return "as the policy says" if said else call.classified.because


def _looked_at(
    policy: Policy, entry: ToolPolicy, call: Call, now: datetime, labels: Mapping[str, str]
) -> Iterator[str]:
    facts = Facts(call, risk=entry.risk.over(call.classified.risk), labels=labels, now=now)
    for rule in entry.require:
        why = failing(rule.conditions, facts)
        yield f"{rule.pointer}: {'holds' if why is None else f'does not hold: {why}'}"
    for rule in (*entry.deny_if, *entry.require_approval_if):
        yield f"{rule.pointer}: {_matched(rule.conditions, facts)}"
    if entry.justification:
        given = "given" if (call.justification or "").strip() else "missing"
        yield f"{entry.pointer}/justification: {given}"
    found = charges(entry.limits, facts, policy=policy.name)
    if isinstance(found, Uncountable):
        yield f"{found.pointer}: cannot be counted: {found.why}"
        return
    for charge in found:
        yield f"{charge.pointer}: counted until {clock_time(charge.end, now.tzinfo)}"


def _matched(conditions: tuple[Condition, ...], facts: Facts) -> str:
    doubts = matches(conditions, facts)
    words = rule_words(conditions) or "always"
    if doubts is None:
        return f"does not match ({words})"
    if doubts:
        reasons = "; ".join(doubt.why for doubt in doubts)
        return f"counts as matched, in doubt: {reasons} ({words})"
    return f"matches ({words})"
