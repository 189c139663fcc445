"""What an arriving call meets, in the order of GATEWAY.md."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain import approval as machine
from approvals.domain.call import Executor
from approvals.domain.digest import digest, identity_text, requirement_hash
from approvals.domain.policy.evaluate import DEFAULT_DENY
from approvals.domain.policy.model import Ruling
from approvals.domain.redact import hidden_places, replaced, values_at
from approvals.domain.refusal import refusal_of
from approvals.domain.refused import (
    Refusal,
    blocked,
    definition_not_accepted,
    frozen,
    rate_limited,
    too_many_pending,
    unjustified,
)
from approvals.domain.states import (
    Approval,
    Approved,
    CancelReason,
    Denied,
    EarlierRun,
    Outcome,
    Pending,
    Released,
)
from approvals.domain.strictjson import canonical
from approvals.domain.summary import summarize
from approvals.errors import IdempotencyMismatch, Overloaded
from approvals.ports import Applied, Duplicate, Frozen, Full, GiveBack, Step, TooLate, TooMany
from approvals.service.retention import PURPOSE as ERASED
from approvals.service.waiting import MAX_RESULT_WAIT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from approvals.domain.call import Call
    from approvals.domain.freeze import Freeze
    from approvals.domain.limits import Charge
    from approvals.domain.policy.model import Verdict
    from approvals.domain.quorum import Requirement
    from approvals.domain.strictjson import Json
    from approvals.ports import Clock, Ids, Signals, Store, Tracer
    from approvals.service.approvals import Approvals
    from approvals.service.journal import Journal
    from approvals.service.keyring import Keyring
    from approvals.service.rules import Rules

REMEMBERED = timedelta(hours=24)
"""How long an undelivered outcome is kept for its caller, and an earlier run is a fact."""
COUNTERS_KEPT = timedelta(days=2)
TRIES = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """The policy lets the call run; that it did is recorded.

    `holder` has the room on counters that the call takes, until `Gate.not_sent`.
    """

    verdict: Verdict
    holder: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """The call does not run. `hidden`: say that there is no such tool."""

    refusal: Refusal
    hidden: bool = False
    approval: Approval | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """The call has an open approval; `created` says whether this arrival parked it."""

    approval: Approval
    created: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Undelivered:
    """The call ran, and no client was given its outcome: whoever hands it over first may."""

    approval: Approval


Arrival = Allowed | Refused | Held | Undelivered


class Gate:
    """Judges arriving calls, parks those that need a person, attaches those already parked."""

    def __init__(
        self,
        *,
        store: Store,
        approvals: Approvals,
        journal: Journal,
        rules: Rules,
        keyring: Keyring,
        clock: Clock,
        ids: Ids,
        signals: Signals,
        tracer: Tracer,
    ) -> None:
        self._store = store
        self._approvals = approvals
        self._journal = journal
        self._rules = rules
        self._keyring = keyring
        self._clock = clock
        self._ids = ids
        self._signals = signals
        self._tracer = tracer

    def judge(self, call: Call) -> Verdict:
        """What the policy says now; writes nothing."""
        return self._rules.current.judge(call, now=self._clock.now())

    def hides(self, agent: str, server: str, tool: str) -> bool:
        """Whether this agent must not learn that the tool exists."""
        policy = self._rules.current.policy_of(agent, server)
        return policy is None or policy.hides(tool)

    def hides_something(self, agent: str, server: str) -> bool:
        """Whether this agent sees less of the server than there is."""
        policy = self._rules.current.policy_of(agent, server)
        return policy is None or bool(policy.hide)

    def other_methods(self, agent: str, server: str) -> bool:
        """Whether the policy lets requests through that are no tool calls: its default."""
        policy = self._rules.current.policy_of(agent, server)
        return policy is not None and policy.default is Ruling.ALLOW

    async def unknown_tool(self, agent: str, server: str, tool: str) -> None:
        """Record a call of a tool that does not exist for this agent, hidden or not."""
        await self._journal.unknown_tool(agent, server, tool)

    async def not_accepted(self, call: Call, verdict: Verdict) -> Arrival:
        """Refuse a call of a tool whose definition no admin has accepted. Whatever was asked or
        approved of the same call was so for another definition, and is withdrawn; what was sent
        before is told as it is."""
        last = await self._store.latest(self._identities(call, None))
        match last:
            case Approval(state=Released(outcome=None)):
                return Held(approval=last)
            case Approval(state=Released(outcome=Outcome() as outcome)) if self._is_waiting(
                outcome, verdict
            ):
                return Undelivered(approval=last)
            case Approval(state=Pending() | Approved()):
                await self._approvals.withdraw(last, CancelReason.DEFINITION_CHANGED)
        await self._journal.judged("call_definition_changed", call, verdict)
        return Refused(refusal=definition_not_accepted())

    async def freeze_of(self, agent: str, server: str) -> Freeze | None:
        """What stops this agent on this server now, if anything does."""
        return await self._store.freeze_of(server=server, agent=agent)

    async def not_sent(self, allowed: Allowed) -> None:
        """An allowed call did not go out after all: the room it took is free again."""
        if allowed.verdict.charges:
            await self._store.apply(GiveBack(holder=allowed.holder), within=MAX_RESULT_WAIT)

    async def drop_counters(self) -> None:
        """Forget counters whose window ended long ago; nothing is looked up in them any more."""
        await self._store.drop_counters(before=self._clock.now() - COUNTERS_KEPT)

    async def arrive(
        self,
        call: Call,
        verdict: Verdict,
        *,
        idempotency_key: str | None = None,
        detached: bool = False,
    ) -> Arrival:
        """Take a judged call through the list; every answer is already in the database.

        `detached`: if it is parked, then without a request that has to wait for it.

        Raises IdempotencyMismatch, and StoreFailure errors, after which nothing may be sent.
        """
        with self._tracer.span(Step.GATE) as span:
            span.call(call)
            arrival = await self._arrive(call, verdict, idempotency_key, detached=detached)
            if not isinstance(arrival, Allowed) and arrival.approval is not None:
                span.approval(arrival.approval)
            return arrival

    async def _arrive(
        self, call: Call, verdict: Verdict, idempotency_key: str | None, *, detached: bool
    ) -> Arrival:
        identities = self._identities(call, idempotency_key)
        for _ in range(TRIES):
            last = await self._store.latest(identities)
            if last and idempotency_key is not None:
                if self._is_replay(call, last):
                    return Held(approval=await self._approvals.settle(last))
            elif last and (arrival := await self._meet(last, call, verdict)):
                return arrival
            if verdict.requirement is None:
                arrival = await self._unparked(call, verdict)
            else:
                arrival = await self._park(
                    call, verdict, identities, idempotency_key, last, detached=detached
                )
            if arrival is not None:
                return arrival
            verdict = self.judge(call)
        raise Overloaded("The same call is asked by too many at once. Try again.")

    async def _meet(self, last: Approval, call: Call, verdict: Verdict) -> Arrival | None:
        """Steps 1 to 5 against the youngest approval of the same call; None: go on."""
        last = await self._approvals.settle(last)
        match last.state:
            case Released(outcome=None):
                return Held(approval=last)
            case Released(outcome=Outcome() as outcome) if self._is_waiting(outcome, verdict):
                return Undelivered(approval=last)
            case Pending() | Approved() if not _refuses(verdict):
                return await self._stopped(last, call, verdict) or await self._attach(
                    last, call, verdict
                )
            case Denied(at=at) if verdict.requirement and self._remembers(last, at):
                return await self._stopped(last, call, verdict) or Refused(
                    refusal=refusal_of(last, *self._rules.current.telling), approval=last
                )
        return None

    def _remembers(self, last: Approval, denied_at: datetime) -> bool:
        return self._clock.now() - denied_at < last.requirement.deny_memory

    async def _stopped(self, last: Approval, call: Call, verdict: Verdict) -> Refused | None:
        """Steps 2 and 3 for a call whose approval exists: frozen, or no room on a counter."""
        freeze = await self._store.freeze_of(server=call.server, agent=call.agent)
        if freeze is not None:
            return await self._frozen(call, verdict, freeze.reason)
        return await self._limited(call, verdict, holder=last.id)

    def _is_replay(self, call: Call, last: Approval) -> bool:
        """The same key again: that approval as it is now. Another call under it is refused."""
        if not last.is_open and self._clock.now() - last.created_at > REMEMBERED:
            return False
        asked = last.call
        same = (asked.server, asked.tool) == (call.server, call.tool)
        if not same or not self._has_arguments(last, call.arguments):
            raise IdempotencyMismatch(
                "This Idempotency-Key was used for another call. Use a new key for a new call."
            )
        return True

    def _has_arguments(self, last: Approval, arguments: str) -> bool:
        if last.erased is not None:
            return self._keyring.verify(ERASED, arguments, last.erased)
        return last.call.arguments == arguments

    async def _attach(self, last: Approval, call: Call, verdict: Verdict) -> Arrival | None:
        reason = changed_ground(last, call, verdict.requirement)
        if reason is None:
            return Held(approval=last)
        await self._approvals.withdraw(last, reason)
        return None

    def _is_waiting(self, outcome: Outcome, verdict: Verdict) -> bool:
        """Whether no client was given this outcome yet, and it is not too old to be meant."""
        if outcome.delivered or verdict.ruling is Ruling.HIDE:
            return False
        return self._clock.now() - outcome.at <= REMEMBERED

    async def _unparked(self, call: Call, verdict: Verdict) -> Arrival | None:
        """Allowed or refused outright, recorded before it is answered; None: judge again."""
        allowed = verdict.ruling is Ruling.ALLOW
        answer, holder = await self._journal.judged(
            f"call_{verdict.ruling}",
            call,
            verdict,
            reserves=verdict.charges if allowed else (),
            guarded=verdict.ruling is not Ruling.HIDE,
        )
        match answer:
            case Applied() if allowed:
                return Allowed(verdict=verdict, holder=holder)
            case Applied():
                return _refused(verdict)
            case Frozen(reason=reason):
                return await self._frozen(call, verdict, reason)
            case Full(charge=charge):
                return await self._full(call, verdict, charge)
            case TooLate():  # a counter's window ended between judging and writing
                return None
        raise Overloaded("The call could not be recorded. Try again.")

    async def _frozen(self, call: Call, verdict: Verdict, reason: str) -> Refused:
        await self._journal.judged("call_frozen", call, verdict)
        return Refused(refusal=frozen(reason))

    async def _full(self, call: Call, verdict: Verdict, charge: Charge) -> Refused:
        await self._journal.judged("call_limited", call, verdict)
        return Refused(refusal=rate_limited(charge, self._clock.now()))

    async def _limited(
        self, call: Call, verdict: Verdict, *, holder: str | None = None
    ) -> Refused | None:
        """Refuse a call for which a counter has no room now; nothing is taken yet."""
        if not verdict.charges:
            return None
        full = await self._store.full(verdict.charges, holder=holder)
        return None if full is None else await self._full(call, verdict, full)

    async def _park(
        self,
        call: Call,
        verdict: Verdict,
        identities: Sequence[str],
        idempotency_key: str | None,
        last: Approval | None,
        *,
        detached: bool,
    ) -> Arrival | None:
        if refused := await self._limited(call, verdict):
            return refused
        earlier = await self._earlier_run(identities) if last else None
        approval, hashes = self._new(
            call,
            verdict,
            identities[0],
            idempotency_key,
            earlier,
            detached=detached or _needs_nobody(call, verdict),
        )
        parking = machine.park(
            approval,
            event_id=self._ids.event(),
            max_pending=self._rules.current.max_pending(call.agent),
            hidden=hashes,
        )
        match await self._store.apply(parking, within=MAX_RESULT_WAIT):
            case Applied():
                self._signals.changed(approval.id, approval.version)
                return Held(approval=parking.approval, created=True)
            case Duplicate():
                return None
            case Frozen(reason=reason):
                return await self._frozen(call, verdict, reason)
            case TooMany(most=most):
                await self._journal.judged("call_too_many_pending", call, verdict)
                return Refused(refusal=too_many_pending(most))
        raise Overloaded("The call could not be parked. Try again.")

    def _new(
        self,
        call: Call,
        verdict: Verdict,
        identity: str,
        idempotency_key: str | None,
        earlier: EarlierRun | None,
        *,
        detached: bool,
    ) -> tuple[Approval, dict[str, str]]:
        """The approval, and what digest and audit keep of the values that nobody is shown."""
        requirement = verdict.requirement
        assert requirement is not None  # noqa: S101 (arrive parks nothing else)
        now = self._clock.now()
        arguments = call.shown_arguments
        hidden = hidden_places(arguments, verdict.redact)
        hashes = self._hashes(arguments, hidden)
        approval = Approval(
            id=self._ids.approval(),
            call=call,
            identity=identity,
            idempotency_key=idempotency_key,
            requirement=requirement,
            digest=digest(
                call,
                requirement,
                revision=1,
                arguments=canonical(replaced(arguments, hashes)) if hashes else None,
            ),
            policy_hash=verdict.policy_hash,
            rule=verdict.rule,
            message=verdict.message,
            summary=summarize(call, arguments, template=verdict.summary, hidden=hidden),
            risk=verdict.risk,
            channels=self._rules.current.channels_of(requirement),
            hidden=hidden,
            created_at=now,
            expires_at=now + requirement.timeout,
            earlier_run=earlier,
            detached=detached,
        )
        return approval, hashes

    def _hashes(self, arguments: dict[str, Json], hidden: Sequence[str]) -> dict[str, str]:
        values = values_at(arguments, hidden)
        return {
            pointer: self._keyring.hash("hidden", canonical(value))
            for pointer, value in values.items()
        }

    async def _earlier_run(self, identities: Sequence[str]) -> EarlierRun | None:
        since = self._clock.now() - REMEMBERED
        run = await self._store.last_run(identities, since=since)
        if run is None or not isinstance(run.state, Released) or run.state.outcome is None:
            return None
        return EarlierRun(status=run.state.outcome.status, at=run.state.outcome.at)

    def _identities(self, call: Call, idempotency_key: str | None) -> list[str]:
        if idempotency_key is not None:
            text = canonical([call.agent, idempotency_key])
            return self._keyring.hashes("idempotency", text)
        return self._keyring.hashes("identity", identity_text(call))


def changed_ground(
    approval: Approval, call: Call, requirement: Requirement | None
) -> CancelReason | None:
    """Why an approval no longer stands for `call`, if it does not.

    `requirement` is what the policy asks now; None means that it asks nothing any more.
    """
    if requirement is None:
        return CancelReason.POLICY_CHANGED
    if requirement_hash(requirement) != requirement_hash(approval.requirement):
        return CancelReason.POLICY_CHANGED
    asked, now = approval.call.definition, call.definition
    if (asked and asked.hash) != (now and now.hash):
        return CancelReason.DEFINITION_CHANGED
    return None


def _refused(verdict: Verdict) -> Refused:
    if verdict.wants_justification:
        return Refused(refusal=unjustified(verdict.rule))
    hidden = verdict.ruling is Ruling.HIDE
    rule = DEFAULT_DENY if hidden else verdict.rule
    refusal = blocked(verdict.message, rule, timely=verdict.timely)
    return Refused(refusal=refusal, hidden=hidden)


def _needs_nobody(call: Call, verdict: Verdict) -> bool:
    """Whether the rule lets the gateway send it while no request waits."""
    asked = verdict.requirement
    return call.executor is Executor.GATEWAY and asked is not None and asked.detached


def _refuses(verdict: Verdict) -> bool:
    return verdict.ruling in {Ruling.DENY, Ruling.HIDE}
