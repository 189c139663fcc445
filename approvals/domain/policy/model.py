"""A policy that loaded: every rule knows its place in the document."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from approvals.domain.policy.globs import matches
from approvals.domain.risk import AS_KNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from approvals.domain.limits import Charge, Limit
    from approvals.domain.policy.conditions import Condition
    from approvals.domain.policy.paths import Path
    from approvals.domain.quorum import Requirement
    from approvals.domain.risk import Risk, RiskOverride

REMEMBERED_NAMES = 4096
MAX_NAME = 200
"""Longer names, which no tool has, are looked up without being remembered."""


class Ruling(StrEnum):
    """What the policy says of a call."""

    ALLOW = "allow"
    DENY = "deny"
    HIDE = "hide"
    REQUIRE_APPROVAL = "require_approval"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One entry of `require` or `deny_if`, or an `action`; without conditions it always holds."""

    pointer: str
    message: str
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AskingRule(Rule):
    """One entry of `require_approval_if`, with whom it asks once all settings are merged."""

    requirement: Requirement


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolPolicy:
    """What a policy says of the tools of one name or glob, `all_tools` included."""

    pointer: str
    require: tuple[Rule, ...] = ()
    deny_if: tuple[Rule, ...] = ()
    require_approval_if: tuple[AskingRule, ...] = ()
    limits: tuple[Limit, ...] = ()
    summary: str | None = None
    redact: tuple[Path, ...] = ()
    risk: RiskOverride = AS_KNOWN
    justification: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """A whole document.

    `name` tells its counters from those of another policy; `unlisted` holds for tools that `tools`
    does not name, where `default` lets them through; `ask` marks the built-in policy.
    """

    name: str
    hash: str
    default: Ruling
    hide: tuple[str, ...] = ()
    tools: Mapping[str, ToolPolicy] = field(default_factory=dict)
    unlisted: ToolPolicy = ToolPolicy(pointer="(default allow)")
    ask: Requirement | None = None
    _globs: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _found: Callable[[str], ToolPolicy | None] = field(init=False, repr=False, compare=False)
    _hides: Callable[[str], bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Names are looked up in every call and their patterns never change: remember them."""
        remember = lru_cache(maxsize=REMEMBERED_NAMES)
        globs = sorted((name for name in self.tools if "*" in name), key=len, reverse=True)
        object.__setattr__(self, "_globs", tuple(globs))
        object.__setattr__(self, "_found", remember(lambda tool: self._entry(tool, self._globs)))
        object.__setattr__(self, "_hides", remember(self._is_hidden))

    def entry(self, tool: str) -> ToolPolicy | None:
        """What `tools` says of a tool: its exact name, else the longest glob that matches."""
        if len(tool) > MAX_NAME:
            return self._entry(tool, self._globs)
        return self._found(tool)

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """Whom any rule of it asks."""
        entries = (*self.tools.values(), self.unlisted)
        asked = (rule.requirement for entry in entries for rule in entry.require_approval_if)
        return (*asked, *((self.ask,) if self.ask else ()))

    def hides(self, tool: str) -> bool:
        """Whether `hide` names this tool; the agent is then told that it does not exist."""
        return self._is_hidden(tool) if len(tool) > MAX_NAME else self._hides(tool)

    def _entry(self, tool: str, globs: tuple[str, ...]) -> ToolPolicy | None:
        if tool in self.tools and "*" not in tool:
            return self.tools[tool]
        return next((self.tools[glob] for glob in globs if matches(glob, tool)), None)

    def _is_hidden(self, tool: str) -> bool:
        return any(matches(pattern, tool) for pattern in self.hide)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the policy says of a call, where it says so, and on which grounds.

    `doubts` say which conditions had no answer and so counted against the call; they never repeat
    a value. `charges` are what the call adds to which counters, if it runs. `timely`: what denies
    looks at the time, so that the same call may be allowed later.
    """

    ruling: Ruling
    rule: str
    message: str
    policy_hash: str
    risk: Risk
    requirement: Requirement | None = None
    summary: str | None = None
    redact: tuple[Path, ...] = ()
    charges: tuple[Charge, ...] = ()
    doubts: tuple[str, ...] = ()
    wants_justification: bool = False
    timely: bool = False
