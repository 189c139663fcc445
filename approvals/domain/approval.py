"""THE state machine of a parked call. A status changes here and nowhere else.

Every function takes an approval and what happened, and returns the one legal Transition or raises
the error that says why there is none. Nothing here knows the time, mints an id or writes: `now`
comes from the database's clock, and the store applies a Transition only while `before` is still the
newest version and the database's time lies in [valid_from, valid_until) (PRODUCT.md, "The state
machine").
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain.call import Executor
from approvals.domain.chain import NO_EVENTS, Fact, link
from approvals.domain.directory import title
from approvals.domain.display import visible
from approvals.domain.protected import decision_facts, protected_hash
from approvals.domain.states import (
    ERASED_ARGUMENTS,
    ERASED_DETAIL,
    Answer,
    Approval,
    Approved,
    CancelReason,
    Decision,
    Denied,
    Erasure,
    Lapsed,
    NoticeKind,
    Outcome,
    Overdue,
    Parking,
    Pending,
    Released,
    ReleaseStatus,
    State,
    Transition,
    Withdrawn,
)
from approvals.errors import (
    AlreadyDecided,
    AlreadyReleased,
    Cancelled,
    DigestMismatch,
    Expired,
    IllegalTransition,
    InvalidInput,
    Settled,
    YouAlreadyDecided,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from approvals.domain.strictjson import Json

_NOTHING_HIDDEN: Mapping[str, str] = {}

REPORT_WITHIN = timedelta(minutes=10)
"""How long a program that sends for itself has to tell how it went."""


def park(
    approval: Approval,
    *,
    event_id: str,
    max_pending: int,
    hidden: Mapping[str, str] = _NOTHING_HIDDEN,
) -> Parking:
    """Put a call into the queue; `hidden` are keyed hashes of the values that nobody is shown."""
    detail: dict[str, Json] = {
        "digest": approval.digest,
        "policy": approval.policy_hash,
        "rule": approval.rule,
    }
    if hidden:
        detail["hidden"] = dict(hidden)
    fact = Fact(
        id=event_id,
        type="parked",
        actor=f"agent:{approval.call.agent}",
        at=approval.created_at,
        detail=detail,
    )
    linked = link(NO_EVENTS, approval.id, fact, protected=protected_hash(approval))
    return Parking(
        approval=replace(approval, head=linked.head),
        event=linked,
        notice=NoticeKind.REQUESTED,
        max_pending=max_pending,
    )


def decide(
    approval: Approval, decision: Decision, *, now: datetime, event_id: str
) -> Transition | None:
    """Count one person's answer. None: the same person said the same before, nothing changes;
    said again with a stronger sign-in it may count in more stages.

    Raises a Settled error when it is too late, DigestMismatch when the person saw other content.
    """
    if decision.digest is not None and decision.digest != approval.digest:
        raise DigestMismatch(
            "This decision names other content than what is asked now. Read the call again."
        )
    if decision.answer is Answer.APPROVE and decision.digest is None:
        raise DigestMismatch("An approval names the digest of what was read.")
    earlier = approval.decision_of(decision.person)
    if earlier and earlier.answer is decision.answer and decision.stages <= earlier.stages:
        return None
    check_undecided(approval, now=now)
    if earlier and earlier.answer is Answer.DENY and decision.answer is Answer.APPROVE:
        raise YouAlreadyDecided("You denied this call, and a denial stands.")
    counted = replace(approval, decisions=(*approval.decisions, decision))
    count = counted.tally
    state: State = Pending()
    if count.denied:
        state = Denied(at=now)
    elif count.reached:
        use_from = now + approval.requirement.release_delay
        use_by = use_from + approval.requirement.use_within
        state = Approved(decided_at=now, use_from=use_from, use_by=use_by)
    return _step(
        counted,
        state,
        before=approval,
        fact=Fact(
            id=event_id,
            type=_decision_event(state, decision),
            actor=f"person:{decision.person}",
            at=now,
            detail=decision_facts(decision),
        ),
        notice=NoticeKind.ENDED if isinstance(state, Denied) else NoticeKind.DECIDED,
        decision=decision,
        valid_until=approval.expires_at,
    )


def check_undecided(approval: Approval, *, now: datetime) -> None:
    """Raise the Settled error that tells a late person what happened, and by whom."""
    match approval.state:
        case Pending() if now < approval.expires_at:
            return
        case Pending() | Overdue():
            raise Expired("Nobody answered in time, so this call was denied.")
        case Withdrawn():
            raise Cancelled("This call was withdrawn.")
        case _:
            raise settled_by(approval)


def settled_by(approval: Approval) -> Settled:
    """Who decided, for the one who came second."""
    last = approval.decisions[-1]
    word = "Approved" if last.answer is Answer.APPROVE else "Denied"
    return AlreadyDecided(f"{word} by {title(last.person)} at {last.at:%H:%M:%S} UTC.")


def extend(
    approval: Approval, until: datetime, *, actor: str, now: datetime, event_id: str
) -> Transition:
    """Give people more time, at most to the requirement's `max_timeout` after parking."""
    check_undecided(approval, now=now)
    if not approval.expires_at < until <= approval.latest_deadline:
        raise InvalidInput(
            f"`until` must be later than {approval.expires_at:%Y-%m-%dT%H:%M:%SZ} and not later "
            f"than {approval.latest_deadline:%Y-%m-%dT%H:%M:%SZ}."
        )
    detail: dict[str, Json] = {"from": approval.expires_at.isoformat(), "to": until.isoformat()}
    return _step(
        replace(approval, expires_at=until),
        Pending(),
        before=approval,
        fact=Fact(id=event_id, type="extended", actor=actor, at=now, detail=detail),
        notice=NoticeKind.REMINDER,
        valid_until=approval.expires_at,
    )


