"""The one sending of an approved call: judge again, take the release, send once, finish.

Runs in a task of the service, never in the request that waits for it: a client that leaves, a
cancelled request and a shutdown end the wait, not the sending (GATEWAY.md, "Release").
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from approvals.domain import approval as machine
from approvals.domain.call import Executor
from approvals.domain.digest import requirement_hash, sha256
from approvals.domain.policy.model import Ruling
from approvals.domain.refusal import frozen_meanwhile, limit_reached
from approvals.domain.states import (
    MAX_STORED_RESULT,
    Approved,
    CancelReason,
    Outcome,
    Released,
    ReleaseStatus,
)
from approvals.domain.strictjson import canonical
from approvals.errors import IllegalTransition, Overloaded, StoreFailure, Undetermined
from approvals.ports import (
    Answered,
    Applied,
    Asks,
    Frozen,
    Full,
    NotSent,
    Reserve,
    Step,
    TooLate,
    Unanswered,
)
from approvals.service.fields import fields
from approvals.service.inputs import MOST, Inputs, Legs
from approvals.service.waiting import MAX_RESULT_WAIT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from approvals.domain.limits import Charge
    from approvals.domain.policy.model import Verdict
    from approvals.domain.refused import Refusal
    from approvals.domain.states import Approval, Transition
    from approvals.ports import (
        Answer,
        Clock,
        Given,
        Ids,
        SendOutcome,
        Signals,
        Store,
        Tracer,
        Upstream,
    )
    from approvals.service.approvals import Approvals
    from approvals.service.gate import Gate
    from approvals.service.liveness import Liveness

    Ending = Answered | NotSent | Unanswered

logger = logging.getLogger(__name__)

RECORD_AGAIN = timedelta(milliseconds=500)
TRIES = 20
ORPHANS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """Where a release has led: `answer` is the tool's own, for whoever waits in this process.

    `refusal`: it stays approved, and why it was not sent. `asks`: the server wants input first.
    """

    approval: Approval
    answer: Answered | None = None
    refusal: Refusal | None = None
    asks: Asks | None = None


class Releases:
    """Owns the tasks that send."""

    def __init__(
        self,
        *,
        store: Store,
        approvals: Approvals,
        gate: Gate,
        clock: Clock,
        ids: Ids,
        signals: Signals,
        liveness: Liveness,
        tracer: Tracer,
    ) -> None:
        self._store = store
        self._approvals = approvals
        self._gate = gate
        self._clock = clock
        self._ids = ids
        self._signals = signals
        self._liveness = liveness
        self._tracer = tracer
        self._running: dict[str, asyncio.Task[Release]] = {}
        self._sending: dict[str, Upstream] = {}
        self._handing_over: set[asyncio.Task[bool]] = set()
        self._handing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._inputs = Inputs()
        self._closing = False

    def start(self, approval: Approval, upstream: Upstream) -> asyncio.Task[Release] | None:
        """The task that sends an approved call, a running one where there is one.

        It raises StoreFailure errors when nothing was sent; the approval then stays approved. None:
        the service is stopping, nothing new is sent.
        """
        return self._once(approval.id, lambda: self._run(approval, upstream))

    def running(self, approval_id: str) -> asyncio.Task[Release] | None:
        """The task that sends it at this moment, in this process."""
        return self._running.get(approval_id)

    def asks(self, approval: Approval) -> Asks | None:
        """What its server waits to be told, where this process has asked."""
        return self._inputs.question(approval)

    def give(
        self, approval: Approval, upstream: Upstream, given: Given, *, asked_at: int
    ) -> asyncio.Task[Release] | None:
        """The task that passes a client's answers on; `asked_at` is the version at which the server
        had asked. It leads to how things stand where somebody else has answered. None: the service
        is stopping."""
        return self._once(approval.id, lambda: self._give(approval, upstream, given, asked_at))

    async def is_sent_elsewhere(self, agent: str, server: str) -> bool:
        """Whether another process sends an approved call of this agent to this server now."""
        return any(
            (found.call.agent, found.call.server, found.call.executor)
            == (agent, server, Executor.GATEWAY)
            and isinstance(found.state, Released)
            and found.state.process != self._liveness.process
            for found in await self._store.being_sent(limit=ORPHANS)
        )

    async def unwanted(self, approval_id: str) -> None:
        """The agent does not want the answer any more: the server is told, if it has the call."""
        upstream = self._sending.get(approval_id)
        if upstream is not None:
            await upstream.unwanted()

    async def hand_over(self, approval: Approval, left: asyncio.Future[None]) -> bool:
        """Note that a connected client is given the outcome now; False: another one was before.

        Done in a task of the service: when `left` says that the client has gone meanwhile, it is
        taken back, so that the next identical call gets it.
        """
        task = asyncio.create_task(self._hand_over(approval, left))
        self._handing_over.add(task)
        task.add_done_callback(self._handing_over.discard)
        return await asyncio.shield(task)

    def stop_sending(self) -> None:
        """From now on nothing new is sent; what was approved stays approved."""
        self._closing = True

    async def drain(self, *, within: timedelta) -> None:
        """Send nothing new and let what was sent come back; after `within` it is left alone."""
        self.stop_sending()
        self._inputs.stop()
        tasks: set[asyncio.Task[Any]] = {
            *self._running.values(),
            *self._handing_over,
            *self._inputs.tasks,
        }
        if tasks:
            await asyncio.wait(tasks, timeout=within.total_seconds())
        asked_last = set(self._inputs.tasks)  # by a release that came back meanwhile
        if asked_last:
            await asyncio.wait(asked_last, timeout=MAX_RESULT_WAIT.total_seconds())
        for task in tasks | asked_last:
            task.cancel()

    async def recover(self) -> int:
        """Every `sent` of a process that is gone becomes `outcome_unknown`; how many there were."""
        lost = await self._store.orphans(now=self._clock.now(), limit=ORPHANS)
        for approval in lost:
            transition = machine.lose(approval, now=self._clock.now(), event_id=self._ids.event())
            await self._apply(transition)
            logger.warning(
                "%s was being sent by a process that is gone", approval.id, extra=fields(approval)
            )
        return len(lost)

    async def _hand_over(self, approval: Approval, left: asyncio.Future[None]) -> bool:
        """One after the other for one approval: a mark that is taken back must not hide another."""
        async with self._handing.setdefault(approval.id, asyncio.Lock()):
            given = await self._mark(approval, delivered=True)
            if given is None:
                given = await self._mark(await self._newest(approval), delivered=True)
            if given is not None and left.done():
                await self._take_back(given)
                return False
            return given is not None

    async def _take_back(self, given: Approval) -> None:
        await _insist(lambda: self._mark(given, delivered=False), f"taking back {given.id}")

    async def _mark(self, approval: Approval, *, delivered: bool) -> Approval | None:
        """The approval with the mark set; None: it is set already, or somebody was faster."""
        try:
            transition = machine.hand_over(
                approval,
                delivered=delivered,
                now=self._clock.now(),
                event_id=self._ids.event(),
            )
        except IllegalTransition:
            return None
        answer = await self._store.apply(transition, within=MAX_RESULT_WAIT)
        return transition.after if isinstance(answer, Applied) else None

    def _once(
        self, approval_id: str, work: Callable[[], Coroutine[Any, Any, Release]]
    ) -> asyncio.Task[Release] | None:
        """The one task of an approval in this process."""
        task = self._running.get(approval_id)
        if task is None and not self._closing:
            task = asyncio.create_task(work(), name=approval_id)
            self._running[approval_id] = task
            task.add_done_callback(lambda done: self._ended(approval_id, done))
        return task

    async def _run(self, approval: Approval, upstream: Upstream) -> Release:
        with self._tracer.span(Step.RELEASE) as span:
            span.approval(approval)
            release = await self._release(approval, upstream)
            span.approval(release.approval)
            return release

    async def _release(self, approval: Approval, upstream: Upstream) -> Release:
        call = approval.call
        if ground_lost(approval, self._gate.judge(call)):
            return await self._ground_lost(approval)
        if call.definition and await upstream.definition_hash(call.tool) != call.definition.hash:
            reason = CancelReason.DEFINITION_CHANGED
            return Release(approval=await self._approvals.withdraw(approval, reason))
        await upstream.prepare(call.tool, call.arguments, asks=approval.requirement.allow_input)
        verdict = self._gate.judge(call)  # anew: reading the tool list may have taken a while
        if ground_lost(approval, verdict):
            return await self._ground_lost(approval)
        sent = await self._take(approval, verdict)
        if isinstance(sent, Release):
            return sent
        return await self._sent(upstream, sent)

    async def _sent(self, upstream: Upstream, sent: Approval, *, again: bool = False) -> Release:
        """Send, and record how it ended. `again`: with input, after an earlier request."""
        legs = Legs(sent, self._take_input)
        outcome = await self._send(upstream, legs)
        sent = await legs.close()
        if isinstance(outcome, Asks):
            self._inputs.wait(sent, outcome, lambda: self._no_input(sent))
            return Release(approval=sent, asks=outcome)
        if again and isinstance(outcome, NotSent):
            outcome = _ended_by(f"the answer could not be sent: {outcome.why}")
        return await self._finish(sent, outcome)

    async def _send(self, upstream: Upstream, legs: Legs) -> SendOutcome:
        """Send once, unless the ground was lost while `sent` was being written, or this process is
        about to be taken for dead."""
        sent = legs.sent
        try:
            if ground_lost(sent, self._gate.judge(sent.call)):
                return NotSent(why="the policy changed at that moment")
            if not self._liveness.fresh:
                return NotSent(why="this process had lost touch with the database")
            with self._tracer.span(Step.SEND) as span:
                span.approval(sent)
                self._sending[sent.id] = upstream
                return await upstream.send(legs.give if sent.requirement.allow_input else None)
        except Exception as error:
            logger.exception(
                "sending %s ended in an error nobody foresaw", sent.id, extra=fields(sent)
            )
            return Unanswered(why=f"the sender failed ({type(error).__name__})")
        finally:
            self._sending.pop(sent.id, None)

    async def _give(
        self, approval: Approval, upstream: Upstream, given: Given, asked_at: int
    ) -> Release:
        """One more request, for the answers to what the server asked in the one before."""
        if approval.version != asked_at or not isinstance(approval.state, Released):
            return Release(approval=approval)
        call = approval.call
        if why := await self._why_no_more(approval, upstream):
            await self._end(approval, why)
            return Release(approval=await self._newest(approval))
        await upstream.prepare(call.tool, call.arguments, given, asks=True)
        text = canonical([given.responses, given.state])
        try:
            taken = await self._take_input(approval, text)
        except Undetermined:
            await self._end(approval, "the database did not say whether the input was recorded")
            raise
        if taken is None:
            return Release(approval=await self._newest(approval))
        self._inputs.forget(approval.id)
        return await self._sent(upstream, taken, again=True)

    async def _why_no_more(self, approval: Approval, upstream: Upstream) -> str | None:
        """Why no further request may follow, though one was sent; None: it may."""
        call = approval.call
        if ground_lost(approval, self._gate.judge(call)):
            return "the policy changed before the input was given"
        if call.definition and await upstream.definition_hash(call.tool) != call.definition.hash:
            return "the server changed the tool's definition before the input was given"
        events = await self._store.events(approval.id)
        if sum(event.fact.type == "input_given" for event in events) >= MOST:
            return "the server asked for input again and again"
        return None

    async def _take_input(self, sent: Approval, text: str) -> Approval | None:
        """Commit that this input is given; None: it may not be passed on."""
        if ground_lost(sent, self._gate.judge(sent.call)):
            return None
        transition = machine.give_input(
            sent,
            given=sha256(text),
            process=self._liveness.process,
            now=self._clock.now(),
            event_id=self._ids.event(),
        )
        answer = await self._store.apply(transition, within=MAX_RESULT_WAIT)
        if not isinstance(answer, Applied):
            return None
        self._signals.changed(sent.id, transition.after.version)
        return transition.after

    async def _no_input(self, sent: Approval) -> None:
        """The client did not come back with what the server wants to know."""
        outcome = self._outcome(_ended_by("the server asked for input, and none came"))
        await self._written(self._finishing(sent, outcome, None, token=_token(sent)))

    async def _end(self, asked: Approval, why: str) -> None:
        """Nothing more is sent here, whether or not an answer that was to be sent is recorded. What
        another process goes on with is left to it."""
        newest = await self._newest(asked)
        mine = isinstance(newest.state, Released) and (
            newest.state.process == self._liveness.process
        )
        if newest.is_open and (newest.version == asked.version or mine):
            outcome = self._outcome(_ended_by(why))
            await self._written(self._finishing(newest, outcome, None, token=_token(asked)))

    async def _ground_lost(self, approval: Approval) -> Release:
        reason = CancelReason.POLICY_CHANGED
        return Release(approval=await self._approvals.withdraw(approval, reason))

    async def _take(self, approval: Approval, verdict: Verdict) -> Approval | Release:
        """Reserve room on counters, then commit `sent`; a Release: it is not ours to send."""
        if not isinstance(approval.state, Approved) or self._closing:
            return Release(approval=await self._newest(approval))
        if full := await reserve(self._store, approval, verdict):
            refusal = limit_reached(approval, full, self._clock.now())
            return Release(approval=approval, refusal=refusal)
        transition = machine.send(
            approval,
            token=self._ids.token(),
            process=self._liveness.process,
            now=self._clock.now(),
            event_id=self._ids.event(),
        )
        try:
            answer = await self._store.apply(transition, within=MAX_RESULT_WAIT)
        except Undetermined:
            await self._give_back(transition)
            raise
        match answer:
            case Applied():
                self._signals.changed(approval.id, transition.after.version)
                return transition.after
            case Frozen(reason=why):
                return Release(approval=approval, refusal=frozen_meanwhile(approval, why))
            case TooLate():
                await self._approvals.settle(approval)
        return Release(approval=await self._newest(approval))

    async def _give_back(self, taken: Transition) -> None:
        """Nobody knows whether `sent` was written, so nothing is sent; say so if it was."""
        outcome = self._outcome(NotSent(why="the database did not answer in time"))
        finishing = self._finishing(taken.after, outcome, None, token=_token(taken.after))
        await self._written(finishing)

    async def _finish(self, sent: Approval, came: Ending) -> Release:
        """Record the outcome before anybody hears of it, however long the database takes."""
        result = _result_text(came)
        outcome = self._outcome(came, result)
        stored = result if result and _size(result) <= MAX_STORED_RESULT else None
        transition = self._finishing(sent, outcome, stored, token=_token(sent))
        answer = await self._written(transition)
        mine = came if isinstance(came, Answered) else None
        if isinstance(answer, Applied):
            return Release(approval=transition.after, answer=mine)
        return Release(approval=await self._correct(sent, outcome, stored), answer=mine)

    async def _written(self, transition: Transition) -> Answer:
        """The outcome in the database, however long that takes."""
        after = transition.after
        while True:
            try:
                answer = await self._store.apply(transition, within=MAX_RESULT_WAIT)
            except StoreFailure:
                logger.exception(
                    "the outcome of %s is not recorded yet", after.id, extra=fields(after)
                )
                await asyncio.sleep(RECORD_AGAIN.total_seconds())
            else:
                self._signals.changed(after.id, after.version)
                return answer

    async def _correct(self, sent: Approval, outcome: Outcome, result: str | None) -> Approval:
        """This process was given up for dead and lives: its late result corrects the record."""
        logger.warning(
            "the outcome of %s comes late: %s", sent.id, outcome.status, extra=fields(sent)
        )
        newest = await self._newest(sent)
        try:
            transition = self._finishing(newest, outcome, result, token=_token(sent))
        except IllegalTransition:
            return newest
        await _insist(lambda: self._apply(transition), f"correcting {sent.id}")
        return await self._newest(sent)

    def _finishing(
        self, sent: Approval, outcome: Outcome, result: str | None, *, token: str
    ) -> Transition:
        return machine.finish(sent, outcome, token=token, event_id=self._ids.event(), result=result)

    def _outcome(self, came: Ending, result: str | None = None) -> Outcome:
        status, detail = _status(came)
        return Outcome(
            status=status,
            detail=detail,
            at=self._clock.now(),
            delivered=False,
            result_hash=sha256(result) if result else None,
            result_size=_size(result) if result else None,
        )

    async def _newest(self, approval: Approval) -> Approval:
        return await self._store.approval(approval.id) or approval

    async def _apply(self, transition: Transition) -> None:
        if isinstance(await self._store.apply(transition, within=MAX_RESULT_WAIT), Applied):
            self._signals.changed(transition.after.id, transition.after.version)

    def _ended(self, approval_id: str, task: asyncio.Task[Release]) -> None:
        self._running.pop(approval_id, None)
        if not task.cancelled() and (error := task.exception()):
            about = {"approval": approval_id}
            logger.warning("%s was not sent: %s", approval_id, error, extra=about)


def ground_lost(approval: Approval, verdict: Verdict) -> bool:
    """The policy now denies, or asks other people; that it allows outright changes nothing."""
    if verdict.ruling is Ruling.ALLOW:
        return False
    asked, now = approval.requirement, verdict.requirement
    return now is None or requirement_hash(now) != requirement_hash(asked)


async def reserve(store: Store, approval: Approval, verdict: Verdict) -> Charge | None:
    """Take room on every counter of the verdict for this approval; the one that has none.

    Raises Overloaded when a window ended meanwhile: judge again.
    """
    if not verdict.charges:
        return None
    operation = Reserve(holder=approval.id, charges=verdict.charges)
    match await store.apply(operation, within=MAX_RESULT_WAIT):
        case Applied():
            return None
        case Full(charge=charge):
            return charge
    raise Overloaded("The window of a limit ended at this moment. Try again.")


async def _insist(write: Callable[[], Awaitable[object]], what: str) -> None:
    """Write it, again and again for a while when the database refuses."""
    for _ in range(TRIES):
        try:
            await write()
        except StoreFailure:
            logger.exception("%s failed", what)
            await asyncio.sleep(RECORD_AGAIN.total_seconds())
        else:
            return


def _ended_by(why: str) -> Answered:
    """A release that was sent and ended without the tool's own answer."""
    return Answered(result=None, error=None, is_error=True, detail=f"Sent, and {why}.")


def _token(sent: Approval) -> str:
    assert isinstance(sent.state, Released)  # noqa: S101 (machine.send made it)
    return sent.state.token


def _status(came: Ending) -> tuple[ReleaseStatus, str]:
    match came:
        case Answered(is_error=False):
            return ReleaseStatus.SUCCEEDED, "The tool answered."
        case Answered(detail=detail):
            return ReleaseStatus.FAILED, detail or "The tool reported an error; it may have acted."
        case NotSent(why=why):
            return ReleaseStatus.NOT_SENT, f"Not sent: {why}."
        case Unanswered(why=why):
            return ReleaseStatus.OUTCOME_UNKNOWN, f"Sent, and no answer came: {why}."


def _result_text(came: Ending) -> str | None:
    if not isinstance(came, Answered) or came.result is came.error:  # neither was given
        return None
    return canonical({"error": came.error} if came.error is not None else {"result": came.result})


def _size(text: str) -> int:
    return len(text.encode("utf-8"))
