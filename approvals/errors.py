"""Everything a caller of this package can act on, one class each.

ApprovalsError
├── InvalidInput              what was sent cannot be used as it is
│   ├── InvalidJson           not JSON, or JSON that two readers could read differently
│   ├── InvalidArguments      arguments outside what is carried exactly
│   ├── InvalidFilter         a list filter with an unknown value
│   └── IdempotencyMismatch   the same Idempotency-Key with other content
├── BodyTooLarge
├── NotFound                  not there, or not yours to see
├── Unauthenticated
├── Forbidden
│   ├── NotAnApprover
│   ├── OwnerExcluded
│   └── AssuranceTooLow
├── Settled                   too late to decide: the approval is as `final` says
│   ├── AlreadyDecided
│   ├── Expired
│   ├── Cancelled
│   └── YouAlreadyDecided
├── Unreleasable              a program may not send the call now
│   ├── NotApproved           nobody approved it, or it is not time yet
│   ├── ApprovalLapsed        approved, and not used in time
│   └── AlreadyReleased       another release token was first
├── TooMuch                   wait, then ask again: `retry_after` seconds
│   ├── TooManyPending        as many calls of the agent wait as may
│   └── RateLimited           a counter of the policy has no room
├── CallsFrozen               an admin has stopped calls
├── DigestMismatch            the decision names other content than what is asked
├── IllegalTransition         the state machine has no such step
├── ChannelFailed             a channel did not take what it was given
├── StoreFailure
│   ├── Overloaded            definitely not applied: try again in a moment
│   ├── Unavailable           definitely not applied
│   └── Undetermined          nobody can say yet whether it was applied: send nothing
└── ConfigurationInvalid      every problem of a file at once

`code` is stable and documented in docs/reference/errors.md; no class knows HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class ApprovalsError(Exception):
    """Base of all errors of this package; `str()` is a sentence that says what to do next."""

    code: ClassVar[str] = "error"


class InvalidInput(ApprovalsError):
    """What was sent cannot be used; nothing was parked, judged or forwarded."""

    code = "invalid_input"


class InvalidJson(InvalidInput):
    """The body is not JSON, or two readers could understand it differently."""

    code = "invalid_json"


class InvalidArguments(InvalidInput):
    """The arguments cannot be carried exactly, or do not fit the tool."""

    code = "invalid_arguments"


class InvalidFilter(InvalidInput):
    """A list was asked for with a filter value that does not exist."""

    code = "invalid_filter"


class IdempotencyMismatch(InvalidInput):
    """This Idempotency-Key was used for another call in the last 24 hours."""

    code = "idempotency_mismatch"


class BodyTooLarge(ApprovalsError):
    """The body is larger than 2 MiB; it was not read to its end."""

    code = "body_too_large"


class NotFound(ApprovalsError):
    """There is nothing here that you may see."""

    code = "not_found"


class Unauthenticated(ApprovalsError):
    """No key, or a key that is unknown, revoked or without an owner."""

    code = "unauthenticated"


class Forbidden(ApprovalsError):
    """You are known, and your roles do not allow this."""

    code = "forbidden"


class NotAnApprover(Forbidden):
    """You are not among the people who may decide on this call."""

    code = "not_an_approver"


class OwnerExcluded(Forbidden):
    """You own the agent that asks, so another person has to decide."""

    code = "owner_excluded"


class AssuranceTooLow(Forbidden):
    """The way you signed in is weaker than this rule asks for."""

    code = "assurance_too_low"


class Settled(ApprovalsError):
    """It is too late to decide; the message says what happened and by whom."""

    code = "already_decided"


class AlreadyDecided(Settled):
    """Somebody else's decision was first."""

    code = "already_decided"


class Expired(Settled):
    """Nobody answered in time, so the call was denied."""

    code = "expired"


class Cancelled(Settled):
    """The call was withdrawn before anybody decided."""

    code = "cancelled"


class YouAlreadyDecided(Settled):
    """You denied this call; a denial cannot be turned into an approval."""

    code = "you_already_decided"


class Unreleasable(ApprovalsError):
    """A program may not send this call now."""

    code = "not_approved"


class NotApproved(Unreleasable):
    """Nobody has approved the call, or its time to be sent has not come."""

    code = "not_approved"


class ApprovalLapsed(Unreleasable):
    """The call was approved and not sent in time. Ask anew."""

    code = "lapsed"


class AlreadyReleased(Unreleasable):
    """The one release was taken with another token."""

    code = "already_released"


class TooMuch(ApprovalsError):
    """Too many calls; the same one may be asked again after `retry_after` seconds."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class TooManyPending(TooMuch):
    """As many calls of the agent wait for people as may."""

    code = "too_many_pending"


class TooManyTries(TooMuch):
    """Signing in failed too often from one address; wait a moment."""

    code = "too_many_tries"


class RateLimited(TooMuch):
    """A limit of the policy is reached in its window."""

    code = "rate_limited"


class CallsFrozen(ApprovalsError):
    """An admin has stopped calls; nothing is sent meanwhile."""

    code = "frozen"


class DigestMismatch(ApprovalsError):
    """The decision names other content than what is asked now: read the call again."""

    code = "digest_mismatch"


class IllegalTransition(ApprovalsError):
    """The state machine has no such step from here."""

    code = "illegal_transition"


class ChannelFailed(ApprovalsError):
    """A channel did not take what it was given; the sentence has its reason."""

    code = "channel_failed"


class StoreFailure(ApprovalsError):
    """The database did not do as asked."""

    code = "unavailable"


class Overloaded(StoreFailure):
    """Too many writes are waiting; this one was not applied. Try again in a moment."""

    code = "overloaded"


class Unavailable(StoreFailure):
    """The database cannot be reached or refused the write; it was not applied."""

    code = "unavailable"


class Undetermined(StoreFailure):
    """No definite answer came before the deadline: the write may or may not be applied."""

    code = "undetermined"


class ConfigurationInvalid(ApprovalsError):
    """A policy or configuration does not load; `problems` lists all of it at once."""

    code = "configuration_invalid"

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join([f"{source} does not load:", *(f"  {p}" for p in problems)]))
