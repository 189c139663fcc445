"""What an agent is told of a call that has no approval, and what every refusal consists of.

The wording is part of the product: an agent that misreads it sends the call again
(GATEWAY.md, "What the model reads"): first whether it ran, then what, why, and what now.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from approvals.domain.card import span_in_words
from approvals.domain.display import visible

if TYPE_CHECKING:
    from datetime import datetime

    from approvals.domain.limits import Charge


class Code(StrEnum):
    """Stable machine words for every way a call does not come back with a result."""

    APPROVAL_DENIED = "approval_denied"
    EXPIRED = "expired"
    PENDING = "pending"
    POLICY_DENIED = "policy_denied"
    OUTCOME_UNKNOWN = "outcome_unknown"
    CANCELLED = "cancelled"
    POLICY_CHANGED = "policy_changed"
    DEFINITION_CHANGED = "definition_changed"
    LAPSED = "lapsed"
    FROZEN = "frozen"
    RATE_LIMITED = "rate_limited"
    TOO_MANY_PENDING = "too_many_pending"
    INVALID_ARGUMENTS = "invalid_arguments"
    NOT_SENT = "not_sent"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why there is no result; `retry_allowed` says whether the same call may be sent again."""

    code: Code
    message: str
    rule: str | None = None
    approval_id: str | None = None
    retry_allowed: bool = False
    retry_after: int | None = None
    expires_at: datetime | None = None


def blocked(message: str, rule: str, *, timely: bool = False) -> Refusal:
    """The policy says no; `timely`: by a rule that looks at the time."""
    why = _sentence(message.strip() or "a rule of it says no")
    return Refusal(
        code=Code.POLICY_DENIED,
        rule=rule,
        message=(
            f"NOT EXECUTED: the policy does not allow this call: {visible(why)} "
            f"{'Retrying now will not help.' if timely else 'Retrying will not help.'}"
        ),
    )


def unjustified(rule: str) -> Refusal:
    """The policy wants to know why, and the call does not say."""
    return Refusal(
        code=Code.POLICY_DENIED,
        rule=rule,
        message=(
            "NOT EXECUTED: the policy wants a justification for this call, and it has none. Send "
            "the same call again with your reason, in a sentence for the person who decides: over "
            'MCP as the text at "mcp-approvals/justification" in `_meta`, over REST as '
            "`justification`."
        ),
        retry_allowed=True,
    )


def frozen(reason: str) -> Refusal:
    """An admin has stopped calls; nobody is asked meanwhile."""
    return Refusal(
        code=Code.FROZEN,
        message=(
            f"NOT EXECUTED: calls are frozen by an admin: {visible(_sentence(reason))} Do not "
            "retry until your user tells you that they are released."
        ),
    )


def definition_not_accepted() -> Refusal:
    """The tool is not what it was when it was first seen or accepted."""
    return Refusal(
        code=Code.DEFINITION_CHANGED,
        message=(
            "NOT EXECUTED: the server changed the definition of this tool, and no admin has "
            "accepted the change. Nobody was asked about the call. Tell your user; once the change "
            "is accepted, read the tool list again before you call."
        ),
    )


def too_many_pending(most: int) -> Refusal:
    """The agent has as many calls waiting for people as it may have."""
    return Refusal(
        code=Code.TOO_MANY_PENDING,
        message=(
            f"NOT EXECUTED: {most} calls of this agent already wait for a person. Wait until some "
            "of them are decided, then send this call again."
        ),
        retry_allowed=True,
        retry_after=30,
    )


def rate_limited(charge: Charge, now: datetime) -> Refusal:
    """A counter has no room for this call in its window."""
    if charge.hopeless:
        return blocked("the limit never has room for it", charge.pointer)
    wait = max(1, math.ceil((charge.end - now).total_seconds()))
    return Refusal(
        code=Code.RATE_LIMITED,
        rule=charge.pointer,
        message=(
            "NOT EXECUTED: the limit for such calls is reached. It starts anew in "
            f"{span_in_words(timedelta(seconds=wait))}. Send the same call again then, not before."
        ),
        retry_allowed=True,
        retry_after=wait,
    )


def invalid_arguments(why: str) -> Refusal:
    """The arguments do not fit the tool, so nobody was asked."""
    return Refusal(
        code=Code.INVALID_ARGUMENTS,
        message=(
            f"NOT EXECUTED: the arguments do not fit the tool: {visible(why)} "
            "Correct them and call again."
        ),
        retry_allowed=True,
    )


def unavailable(why: str, *, retry_after: int = 5) -> Refusal:
    """Something the service needs is not there; in doubt it denies."""
    return Refusal(
        code=Code.UNAVAILABLE,
        message=f"NOT EXECUTED: the call could not be judged. {why} Try again in a moment.",
        retry_allowed=True,
        retry_after=retry_after,
    )


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def answer_lost() -> Refusal:
    """An allowed call went out, and its answer did not come back."""
    return Refusal(
        code=Code.OUTCOME_UNKNOWN,
        message=(
            "OUTCOME UNKNOWN: the call was sent, but no answer came back. It may have run. Do not "
            "repeat it. Ask your user to check."
        ),
    )
