"""Programs that run an approved call themselves take its one release here, and report the outcome.

The program makes the release token: asking again with it is the same release, never a second one
(API.md, "release").
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from approvals.domain import approval as machine
from approvals.domain.call import Executor
from approvals.domain.card import clock_time
from approvals.domain.refused import rate_limited
from approvals.domain.states import (
    Approval,
    Approved,
    CancelReason,
    Lapsed,
    Outcome,
    Released,
    ReleaseStatus,
    Withdrawn,
)
from approvals.errors import (
    AlreadyReleased,
    ApprovalLapsed,
    CallsFrozen,
    Cancelled,
    DigestMismatch,
    Forbidden,
    NotApproved,
    Overloaded,
    RateLimited,
)
from approvals.ports import Applied, Frozen
from approvals.service.release import ground_lost, reserve
from approvals.service.waiting import MAX_RESULT_WAIT

if TYPE_CHECKING:
    from datetime import timedelta

    from approvals.domain.states import Transition
    from approvals.ports import Clock, Ids, Signals, Store
    from approvals.service.approvals import Approvals
    from approvals.service.gate import Gate
    from approvals.service.identity import AgentPrincipal
    from approvals.service.rules import Rules

TRIES = 10
GROUND_LOST = "The policy has changed. Do not send the call; if it was sent, report its outcome."

_DETAIL = {
    ReleaseStatus.SUCCEEDED: "The program says that the tool answered.",
    ReleaseStatus.FAILED: "The program says that the tool reported an error; it may have acted.",
    ReleaseStatus.NOT_SENT: "The program says that it did not send the call.",
}


class CallerReleases:
    """The release of calls whose executor is the program that asked."""

    def __init__(
        self,
        *,
        store: Store,
        approvals: Approvals,
        gate: Gate,
        rules: Rules,
        clock: Clock,
        ids: Ids,
        signals: Signals,
        report_within: timedelta = machine.REPORT_WITHIN,
    ) -> None:
        self._store = store
        self._approvals = approvals
        self._gate = gate
        self._rules = rules
        self._clock = clock
        self._ids = ids
        self._signals = signals
        self._report_within = report_within

    async def release(
        self, by: AgentPrincipal, approval_id: str, *, token: str, digest: str
    ) -> Approval:
        """Take the one release; from here on the call counts as sent.

        With the token of an earlier answer it is that answer again, until the outcome is told.
        Raises Unreleasable, Cancelled, DigestMismatch, RateLimited and CallsFrozen errors; then
        nothing may be sent.
        """
        for _ in range(TRIES):
            approval = await self._theirs(by, approval_id)
            if digest != approval.digest:
                raise DigestMismatch("This release names other content than what was approved.")
            if isinstance(approval.state, Released):
                return await self._again(approval, approval.state, token)
            self._check(approval)
            if taken := await self._take(approval, token):
                return taken
        raise Overloaded("The call changes too fast. Try again.")

    async def report(
        self,
        by: AgentPrincipal,
        approval_id: str,
        *,
        token: str,
        status: ReleaseStatus,
        detail: str | None,
    ) -> Approval:
        """Record how the program's sending ended; only with its token, and only once.

        A report after `report_by` corrects `outcome_unknown`. Raises Unreleasable and
        IllegalTransition errors.
        """
        for _ in range(TRIES):
            approval = await self._theirs(by, approval_id)
            if not isinstance(approval.state, Released):
                raise NotApproved("This call was not released, so it has no outcome.")
            _check_token(approval.state, token)
            if approval.state.outcome and approval.state.outcome.status is status:
                return approval
            transition = self._finishing(approval, token, status, detail or _DETAIL[status])
            if isinstance(await self._store.apply(transition, within=MAX_RESULT_WAIT), Applied):
                self._signals.changed(approval.id, transition.after.version)
                return transition.after
        raise Overloaded("The call changes too fast. Try again.")

    async def _again(self, approval: Approval, state: Released, token: str) -> Approval:
        """The same release, for a program that lost the answer and has not told an outcome."""
        _check_token(state, token)
        if state.outcome is not None:
            raise AlreadyReleased(f"This release has ended ({state.outcome.status}).")
        call = approval.call
        if ground_lost(approval, self._gate.judge(call)):
            raise NotApproved(GROUND_LOST)
        freeze = await self._store.freeze_of(server=call.server, agent=call.agent)
        if freeze is not None:
            raise CallsFrozen(f"Calls are frozen by an admin: {freeze.reason}")
        return approval

    async def _theirs(self, by: AgentPrincipal, approval_id: str) -> Approval:
        approval = await self._approvals.settle(await self._approvals.seen(by, approval_id))
        if approval.call.executor is not Executor.CALLER:
            raise Forbidden("The gateway sends this call, not the program.")
        return approval

    def _check(self, approval: Approval) -> None:
        match approval.state:
            case Approved(use_from=use_from) if use_from > self._clock.now():
                moment = clock_time(use_from, self._rules.current.zone)
                raise NotApproved(f"Approved, and not to be sent before {moment}.")
            case Approved():
                return
            case Lapsed():
                raise ApprovalLapsed("The approval was not used in time. Ask anew.")
            case Withdrawn(reason=reason):
                raise Cancelled(f"This call was withdrawn ({reason}).")
        raise NotApproved(f"This call is {approval.status}, so it is not sent.")

    async def _take(self, approval: Approval, token: str) -> Approval | None:
        """Judge, reserve, commit `sent`; None: it changed meanwhile, look again."""
        verdict = self._gate.judge(approval.call)
        if ground_lost(approval, verdict):
            await self._approvals.withdraw(approval, CancelReason.POLICY_CHANGED)
            return None
        if full := await reserve(self._store, approval, verdict):
            refusal = rate_limited(full, self._clock.now())
            raise RateLimited(refusal.message, retry_after=refusal.retry_after or 1)
        transition = machine.send(
            approval,
            token=token,
            process=machine.sender(approval),
            now=self._clock.now(),
            event_id=self._ids.event(),
            report_within=self._report_within,
        )
        match await self._store.apply(transition, within=MAX_RESULT_WAIT):
            case Applied() if ground_lost(approval, self._gate.judge(approval.call)):
                await self._never_sent(transition.after, token)
                raise NotApproved(GROUND_LOST)
            case Applied():
                self._signals.changed(approval.id, transition.after.version)
                return transition.after
            case Frozen(reason=reason):
                raise CallsFrozen(f"Calls are frozen by an admin: {reason}")
        return None

    async def _never_sent(self, taken: Approval, token: str) -> None:
        transition = self._finishing(
            taken, token, ReleaseStatus.NOT_SENT, "The policy changed before it was sent."
        )
        await self._store.apply(transition, within=MAX_RESULT_WAIT)
        self._signals.changed(taken.id, transition.after.version)

    def _finishing(
        self, released: Approval, token: str, status: ReleaseStatus, detail: str
    ) -> Transition:
        return machine.finish(
            released,
            Outcome(
                status=status,
                detail=detail,
                at=self._clock.now(),
                delivered=True,  # the program is the one who would be told
            ),
            token=token,
            event_id=self._ids.event(),
            actor=machine.sender(released),
        )


def _check_token(state: Released, token: str) -> None:
    if not hmac.compare_digest(state.token.encode(), token.encode()):
        raise AlreadyReleased("This call was released with another token. It is sent only once.")
