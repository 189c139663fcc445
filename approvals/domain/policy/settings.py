"""Approval settings: said at four places, the nearest wins key by key (POLICY.md, `approval`)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeVar

from approvals.domain.directory import EVERYONE
from approvals.domain.quorum import (
    DEFAULT_TIMEOUT,
    DENY_MEMORY,
    MAX_TIMEOUT,
    REMIND_AT,
    USE_WITHIN,
    Gone,
    Requirement,
    Stage,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta
    from decimal import Decimal

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Escalation:
    """After this long without a decision these people are asked as well."""

    after: timedelta
    approvers: frozenset[str]
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalSettings:
    """What one place says; None means not said here. `stages` and the short form exclude each
    other."""

    approvers: frozenset[str] | None = None
    required: int | None = None
    stages: tuple[Stage, ...] | None = None
    ordered: bool | None = None
    exclude_owner: bool | None = None
    timeout: timedelta | None = None
    use_within: timedelta | None = None
    release_delay: timedelta | None = None
    deny_memory: timedelta | None = None
    remind_at: tuple[Decimal, ...] | None = None
    escalate: Escalation | None = None
    max_timeout: timedelta | None = None
    on_requester_gone: Gone | None = None
    detached: bool | None = None
    channels: tuple[str, ...] | None = None
    name_approvers: bool | None = None
    allow_input: bool | None = None

    def over(self, farther: ApprovalSettings) -> ApprovalSettings:
        """Nearer wins, key by key; whoever says `stages` replaces a farther short form, and the
        other way round."""
        said = {f.name: getattr(farther, f.name) for f in fields(self)}
        mine = {f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}
        if self.stages is not None:
            said |= dict.fromkeys(_SHORT)
        elif mine.keys() & _SHORT and farther.stages is not None:
            said["stages"] = None
        return ApprovalSettings(**{**said, **mine})

    def cuts(self, farther: ApprovalSettings) -> bool:
        """Whether half a short form would replace stages: too easily fewer people than meant."""
        halves = (self.approvers is None) != (self.required is None)
        return halves and self.stages is None and farther.stages is not None

    def requirement(self) -> Requirement:
        """Whom to ask; without any setting everyone with role approver, for 15 minutes."""
        return Requirement(
            stages=self._stages(),
            ordered=bool(self.ordered),
            exclude_owner=self.exclude_owner is not False,
            timeout=_or(self.timeout, DEFAULT_TIMEOUT),
            use_within=_or(self.use_within, USE_WITHIN),
            release_delay=_or(self.release_delay, Requirement().release_delay),
            deny_memory=_or(self.deny_memory, DENY_MEMORY),
            remind_at=_or(self.remind_at, REMIND_AT),
            escalate_after=self.escalate.after if self.escalate else None,
            escalate_channels=self.escalate.channels if self.escalate else (),
            max_timeout=_or(self.max_timeout, MAX_TIMEOUT),
            on_requester_gone=_or(self.on_requester_gone, Gone.KEEP),
            detached=bool(self.detached),
            channels=self.channels,
            name_approvers=bool(self.name_approvers),
            allow_input=bool(self.allow_input),
        )

    def _stages(self) -> tuple[Stage, ...]:
        stages = self.stages or (
            Stage(
                approvers=_or(self.approvers, frozenset({EVERYONE})),
                required=_or(self.required, 1),
            ),
        )
        if self.escalate is None:
            return stages
        joining = self.escalate.approvers
        return tuple(replace(stage, escalates_to=joining) for stage in stages)


_SHORT = frozenset({"approvers", "required"})


def merged(levels: Sequence[ApprovalSettings]) -> ApprovalSettings:
    """The settings that hold when these are said, the nearest first."""
    settings = ApprovalSettings()
    for level in reversed(levels):
        settings = level.over(settings)
    return settings


def _or(value: T | None, default: T) -> T:
    return default if value is None else value
