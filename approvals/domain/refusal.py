"""What an agent is told of a call that was parked and has no result.

The wording is part of the product: an agent that misreads it sends the call again
(GATEWAY.md, "What the model reads").
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING

from approvals.domain.card import clock_time, denial_reason, span_in_words
from approvals.domain.directory import EVERYONE, approver_title, title
from approvals.domain.display import shortened, visible
from approvals.domain.refused import Code, Refusal, frozen, rate_limited
from approvals.domain.states import (
    Answer,
    Approval,
    Approved,
    CancelReason,
    Denied,
    Lapsed,
    Outcome,
    Overdue,
    Pending,
    Released,
    ReleaseStatus,
    Withdrawn,
)
from approvals.domain.strictjson import quoted
from approvals.domain.summary import json_shown

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from approvals.domain.limits import Charge

MAX_ECHO = 400


def pending(approval: Approval, zone: tzinfo = UTC, pages: str = "") -> Refusal:
    """Nobody has answered yet and this request will not wait longer."""
    until = clock_time(approval.expires_at, zone, seconds=False)
    return Refusal(
        code=Code.PENDING,
        rule=approval.rule,
        approval_id=approval.id,
        message=(
            f"NOT EXECUTED YET: this call waits for a person until {until} ({approval.id}). "
            f"{_where(approval, pages)}Continue with other work, or send exactly the same call "
            "again to go on waiting; it will not be asked or run twice. Do not change the "
            "arguments."
        ),
        retry_allowed=True,
        expires_at=approval.expires_at,
    )


def waiting_for(approval: Approval, zone: tzinfo = UTC, pages: str = "") -> str:
    """What a client may show while its call is held."""
    until = clock_time(approval.expires_at, zone, seconds=False)
    said = f"Waiting for a person until {until} ({approval.id}). {_where(approval, pages)}"
    return said.rstrip()


def _where(approval: Approval, pages: str) -> str:
    """Where a person reads the call and decides: an address that opens nothing by itself."""
    return f"A person decides at {pages}/a/{approval.id} " if pages else ""


def underway(approval: Approval) -> Refusal:
    """Approved, and the sending or its answer takes longer than this request waits."""
    if isinstance(approval.state, Approved):
        how = "NOT EXECUTED YET: the call was approved and is about to be sent."
    else:
        how = "SENT: the call was approved and sent, and its answer is not here yet."
    return Refusal(
        code=Code.PENDING,
        rule=approval.rule,
        approval_id=approval.id,
        message=(
            f"{how} Send exactly the same call again to get its answer; it will not run twice. "
            f"({approval.id})"
        ),
        retry_allowed=True,
    )


def unreadable(approval: Approval) -> Refusal:
    """It ran, and its stored result cannot be read at this moment."""
    return Refusal(
        code=Code.UNAVAILABLE,
        rule=approval.rule,
        approval_id=approval.id,
        message=(
            "EXECUTED: the call was approved and ran, and its result cannot be read now. Send "
            f"exactly the same call again to get it; it will not run twice. ({approval.id})"
        ),
        retry_allowed=True,
        retry_after=5,
    )


def out_of_sight(approval: Approval) -> Refusal:
    """It was held, and how it stands now cannot be read at this moment."""
    return Refusal(
        code=Code.OUTCOME_UNKNOWN,
        rule=approval.rule,
        approval_id=approval.id,
        message=(
            "OUTCOME UNKNOWN: the call was held, and how it stands cannot be read now. It may wait "
            "for a person, or have run. Send exactly the same call again in a moment: it will "
            f"not be asked or run twice. ({approval.id})"
        ),
        retry_allowed=True,
        retry_after=5,
    )


def unreachable(approval: Approval, why: str) -> Refusal:
    """Approved, and the server cannot be reached: the approval stays until its use_by."""
    return Refusal(
        code=Code.UNAVAILABLE,
        rule=approval.rule,
        approval_id=approval.id,
        message=(
            f"NOT EXECUTED: the call was approved, but it could not be sent. {why} Send exactly "
            f"the same call again soon; nobody has to be asked again for now. ({approval.id})"
        ),
        retry_allowed=True,
        retry_after=5,
    )


def too_large_to_keep(approval: Approval) -> Refusal:
    """It ran, for a client that is gone, and its result was larger than what is kept."""
    return Refusal(
        code=Code.FAILED,
        rule=approval.rule,
        approval_id=approval.id,
        message=(
            "EXECUTED: the call was approved and ran, and its result was too large to keep. "
            f"Do not repeat it. Ask your user to check. ({approval.id})"
        ),
    )


def limit_reached(approval: Approval, charge: Charge, now: datetime) -> Refusal:
    """Approved, and at the moment of sending a counter has no room: the approval stays."""
    found = rate_limited(charge, now)
    stays = "" if charge.hopeless else " It stays approved for a while."
    return replace(
        found, approval_id=approval.id, message=f"{found.message}{stays} ({approval.id})"
    )


def frozen_meanwhile(approval: Approval, reason: str) -> Refusal:
    """Approved, and frozen before it was sent."""
    found = frozen(reason)
    return replace(
        found,
        rule=approval.rule,
        approval_id=approval.id,
        message=f"{found.message} ({approval.id})",
    )


def refusal_of(approval: Approval, zone: tzinfo = UTC, pages: str = "") -> Refusal:
    """What the state of an approval means for the agent that asked, where there is no result.

    Times are told in `zone`; `pages` is where people decide.
    """
    match approval.state:
        case Pending():
            return pending(approval, zone, pages)
        case Denied():
            return _denied(approval)
        case Overdue():
            return _expired(approval)
        case Withdrawn(reason=reason):
            return _withdrawn(approval, reason)
        case Lapsed():
            return _ended(
                approval,
                Code.LAPSED,
                "the approval was not used in time. It was given and nobody was waiting. Send the "
                "same call again to ask anew.",
                retry_allowed=True,
            )
        case Released(outcome=Outcome(status=status)):
            return _released(approval, status)
    return underway(approval)


def _denied(approval: Approval) -> Refusal:
    names = sorted(
        {_group(name) for stage in approval.stages for name in stage.approvers if name != EVERYONE}
    )
    reason = denial_reason(approval)
    if approval.requirement.name_approvers:
        names = [title(decider) for decider in _denier(approval)]
    by = f" by {' or '.join(names)}" if names else ""
    given = f" Reason given{by}: {_quote(reason)}." if reason else ""
    return _ended(
        approval,
        Code.APPROVAL_DENIED,
        f"a person denied this call. {_echo(approval)} did not reach the "
        f"{visible(approval.call.server)}."
        f"{given} Do not send this call again and do not seek the same effect with another "
        "tool. Tell your user what was denied and why, and ask how to continue.",
    )


def _denier(approval: Approval) -> list[str]:
    """Whose reason is quoted."""
    reason = denial_reason(approval)
    denials = [d for d in approval.standing if d.answer is Answer.DENY]
    return [d.person for d in denials if d.reason == reason][-1:]


def _expired(approval: Approval) -> Refusal:
    waited = span_in_words(approval.expires_at - approval.created_at)
    return _ended(
        approval,
        Code.EXPIRED,
        f"nobody answered within {waited}, so the call was denied. You may ask your user to alert "
        "an approver, then send the same call once more.",
        retry_allowed=True,
    )


def _withdrawn(approval: Approval, reason: CancelReason) -> Refusal:
    match reason:
        case CancelReason.RESTORED:
            return _restored(approval)
        case CancelReason.CANCELLED:
            text = "the request was withdrawn. Ask your user before you send it again."
        case CancelReason.REVOKED:
            text = (
                "an approver took this call back before it was sent. Tell your user, and do not "
                "seek the same effect with another tool."
            )
        case CancelReason.POLICY_CHANGED:
            text = (
                "the policy changed while the call waited. What was asked is no longer what the "
                "policy asks. Send the same call once more to have it judged anew."
            )
        case _:
            text = (
                "the server changed the tool's definition while the call waited. What was "
                "approved is no longer what would run. Read the tool list again first."
            )
    code = Code.CANCELLED if reason is CancelReason.REVOKED else Code(str(reason))
    return _ended(approval, code, text, retry_allowed=reason is CancelReason.POLICY_CHANGED)


def _restored(approval: Approval) -> Refusal:
    """Whether it ran after the backup was made, the database cannot know."""
    return Refusal(
        code=Code.OUTCOME_UNKNOWN,
        rule=approval.rule,
        approval_id=approval.id,
        message=(
            "OUTCOME UNKNOWN: the approval service was restored from a backup, and the call may "
            f"have run since. Do not repeat it. Ask your user to check. ({approval.id})"
        ),
    )


def _released(approval: Approval, status: ReleaseStatus) -> Refusal:
    if status is ReleaseStatus.NOT_SENT:
        return _ended(
            approval,
            Code.NOT_SENT,
            "the call was approved but could not be sent. It did not reach the tool. Send the "
            "same call again to ask anew.",
            retry_allowed=True,
        )
    if status is ReleaseStatus.SUCCEEDED:
        return too_large_to_keep(approval)
    if status is ReleaseStatus.FAILED:
        return Refusal(
            code=Code.FAILED,
            rule=approval.rule,
            approval_id=approval.id,
            message=(
                "FAILED: the call was approved and sent, and the tool reported an error. It may "
                f"have acted. Do not repeat it. Ask your user to check. ({approval.id})"
            ),
        )
    return Refusal(
        code=Code.OUTCOME_UNKNOWN,
        rule=approval.rule,
        approval_id=approval.id,
        message=(
            "OUTCOME UNKNOWN: the call was approved and sent, but no answer came back. It may "
            f"have run. Do not repeat it. Ask your user to check. ({approval.id})"
        ),
    )


def _ended(approval: Approval, code: Code, text: str, *, retry_allowed: bool = False) -> Refusal:
    return Refusal(
        code=code,
        rule=approval.rule,
        approval_id=approval.id,
        message=f"NOT EXECUTED: {text} ({approval.id})",
        retry_allowed=retry_allowed,
    )


def _group(approver: str) -> str:
    """The agent is told the group, and no person's name."""
    return "an approver" if approver.startswith("person:") else approver_title(approver)


def _echo(approval: Approval) -> str:
    """The call as the agent wrote it: `cancel_order(symbol "BTCUSD", orderId 12345)`."""
    if approval.erased is not None:
        return visible(approval.call.tool)
    arguments = approval.shown_arguments.items()
    inside = ", ".join(f"{visible(name)} {json_shown(value)}" for name, value in arguments)
    return f"{visible(approval.call.tool)}({shortened(inside, MAX_ECHO)})"


def _quote(text: str) -> str:
    return visible(quoted(" ".join(text.split())))
