"""A policy that loaded: every rule knows its place in the document."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING

from approvals.domain.directory import EVERYONE
from approvals.domain.quorum import DEFAULT_TIMEOUT, Requirement, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from approvals.domain.risk import Risk


class Ruling(StrEnum):
    """What the policy says of a call."""

    ALLOW = "allow"
    DENY = "deny"
    HIDE = "hide"
    REQUIRE_APPROVAL = "require_approval"


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalSettings:
    """The short form `approval: {approvers, required, timeout}`; None means not said here."""

    approvers: frozenset[str] | None = None
    required: int | None = None
    timeout: timedelta | None = None

    def over(self, farther: ApprovalSettings) -> ApprovalSettings:
        """Nearer wins, key by key."""
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        theirs = {f.name: getattr(farther, f.name) for f in fields(farther)}
        return ApprovalSettings(
            **{name: theirs[name] if value is None else value for name, value in mine.items()}
        )

    def requirement(self) -> Requirement:
        """Whom to ask; without any setting everyone with role approver, for 15 minutes."""
        stage = Stage(
            approvers=frozenset({EVERYONE}) if self.approvers is None else self.approvers,
            required=1 if self.required is None else self.required,
        )
        return Requirement(stages=(stage,), timeout=self.timeout or DEFAULT_TIMEOUT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One entry of `deny_if` or `require_approval_if`, or an `action`; it always holds."""

    pointer: str
    message: str
    approval: ApprovalSettings = ApprovalSettings()


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolPolicy:
    """What a policy says of one tool."""

    pointer: str
    deny_if: tuple[Rule, ...] = ()
    require_approval_if: tuple[Rule, ...] = ()
    approval: ApprovalSettings = ApprovalSettings()
    summary: str | None = None
    risk: Risk | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """A whole document; `fallback` are the approval settings of approvals.yaml."""

    hash: str
    default: Ruling
    hide: tuple[str, ...] = ()
    tools: Mapping[str, ToolPolicy] = field(default_factory=dict)
    approval: ApprovalSettings = ApprovalSettings()
    fallback: ApprovalSettings = ApprovalSettings()

    def settings(self, tool: ToolPolicy, rule: Rule) -> ApprovalSettings:
        """The approval settings of one rule, from the rule, tool, policy, then approvals.yaml."""
        near = rule.approval.over(tool.approval)
        return near.over(self.approval).over(self.fallback)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the policy says of a call, and where it says so."""

    ruling: Ruling
    rule: str
    message: str
    policy_hash: str
    risk: Risk
    requirement: Requirement | None = None
    summary: str | None = None