def detach(approval: Approval, *, now: datetime, event_id: str) -> Transition:
    """From now on it is sent once approved, also while no request waits for it.

    The agent asks so with a request of its own, so an approved one may be detached too: it would
    be sent for that request (docs/decisions/0015).
    """
    state = approval.state
    if not isinstance(state, Pending | Approved) or approval.detached:
        raise IllegalTransition("Only what waits to be decided or sent is detached, once.")
    return _step(
        replace(approval, detached=True),
        state,
        before=approval,
        fact=Fact(
            id=event_id, type="detached", actor=f"agent:{approval.call.agent}", at=now, detail={}
        ),
        valid_until=state.use_by if isinstance(state, Approved) else approval.expires_at,
    )


def remind(approval: Approval, *, now: datetime, event_id: str) -> Transition:
    """Tell people again; reminders that were missed meanwhile are one."""
    if not isinstance(approval.state, Pending) or approval.remind_at is None:
        raise IllegalTransition("There is nothing to remind of.")
    given = replace(approval, reminded=approval.reminded + 1)
    while given.remind_at is not None and given.remind_at <= now:
        given = replace(given, reminded=given.reminded + 1)
    return _step(
        given,
        Pending(),
        before=approval,
        fact=Fact(id=event_id, type="reminded", actor="service", at=now, detail={}),
        notice=NoticeKind.REMINDER,
        valid_from=approval.remind_at,
        valid_until=approval.expires_at,
    )


def miss(approval: Approval, *, now: datetime, event_id: str) -> Transition:
    """No channel could tell anybody of it in time (CHANNELS.md, "Delivery"); it still waits."""
    if not isinstance(approval.state, Pending) or approval.unnoticed:
        raise IllegalTransition("Only what waits is missed, once.")
    return _step(
        replace(approval, unnoticed=True),
        Pending(),
        before=approval,
        fact=Fact(
            id=event_id,
            type="nobody_notified",
            actor="service",
            at=now,
            detail={"channels": list(approval.channels)},
        ),
        valid_until=approval.expires_at,
    )


def escalate(approval: Approval, *, actor: str, now: datetime, event_id: str) -> Transition:
    """Ask more people, who get the full time again, within the requirement's `max_timeout`."""
    check_undecided(approval, now=now)
    if approval.requirement.escalate_after is None or approval.escalated_at is not None:
        raise IllegalTransition("There is nobody left to ask as well.")
    deadline = min(now + approval.requirement.timeout, approval.latest_deadline)
    return _step(
        replace(
            approval,
            escalated_at=now,
            expires_at=max(approval.expires_at, deadline),
            channels=(
                *approval.channels,
                *(c for c in approval.requirement.escalate_channels if c not in approval.channels),
            ),
        ),
        Pending(),
        before=approval,
        fact=Fact(id=event_id, type="escalated", actor=actor, at=now, detail={}),
        notice=NoticeKind.ESCALATED,
        valid_until=approval.expires_at,
    )


def expire(approval: Approval, *, now: datetime, event_id: str) -> Transition:
    """Nobody answered: denied. Legal only once the deadline has passed."""
    if not isinstance(approval.state, Pending):
        raise IllegalTransition("Only a pending approval expires.")
    return _step(
        approval,
        Overdue(at=now),
        fact=Fact(id=event_id, type="expired", actor="service", at=now, detail={}),
        notice=NoticeKind.ENDED,
        valid_from=approval.expires_at,
    )


