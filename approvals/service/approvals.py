"""Decide, cancel, expire, read: what people and time do to a parked call."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from approvals.domain import approval as machine
from approvals.domain.rights import may_cancel, may_steer, rights_of
from approvals.domain.states import Answer, Approved, CancelReason, Decision, Pending
from approvals.errors import AlreadyDecided, Forbidden, NotFound, Overloaded
from approvals.ports import Answer as StoreAnswer
from approvals.ports import Applied, Page, Step, TooLate, Urgency
from approvals.service.fields import fields
from approvals.service.identity import AgentPrincipal, PersonPrincipal, Principal
from approvals.service.waiting import MAX_RESULT_WAIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta
    from typing import Any

    from approvals.domain.states import Approval, Transition
    from approvals.ports import Clock, Ids, ListFilter, Signals, Store, Tracer
    from approvals.service.reveal import Reveals
    from approvals.service.rules import Rules

logger = logging.getLogger(__name__)

TRIES = 30
"""How often a decision is made again because another one on the same call was first."""
SWEEP = 1000
NOWHERE = "There is no such approval."


@dataclass(frozen=True, kw_only=True, slots=True)
class Answering:
    """What a person says: the digest names what was read."""

    answer: Answer
    digest: str | None
    reason: str | None
    channel: str
    revealed: str | None = None
    """The proof that hidden values were shown to this person (see `reveal`)."""


class Approvals:
    """The use cases over one approval; every surface calls these and no others."""

    def __init__(
        self,
        *,
        store: Store,
        rules: Rules,
        clock: Clock,
        ids: Ids,
        signals: Signals,
        tracer: Tracer,
        reveals: Reveals,
    ) -> None:
        self._reveals = reveals
        self._store = store
        self._rules = rules
        self._clock = clock
        self._ids = ids
        self._signals = signals
        self._tracer = tracer

    async def get(self, by: Principal, approval_id: str) -> Approval:
        """An approval as it is now: one past its deadline is shown as ended.

        Raises NotFound also for what `by` may not see.
        """
        return self.shown(await self.seen(by, approval_id))

    def shown(self, approval: Approval) -> Approval:
        """As it reads now; recording a passed deadline is left to the sweep and to deciders."""
        transition = self._overdue(approval)
        return transition.after if transition else approval

    async def page(self, by: Principal, filter_: ListFilter) -> Page:
        """Approvals that `by` may see, youngest first."""
        if isinstance(by, AgentPrincipal):
            if filter_.agent not in {None, by.name}:
                return Page(approvals=[], more=False)
            filter_ = replace(filter_, agent=by.name)
        page = await self._store.page(filter_)
        return replace(page, approvals=[self.shown(found) for found in page.approvals])

    async def decide(self, by: Principal, approval_id: str, answering: Answering) -> Approval:
        """Count one person's answer, and return the approval after it.

        Rights are judged here and now, whatever was shown before. Raises Forbidden, Settled or
        DigestMismatch errors that say why not.
        """
        with self._tracer.span(Step.DECIDE) as span:
            decided = await self._decide(by, approval_id, answering)
            span.approval(decided)
            return decided

    async def _decide(self, by: Principal, approval_id: str, answering: Answering) -> Approval:
        for _ in range(TRIES):
            approval = await self.settle(await self.seen(by, approval_id))
            if not isinstance(by, PersonPrincipal):
                raise Forbidden("An agent never decides. Ask a person.")
            transition = self._decision(by, approval, answering)
            if transition is None:
                return approval
            match await self._apply(transition):
                case Applied():
                    return transition.after
                case TooLate():
                    await self.settle(approval)
        raise Overloaded("Too many people decide at this moment. Try again.")

    async def cancel(self, by: Principal, approval_id: str) -> Approval:
        """Withdraw a call that was not sent yet: the requester, its owner or an admin may."""

        def step(approval: Approval) -> Transition:
            directory = self._rules.current.directory
            if isinstance(by, PersonPrincipal) and not may_cancel(by.name, approval, directory):
                raise Forbidden("Only the requester, its owner or an admin withdraws a call.")
            return self._cancellation(by, approval)

        return await self._change(by, approval_id, step)

    async def revoke(self, by: Principal, approval_id: str, *, reason: str | None) -> Approval:
        """Take a call back that was not sent yet: who may decide on it, or an admin."""
        return await self._steer(
            by,
            approval_id,
            lambda approval, how: machine.cancel(
                approval, CancelReason.REVOKED, because=reason, **how
            ),
        )

    async def extend(self, by: Principal, approval_id: str, *, until: datetime) -> Approval:
        """Give people more time: who may decide on it, or an admin."""
        return await self._steer(
            by, approval_id, lambda approval, how: machine.extend(approval, until, **how)
        )

    async def escalate(self, by: Principal, approval_id: str) -> Approval:
        """Ask more people now: who may decide on it, or an admin."""
        return await self._steer(
            by, approval_id, lambda approval, how: machine.escalate(approval, **how)
        )

    async def _steer(
        self, by: Principal, approval_id: str, make: Callable[[Approval, Any], Transition]
    ) -> Approval:
        def step(approval: Approval) -> Transition:
            directory = self._rules.current.directory
            if not isinstance(by, PersonPrincipal) or not may_steer(
                by.name, by.assurance, approval, directory
            ):
                raise Forbidden("Only who may decide on this call, or an admin, does this.")
            how = {
                "actor": f"person:{by.name}",
                "now": self._clock.now(),
                "event_id": self._ids.event(),
            }
            return make(approval, how)

        return await self._change(by, approval_id, step)

    async def _change(
        self, by: Principal, approval_id: str, step: Callable[[Approval], Transition]
    ) -> Approval:
        """Take one step from wherever the approval stands, again when somebody was faster."""
        for _ in range(TRIES):
            approval = await self.settle(await self.seen(by, approval_id))
            transition = step(approval)
            if isinstance(await self._apply(transition), Applied):
                return transition.after
        raise Overloaded("The call changes too fast. Try again.")

    def _cancellation(self, by: Principal, approval: Approval) -> Transition:
        if isinstance(by, PersonPrincipal):
            return self.withdrawal(approval, CancelReason.CANCELLED, actor=f"person:{by.name}")
        try:
            return self.withdrawal(approval, CancelReason.CANCELLED, actor=f"agent:{by.name}")
        except AlreadyDecided:
            raise AlreadyDecided("This call was decided before.") from None  # by whom is not told

    async def abandon(self, approval_id: str) -> None:
        """Nobody waits for the call any more, and its rule says that it then ends; a task goes on.

        Raises Settled errors when it was decided or sent before.
        """
        for _ in range(TRIES):
            approval = await self._store.approval(approval_id)
            if approval is None or approval.detached:
                return
            approval = await self.settle(approval)
            actor = f"agent:{approval.call.agent}"
            transition = self.withdrawal(approval, CancelReason.CANCELLED, actor=actor)
            if isinstance(await self._apply(transition), Applied):
                return

    async def withdraw(self, approval: Approval, reason: CancelReason) -> Approval:
        """Withdraw because the ground under the approval changed; the newest version after it."""
        transition = self.withdrawal(approval, reason, actor="service")
        if isinstance(await self._apply(transition), Applied):
            return transition.after
        return await self._store.approval(approval.id) or approval

    def withdrawal(self, approval: Approval, reason: CancelReason, *, actor: str) -> Transition:
        return machine.cancel(
            approval,
            reason,
            actor=actor,
            now=self._clock.now(),
            event_id=self._ids.event(),
        )

    async def settle(self, approval: Approval, *, urgency: Urgency = Urgency.PEOPLE) -> Approval:
        """Record that a deadline has passed, if one has, whether or not the sweep ran."""
        transition = self._overdue(approval)
        if transition is None:
            return approval
        if isinstance(await self._apply(transition, urgency=urgency), Applied):
            return transition.after
        return await self._store.approval(approval.id) or approval

    async def expire_due(self) -> int:
        """Record every deadline that has passed; how many there were."""
        total = 0
        while True:
            overdue = await self._store.overdue(now=self._clock.now(), limit=SWEEP)
            settled = await asyncio.gather(*(self._settle_one(approval) for approval in overdue))
            total += sum(settled)
            if len(overdue) < SWEEP or not any(settled):
                return total

    async def remind_due(self) -> int:
        """Tell people again, or more people, wherever that is due; how many approvals it were."""
        due = await self._store.to_remind(now=self._clock.now(), limit=SWEEP)
        await asyncio.gather(*(self._settle_one(approval) for approval in due))
        return len(due)

    async def miss_due(self, *, within: timedelta) -> int:
        """Record of which calls nobody could be told within this time; how many there were."""
        now = self._clock.now()
        missed = await self._store.unnoticed(before=now - within, limit=SWEEP)
        for approval in missed:
            transition = machine.miss(approval, now=now, event_id=self._ids.event())
            if isinstance(await self._apply(transition, urgency=Urgency.JOBS), Applied):
                logger.warning("nobody was notified of %s", approval.id, extra=fields(approval))
        return len(missed)

    async def give_up_unreported(self) -> int:
        """Of what programs sent and did not report in time nobody knows how it went."""
        now = self._clock.now()
        lost = await self._store.unreported(now=now, limit=SWEEP)
        for approval in lost:
            transition = machine.lose(approval, now=now, event_id=self._ids.event())
            await self._apply(transition, urgency=Urgency.JOBS)
        return len(lost)

    async def _settle_one(self, approval: Approval) -> bool:
        try:
            settled = await self.settle(approval, urgency=Urgency.DEADLINES)
            if transition := self._reminder(settled):
                await self._apply(transition, urgency=Urgency.JOBS)
        except Exception:
            logger.exception(
                "could not record the deadline of %s", approval.id, extra=fields(approval)
            )
            return False
        return True

    def _reminder(self, approval: Approval) -> Transition | None:
        """The escalation or the reminder that is due; the escalation first."""
        now = self._clock.now()
        if approval.due_at is None or approval.due_at > now:
            return None
        event_id = self._ids.event()
        if approval.escalate_at is not None and approval.escalate_at <= now:
            return machine.escalate(approval, actor="service", now=now, event_id=event_id)
        return machine.remind(approval, now=now, event_id=event_id)

    async def seen(self, by: Principal, approval_id: str) -> Approval:
        """The approval as it is stored. Raises NotFound also for what `by` may not see."""
        approval = await self._store.approval(approval_id)
        if approval is None:
            raise NotFound(NOWHERE)
        return see(by, approval)

    def _decision(
        self, by: PersonPrincipal, approval: Approval, answering: Answering
    ) -> Transition | None:
        rights = rights_of(
            by.name,
            by.assurance,
            approval,
            self._rules.current.directory,
            answer=answering.answer,
        )
        if answering.answer is Answer.APPROVE:
            self._reveals.check(by.name, approval, answering.revealed)
        now = self._clock.now()
        decision = Decision(
            person=by.name,
            answer=answering.answer,
            channel=answering.channel,
            assurance=by.assurance,
            stages=rights.stages,
            digest=answering.digest,
            reason=answering.reason,
            solo=rights.solo,
            at=now,
        )
        return machine.decide(approval, decision, now=now, event_id=self._ids.event())

    def _overdue(self, approval: Approval) -> Transition | None:
        now = self._clock.now()
        match approval.state:
            case Pending() if approval.expires_at <= now:
                return machine.expire(approval, now=now, event_id=self._ids.event())
            case Approved(use_by=use_by) if use_by <= now:
                return machine.lapse(approval, now=now, event_id=self._ids.event())
        return None

    async def _apply(
        self, transition: Transition, *, urgency: Urgency = Urgency.PEOPLE
    ) -> StoreAnswer:
        answer = await self._store.apply(transition, within=MAX_RESULT_WAIT, urgency=urgency)
        if isinstance(answer, Applied):
            self._signals.changed(transition.after.id, transition.after.version)
        return answer


def see(by: Principal, approval: Approval) -> Approval:
    """The approval. Raises NotFound where `by` may not see it: people see all, an agent its own."""
    if isinstance(by, PersonPrincipal) or approval.call.agent == by.name:
        return approval
    raise NotFound(NOWHERE)
