"""THE state machine of a parked call. A status changes here and nowhere else.

Every function takes an approval and what happened, and returns the one legal Transition or raises
the error that says why there is none. Nothing here knows the time, mints an id or writes: `now`
comes from the database's clock, and the store applies a Transition only while `before` is still the
newest version and the database's time lies in [valid_from, valid_until) (PRODUCT.md, "The state
machine").
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from approvals.domain.chain import NO_EVENTS, Fact, link
from approvals.domain.directory import title
from approvals.domain.protected import decision_facts, protected_hash
from approvals.domain.quorum import tally
from approvals.domain.states import (
    Answer,
    Approval,
    Approved,
    CancelReason,
    Decision,
    Denied,
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
    votes,
)
from approvals.errors import (
    AlreadyDecided,
    Cancelled,
    DigestMismatch,
    Expired,
    IllegalTransition,
    Settled,
    YouAlreadyDecided,
)

if TYPE_CHECKING:
    from datetime import datetime


def park(approval: Approval, *, event_id: str) -> Parking:
    """Put a call into the queue."""
    fact = Fact(
        id=event_id,
        type="parked",
        actor=f"agent:{approval.call.agent}",
        at=approval.created_at,
        detail={"digest": approval.digest, "policy": approval.policy_hash, "rule": approval.rule},
    )
    linked = link(NO_EVENTS, approval.id, fact, protected=protected_hash(approval))
    return Parking(
        approval=replace(approval, head=linked.head), event=linked, notice=NoticeKind.REQUESTED
    )


def decide(
    approval: Approval, decision: Decision, *, now: datetime, event_id: str
) -> Transition | None:
    """Count one person's answer. None: the same person said the same before, nothing changes.

    Raises a Settled error when it is too late, DigestMismatch when the person saw other content.
    """
    if decision.digest is not None and decision.digest != approval.digest:
        raise DigestMismatch(
            "This decision names other content than what is asked now. Read the call again."
        )
    if decision.answer is Answer.APPROVE and decision.digest is None:
        raise DigestMismatch("An approval names the digest of what was read.")
    earlier = approval.answer_of(decision.person)
    if earlier is decision.answer:
        return None
    check_undecided(approval, now=now)
    if earlier is Answer.DENY:
        raise YouAlreadyDecided("You denied this call, and a denial stands.")
    decisions = (*approval.decisions, decision)
    count = tally(
        approval.requirement.stages, votes(replace(approval, decisions=decisions).standing)
    )
    state: State = Pending()
    if count.denied:
        state = Denied(at=now)
    elif count.reached:
        state = Approved(decided_at=now, use_from=now, use_by=now + approval.requirement.use_within)
    return _step(
        replace(approval, decisions=decisions),
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
            raise Cancelled("This call was withdrawn before it was decided.")
        case _:
            raise settled_by(approval)


def settled_by(approval: Approval) -> Settled:
    """Who decided, for the one who came second."""
    last = approval.decisions[-1]
    word = "Approved" if last.answer is Answer.APPROVE else "Denied"
    return AlreadyDecided(f"{word} by {title(last.person)} at {last.at:%H:%M:%S} UTC.")


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
    approval: Approval, reason: CancelReason, *, actor: str, now: datetime, event_id: str
) -> Transition:
    """Withdraw a call that was not sent yet."""
    if isinstance(approval.state, Withdrawn | Overdue):
        check_undecided(approval, now=now)
    if not isinstance(approval.state, Pending | Approved):
        raise settled_by(approval)
    return _step(
        approval,
        Withdrawn(reason=reason, at=now),
        fact=Fact(
            id=event_id, type="cancelled", actor=actor, at=now, detail={"reason": str(reason)}
        ),
        notice=NoticeKind.ENDED,
    )


def send(
    approval: Approval, *, token: str, process: str, now: datetime, event_id: str
) -> Transition:
    """Take the one release. Whoever gets this applied sends the call, nobody else ever."""
    if not isinstance(approval.state, Approved):
        raise IllegalTransition("Only an approved call is sent.")
    return _step(
        approval,
        Released(approved=approval.state, token=token, process=process, sent_at=now),
        fact=Fact(
            id=event_id,
            type="sent",
            actor="service",
            at=now,
            detail={"digest": approval.digest, "process": process},
        ),
        valid_from=approval.state.use_from,
        valid_until=approval.state.use_by,
    )


def finish(
    approval: Approval,
    outcome: Outcome,
    *,
    token: str,
    event_id: str,
    result: str | None = None,
) -> Transition:
    """Record how the sending ended; only the sender's token can, and only once.

    `outcome_unknown` is corrected by a later result of the same token.
    """
    state = approval.state
    if not isinstance(state, Released) or state.token != token:
        raise IllegalTransition("Only the sender finishes a release.")
    final = {ReleaseStatus.SUCCEEDED, ReleaseStatus.FAILED}
    if state.outcome and not (
        state.outcome.status is ReleaseStatus.OUTCOME_UNKNOWN and outcome.status in final
    ):
        raise IllegalTransition("This release has ended.")
    return _step(
        approval,
        replace(state, outcome=outcome),
        fact=Fact(
            id=event_id,
            type=str(outcome.status),
            actor="service",
            at=outcome.at,
            detail={"detail": outcome.detail, "result": outcome.result_hash},
        ),
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


def lose(approval: Approval, *, now: datetime, event_id: str) -> Transition:
    """The sender died between sending and answering: nobody knows whether the call ran."""
    state = approval.state
    if not isinstance(state, Released) or state.outcome:
        raise IllegalTransition("Only a call that is being sent can be lost.")
    return finish(
        approval,
        Outcome(
            status=ReleaseStatus.OUTCOME_UNKNOWN,
            detail="The service stopped after sending and before an answer came.",
            at=now,
            delivered=False,
        ),
        token=state.token,
        event_id=event_id,
    )


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
    )


def _decision_event(state: State, decision: Decision) -> str:
    match state:
        case Approved():
            return "approved"
        case Denied():
            return "denied"
    return "approval_counted" if decision.answer is Answer.APPROVE else "denial_counted"
