"""What an approval can be, and the operations that change it, as values.

Illegal states do not exist here: each state carries exactly what is known in it. The steps between
them are in `approval.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from approvals.domain.chain import NO_EVENTS, Event, Head
from approvals.domain.quorum import Tally, Vote, tally
from approvals.domain.redact import redacted

if TYPE_CHECKING:
    from datetime import datetime

    from approvals.domain.call import Call
    from approvals.domain.directory import Assurance
    from approvals.domain.quorum import Requirement, Stage
    from approvals.domain.risk import Risk
    from approvals.domain.strictjson import Json

MICROSECOND = timedelta(microseconds=1)
MAX_STORED_RESULT = 1024 * 1024
"""Bytes of a result that is kept for its caller; of a larger one hash and size are."""
ERASED_ARGUMENTS = "{}"
"""What stands where arguments are no longer kept; `Approval.erased` says that it does."""
ERASED_DETAIL = "What the program said of it is no longer kept."


class Status(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    LAPSED = "lapsed"
    RELEASED = "released"


class ReleaseStatus(StrEnum):
    SENT = "sent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_SENT = "not_sent"
    OUTCOME_UNKNOWN = "outcome_unknown"


class CancelReason(StrEnum):
    CANCELLED = "cancelled"
    REVOKED = "revoked"
    POLICY_CHANGED = "policy_changed"
    DEFINITION_CHANGED = "definition_changed"
    RESTORED = "restored"


class Answer(StrEnum):
    APPROVE = "approve"
    DENY = "deny"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """One person's answer: what they said, how surely it was them, and which digest they saw."""

    person: str
    answer: Answer
    channel: str
    assurance: Assurance
    stages: frozenset[int]
    digest: str | None
    at: datetime
    reason: str | None = None
    solo: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    status = Status.PENDING


@dataclass(frozen=True, kw_only=True, slots=True)
class Approved:
    """May be sent once, from `use_from` until before `use_by`."""

    decided_at: datetime
    use_from: datetime
    use_by: datetime
    status = Status.APPROVED


@dataclass(frozen=True, kw_only=True, slots=True)
class Denied:
    at: datetime
    status = Status.DENIED


@dataclass(frozen=True, kw_only=True, slots=True)
class Overdue:
    """Nobody answered in time."""

    at: datetime
    status = Status.EXPIRED


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdrawn:
    reason: CancelReason
    at: datetime
    status = Status.CANCELLED