def lapse(approval: Approval, *, now: datetime, event_id: str) -> Transition:
    """Approved and not used in time."""
    if not isinstance(approval.state, Approved):
        raise IllegalTransition("Only an approved call lapses.")
    return _step(
        approval,
        Lapsed(at=now),
        fact=Fact(id=event_id, type="lapsed", actor="service", at=now, detail={}),
        notice=NoticeKind.ENDED,
        valid_from=approval.state.use_by,
    )


def cancel(
    approval: Approval,
    reason: CancelReason,
    *,
    actor: str,
    now: datetime,
    event_id: str,
    because: str | None = None,
) -> Transition:
    """Withdraw a call that was not sent yet."""
    if isinstance(approval.state, Withdrawn | Overdue):
        check_undecided(approval, now=now)
    if isinstance(approval.state, Released):
        raise AlreadyReleased(
            f"This call was sent at {approval.state.sent_at:%H:%M:%S} UTC and cannot be taken back."
        )
    if not isinstance(approval.state, Pending | Approved):
        raise settled_by(approval)
    detail: dict[str, Json] = {"reason": str(reason)}
    if because:
        detail["because"] = because
    return _step(
        approval,
        Withdrawn(reason=reason, at=now),
        fact=Fact(id=event_id, type="cancelled", actor=actor, at=now, detail=detail),
        notice=NoticeKind.ENDED,
    )


def send(
    approval: Approval,
    *,
    token: str,
    process: str,
    now: datetime,
    event_id: str,
    report_within: timedelta = REPORT_WITHIN,
) -> Transition:
    """Take the one release. Whoever gets this applied sends the call, nobody else ever.

    A program that sends for itself has `report_within` to tell how it went.
    """
    if not isinstance(approval.state, Approved):
        raise IllegalTransition("Only an approved call is sent.")
    by_caller = approval.call.executor is Executor.CALLER
    released = Released(
        approved=approval.state,
        token=token,
        process=process,
        sent_at=now,
        report_by=now + report_within if by_caller else None,
    )
    return _step(
        approval,
        released,
        fact=Fact(
            id=event_id,
            type="sent",
            actor=sender(approval),
            at=now,
            detail={"digest": approval.digest, "process": process},
        ),
        valid_from=approval.state.use_from,
        valid_until=approval.state.use_by,
        freezable=True,
    )


def give_input(
    approval: Approval, *, given: str, process: str, now: datetime, event_id: str
) -> Transition:
    """The client answered what the server asked during the release; `given` is the hash of it.

    Whoever gets this applied passes it on, nobody else ever; from then on `process` has it.
    """
    state = approval.state
    if not isinstance(state, Released) or state.outcome or not approval.requirement.allow_input:
        raise IllegalTransition(
            "Only a call that is being sent is given input, where the rule lets."
        )
    return _step(
        approval,
        replace(state, process=process),
        fact=Fact(
            id=event_id,
            type="input_given",
            actor=f"agent:{approval.call.agent}",
            at=now,
            detail={"input": given, "process": process},
        ),
        freezable=True,
    )


def sender(approval: Approval) -> str:
    """Who sends this call, as the audit names it."""
    by_caller = approval.call.executor is Executor.CALLER
    return f"agent:{approval.call.agent}" if by_caller else "service"


def finish(
    approval: Approval,
    outcome: Outcome,
    *,
    token: str,
    event_id: str,
    result: str | None = None,
    actor: str = "service",
) -> Transition:
    """Record how the sending ended; only the sender's token can, and only once.

    `outcome_unknown` is corrected by a later result of the same token; of a call that was erased
    meanwhile nothing but the status is kept. What a program says of it stands in the approval only,
    not in the event, so that it can be erased.
    """
    state = approval.state
    if not isinstance(state, Released) or state.token != token:
        raise IllegalTransition("Only the sender finishes a release.")
    final = {ReleaseStatus.SUCCEEDED, ReleaseStatus.FAILED}
    if state.outcome and not (
        state.outcome.status is ReleaseStatus.OUTCOME_UNKNOWN and outcome.status in final
    ):
        raise IllegalTransition("This release has ended.")
    if approval.erased is not None:
        outcome, result = _without_words(approval, outcome), None
    detail: dict[str, Json] = {"result": outcome.result_hash}
    if approval.call.executor is Executor.GATEWAY:
        detail["detail"] = outcome.detail
    return _step(
        approval,
        replace(state, outcome=outcome),
        fact=Fact(id=event_id, type=str(outcome.status), actor=actor, at=outcome.at, detail=detail),
        notice=NoticeKind.FINISHED,
        result=result,
    )


