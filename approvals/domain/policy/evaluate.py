"""Judge a call: hidden, denied, limited, needs a person, or allowed. A denial beats an approval.

The order is that of POLICY.md, "Order of judgement". Whether a counter has room is not known here:
the verdict names what would be charged, and the service asks the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.domain.limits import Charge, Uncountable, charges
from approvals.domain.policy.conditions import failing, matches
from approvals.domain.policy.model import Policy, Ruling, ToolPolicy, Verdict
from approvals.domain.policy.paths import Facts, Root
from approvals.domain.quorum import all_of
from approvals.domain.risk import UNKNOWN, Category

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from approvals.domain.call import Call
    from approvals.domain.policy.conditions import Condition
    from approvals.domain.policy.model import Rule
    from approvals.domain.quorum import Requirement

HIDDEN = "(hidden)"
DEFAULT_DENY = "(default deny)"
DEFAULT_ALLOW = "(default allow)"
NOT_BOUND = "(not bound)"
ASK = "(ask)"
NOT_LISTED = "the tool is not listed in it"

_TIME = frozenset({Root.WEEKDAY, Root.HOUR})
_NO_LABELS: Mapping[str, str] = {}


def judge(
    policy: Policy, call: Call, *, now: datetime, labels: Mapping[str, str] = _NO_LABELS
) -> Verdict:
    """The verdict on `call`, with the pointer of the rule that made it.

    `now` is in the time zone of the configuration, `labels` are the agent's.
    """
    tool = policy.entry(call.tool)
    judging = _Judging(policy, call, tool or policy.unlisted, now, labels)
    if policy.hides(call.tool):
        return judging.verdict(Ruling.HIDE, HIDDEN, NOT_LISTED)
    if policy.ask is not None:
        return judging.by_risk(policy.ask)
    if tool is None and policy.default is Ruling.DENY:
        return judging.verdict(Ruling.DENY, DEFAULT_DENY, NOT_LISTED)
    return judging.by_rules()


def not_bound(agent: str, server: str) -> Verdict:
    """The verdict for an agent that may not use this server."""
    return Verdict(
        ruling=Ruling.DENY,
        rule=NOT_BOUND,
        message=f"{agent} has no server {server}",
        policy_hash="",
        risk=UNKNOWN,
    )


class _Judging:
    """One call before one entry of a policy."""

    def __init__(
        self,
        policy: Policy,
        call: Call,
        tool: ToolPolicy,
        now: datetime,
        labels: Mapping[str, str],
    ) -> None:
        self._policy = policy
        self._tool = tool
        self._risk = tool.risk.over(call.classified.risk)
        self._facts = Facts(call, risk=self._risk, labels=labels, now=now)
        self._doubts: list[str] = []

    def by_rules(self) -> Verdict:
        if refused := self._refused():
            return refused
        found = charges(self._tool.limits, self._facts, policy=self._policy.name)
        if isinstance(found, Uncountable):
            self._doubts.append(found.why)
            return self.verdict(Ruling.DENY, found.pointer, f"{found.why}, and it is limited")
        return self._asked(found) or self.verdict(
            Ruling.ALLOW, self._tool.pointer, "", charges=found
        )

    def by_risk(self, requirement: Requirement) -> Verdict:
        """The built-in policy: what only reads runs, everything else needs a person."""
        if self._risk.category is Category.READ:
            return self.verdict(Ruling.ALLOW, ASK, "")
        return self.verdict(Ruling.REQUIRE_APPROVAL, ASK, "", requirement=requirement)

    def verdict(
        self,
        ruling: Ruling,
        rule: str,
        message: str,
        *,
        requirement: Requirement | None = None,
        charges: tuple[Charge, ...] = (),
        wants_justification: bool = False,
        timely: bool = False,
    ) -> Verdict:
        return Verdict(
            ruling=ruling,
            rule=rule,
            message=message,
            policy_hash=self._policy.hash,
            risk=self._risk,
            requirement=requirement,
            summary=self._tool.summary,
            redact=self._tool.redact,
            charges=charges,
            doubts=tuple(self._doubts),
            wants_justification=wants_justification,
            timely=timely,
        )

    def _refused(self) -> Verdict | None:
        for rule in self._tool.require:
            if why := failing(rule.conditions, self._facts):
                self._doubts.append(why)
                return self._denied(rule)
        for rule in self._tool.deny_if:
            if self._applies(rule.conditions):
                return self._denied(rule)
        if self._tool.justification and not (self._facts.call.justification or "").strip():
            return self.verdict(
                Ruling.DENY,
                f"{self._tool.pointer}/justification",
                "this tool is called with a justification",
                wants_justification=True,
            )
        return None

    def _denied(self, rule: Rule) -> Verdict:
        timely = any(condition.path.root in _TIME for condition in rule.conditions)
        return self.verdict(Ruling.DENY, rule.pointer, rule.message, timely=timely)

    def _asked(self, found: tuple[Charge, ...]) -> Verdict | None:
        rules = [r for r in self._tool.require_approval_if if self._applies(r.conditions)]
        if not rules:
            return None
        return self.verdict(
            Ruling.REQUIRE_APPROVAL,
            rules[0].pointer,
            " ".join(rule.message for rule in rules if rule.message),
            requirement=all_of([rule.requirement for rule in rules]),
            charges=found,
        )

    def _applies(self, conditions: tuple[Condition, ...]) -> bool:
        doubts = matches(conditions, self._facts)
        if doubts is None:
            return False
        self._doubts.extend(doubt.why for doubt in doubts)
        return True