@dataclass(frozen=True, kw_only=True, slots=True)
class Lapsed:
    at: datetime
    status = Status.LAPSED


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How the one sending ended. `detail` is a sentence for people; `result` its stored text.

    `delivered` is false while no connected client has been given it.
    """

    status: ReleaseStatus
    detail: str
    at: datetime
    delivered: bool
    result_hash: str | None = None
    result_size: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Released:
    """Sent upstream, once; `outcome` is None while the answer is awaited.

    `report_by` is when a program that sends for itself must have told how it went.
    """

    approved: Approved
    token: str
    process: str
    sent_at: datetime
    report_by: datetime | None = None
    outcome: Outcome | None = None
    status = Status.RELEASED

    @property
    def release_status(self) -> ReleaseStatus:
        return self.outcome.status if self.outcome else ReleaseStatus.SENT


State = Pending | Approved | Denied | Overdue | Withdrawn | Lapsed | Released


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierRun:
    """The same call ran or ended unknown within the last 24 hours: the card's first fact."""

    status: ReleaseStatus
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Approval:
    """The record of a parked call.

    `detached`: it is sent once approved, also while no request waits for it. `hidden` are the JSON
    pointers of argument values that are shown nowhere but on the web page; `reminded` counts the
    reminders given; `erased` is the keyed hash of arguments that are no longer kept; `unnoticed`:
    no channel could tell anybody of it in time.
    """

    id: str
    call: Call
    identity: str
    requirement: Requirement
    digest: str
    policy_hash: str
    rule: str
    message: str
    summary: str
    risk: Risk
    channels: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    hidden: tuple[str, ...] = ()
    earlier_run: EarlierRun | None = None
    reminded: int = 0
    escalated_at: datetime | None = None
    idempotency_key: str | None = None
    erased: str | None = None
    detached: bool = False
    unnoticed: bool = False
    version: int = 1
    revision: int = 1
    decisions: tuple[Decision, ...] = ()
    state: State = Pending()
    head: Head = NO_EVENTS

    @property
    def status(self) -> Status:
        return self.state.status

    @property
    def is_open(self) -> bool:
        """Whether it still stands in the way of a second approval of the same call."""
        match self.state:
            case Pending() | Approved():
                return True
            case Released(outcome=None):
                return True
        return False

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages as they are asked now: after an escalation with those who joined."""
        if self.escalated_at is None:
            return self.requirement.stages
        return tuple(
            replace(stage, approvers=stage.approvers | stage.escalates_to)
            for stage in self.requirement.stages
        )

    @property
    def stages_to_approve(self) -> frozenset[int]:
        """The stages whose approval counts now: of ordered stages those up to the first that is
        not reached."""
        every = range(len(self.requirement.stages))
        if not self.requirement.ordered:
            return frozenset(every)
        counted = zip(self.tally.approved, self.requirement.stages, strict=True)
        short = [index for index, (count, stage) in enumerate(counted) if count < stage.required]
        return frozenset(every[: short[0] + 1]) if short else frozenset(every)

    @property
    def latest_deadline(self) -> datetime:
        """The latest moment to which the deadline may be moved."""
        return max(self.expires_at, self.created_at + self.requirement.max_timeout)

    @property
    def due_at(self) -> datetime | None:
        """When people are to be told again: the next reminder or the escalation, if any is left."""
        if not isinstance(self.state, Pending):
            return None
        moments = [self.remind_at, self.escalate_at]
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def remind_at(self) -> datetime | None:
        """When the next reminder is due."""
        left = self.requirement.remind_at[self.reminded :]
        if not left:
            return None
        length = (self.expires_at - self.created_at) // MICROSECOND
        return self.created_at + int(length * left[0]) * MICROSECOND

    @property
    def escalate_at(self) -> datetime | None:
        """When more people are to be asked."""
        after = self.requirement.escalate_after
        if after is None or self.escalated_at is not None:
            return None
        return self.created_at + after

    @property
    def shown_arguments(self) -> dict[str, Json]:
        """The arguments as a surface may show them, hidden values replaced."""
        shown = redacted(self.call.shown_arguments, self.hidden)
        assert isinstance(shown, dict)  # noqa: S101 (no pointer is empty)
        return shown

    @property
    def standing(self) -> tuple[Decision, ...]:
        """The decisions that count: each person's last one."""
        return tuple({decision.person: decision for decision in self.decisions}.values())

    @property
    def tally(self) -> Tally:
        return tally(self.requirement.stages, votes(self.standing))

    def decision_of(self, person: str) -> Decision | None:
        """What this person has answered so far."""
        return next((d for d in self.standing if d.person == person), None)


class NoticeKind(StrEnum):
    """Why a channel is told."""

    REQUESTED = "requested"
    DECIDED = "decided"
    REMINDER = "reminder"
    ESCALATED = "escalated"
    ENDED = "ended"
    FINISHED = "finished"


@dataclass(frozen=True, kw_only=True, slots=True)
class Parking:
    """The operation that creates an approval, with its first event and announcements.

    Applied only while no freeze covers the call and fewer than `max_pending` of the agent wait.
    """

    approval: Approval
    event: Event
    notice: NoticeKind
    max_pending: int

    @property
    def op_id(self) -> str:
        return self.event.fact.id

    @property
    def leaves(self) -> Approval:
        """The approval as the operation leaves it."""
        return self.approval


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """One legal step: applied only from `before`, within the validity window, with its event.

    `freezable`: applied only while no freeze covers the call.
    """

    before: Approval
    after: Approval
    event: Event
    notice: NoticeKind | None = None
    decision: Decision | None = None
    result: str | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    freezable: bool = False

    @property
    def op_id(self) -> str:
        return self.event.fact.id

    @property
    def leaves(self) -> Approval:
        """The approval as the operation leaves it."""
        return self.after

    @property
    def gives_back(self) -> bool:
        """Whether what was reserved for the call is free again, as it did not go out."""
        match self.after.state:
            case Released(outcome=Outcome(status=ReleaseStatus.NOT_SENT)):
                return True
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Erasure:
    """What was asked and answered is forgotten: applied only from `before`, with its event."""

    before: Approval
    after: Approval
    event: Event

    @property
    def op_id(self) -> str:
        return self.event.fact.id


def votes(decisions: tuple[Decision, ...]) -> list[Vote]:
    """The decisions as the quorum counts them."""
    return [
        Vote(person=d.person, approves=d.answer is Answer.APPROVE, stages=d.stages)
        for d in decisions
    ]