def hand_over(approval: Approval, *, delivered: bool, now: datetime, event_id: str) -> Transition:
    """Note that a connected client was given the outcome, or that the one given it had left."""
    state = approval.state
    if not isinstance(state, Released) or state.outcome is None:
        raise IllegalTransition("There is no outcome to hand over.")
    if state.outcome.delivered is delivered:
        raise IllegalTransition("The outcome is where it should be.")
    return _step(
        approval,
        replace(state, outcome=replace(state.outcome, delivered=delivered)),
        fact=Fact(
            id=event_id,
            type="delivered" if delivered else "undelivered",
            actor="service",
            at=now,
            detail={},
        ),
    )


def lose(approval: Approval, *, now: datetime, event_id: str, restored: bool = False) -> Transition:
    """The sender died or did not report after sending: nobody knows whether the call ran.

    `restored`: the database is older than the sending, so nothing is waited for.
    """
    state = approval.state
    if not isinstance(state, Released) or state.outcome:
        raise IllegalTransition("Only a call that is being sent can be lost.")
    detail = "The service stopped after sending and before an answer came."
    if state.report_by is not None:
        detail = "The program that sent the call did not tell how it went."
    if restored:
        detail = "The database was restored from a backup, which does not know how the call went."
    lost = finish(
        approval,
        Outcome(
            status=ReleaseStatus.OUTCOME_UNKNOWN,
            detail=detail,
            at=now,
            delivered=False,
        ),
        token=state.token,
        event_id=event_id,
    )
    return replace(lost, valid_from=None if restored else state.report_by)


def what_is_erased(approval: Approval) -> dict[str, str]:
    """The texts of an approval that may hold values of its call."""
    call = approval.call
    kept = {"arguments": call.arguments, "summary": approval.summary}
    if call.justification is not None:
        kept["justification"] = call.justification
    if isinstance(approval.state, Released) and approval.state.outcome:
        kept["detail"] = approval.state.outcome.detail
    return kept


def erase(
    approval: Approval, *, hashes: Mapping[str, str], now: datetime, event_id: str
) -> Erasure:
    """Forget what was asked and what was answered; `hashes` are keyed hashes of `what_is_erased`.

    Who decided, when and why, and everything that is chained, stays.
    """
    if approval.is_open or approval.erased is not None:
        raise IllegalTransition("Only a call that has ended is erased, and only once.")
    call = replace(approval.call, arguments=ERASED_ARGUMENTS, argument_order=(), justification=None)
    state = approval.state
    if isinstance(state, Released) and state.outcome:
        state = replace(state, outcome=_without_words(approval, state.outcome))
    step = _step(
        replace(
            approval,
            call=call,
            summary=f"{visible(call.tool)} (arguments erased)",
            erased=hashes["arguments"],
        ),
        state,
        before=approval,
        fact=Fact(
            id=event_id,
            type="erased",
            actor="service",
            at=now,
            detail={"hashes": dict(hashes)},
        ),
    )
    return Erasure(before=approval, after=step.after, event=step.event)


def _without_words(approval: Approval, outcome: Outcome) -> Outcome:
    """The outcome without what a program said of it; the service's own words hold no values."""
    by_caller = approval.call.executor is Executor.CALLER
    return replace(outcome, detail=ERASED_DETAIL) if by_caller else outcome


def _step(
    after: Approval,
    state: State,
    *,
    fact: Fact,
    before: Approval | None = None,
    notice: NoticeKind | None = None,
    decision: Decision | None = None,
    result: str | None = None,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
    freezable: bool = False,
) -> Transition:
    before = before or after
    after = replace(after, state=state, version=before.version + 1)
    event = link(before.head, before.id, fact, protected=protected_hash(after))
    return Transition(
        before=before,
        after=replace(after, head=event.head),
        event=event,
        notice=notice,
        decision=decision,
        result=result,
        valid_from=valid_from,
        valid_until=valid_until,
        freezable=freezable,
    )


def _decision_event(state: State, decision: Decision) -> str:
    match state:
        case Approved():
            return "approved"
        case Denied():
            return "denied"
    return "approval_counted" if decision.answer is Answer.APPROVE else "denial_counted"
