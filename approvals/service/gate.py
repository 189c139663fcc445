"""What an arriving call meets, in the order of GATEWAY.md."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain import approval as machine
from approvals.domain.chain import Fact
from approvals.domain.digest import digest, identity_text, requirement_hash
from approvals.domain.policy.evaluate import DEFAULT_DENY, is_hidden, judge, not_bound
from approvals.domain.policy.model import Ruling
from approvals.domain.refusal import Refusal, blocked, refusal_of
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
from approvals.ports import Applied, Duplicate, Record
from approvals.service.waiting import MAX_RESULT_WAIT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.domain.call import Call
    from approvals.domain.policy.model import Verdict
    from approvals.domain.quorum import Requirement
    from approvals.domain.rulebook import Rulebook
    from approvals.ports import Clock, Ids, Signals, Store
    from approvals.service.approvals import Approvals
    from approvals.service.keyring import Keyring

DENY_MEMORY = timedelta(minutes=5)
"""How long the same call gets the same denial without a new card."""
REMEMBERED = timedelta(hours=24)
"""How long an undelivered outcome is kept for its caller, and an earlier run is a fact."""
TRIES = 10
CHANNELS = ("log",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """The policy lets the call run; that it did is recorded."""

    verdict: Verdict


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
        rulebook: Rulebook,
        keyring: Keyring,
        clock: Clock,
        ids: Ids,
        signals: Signals,
        process: str,
    ) -> None:
        self._store = store
        self._approvals = approvals
        self._rulebook = rulebook
        self._keyring = keyring
        self._clock = clock
        self._ids = ids
        self._signals = signals
        self._stream = process

    def judge(self, call: Call) -> Verdict:
        """What the policy says now; writes nothing."""
        policy = self._rulebook.policy_of(call.agent, call.server)
        return not_bound(call.agent, call.server) if policy is None else judge(policy, call)

    def hides(self, agent: str, server: str, tool: str) -> bool:
        """Whether this agent must not learn that the tool exists."""
        policy = self._rulebook.policy_of(agent, server)
        return policy is None or is_hidden(policy, tool)

    def other_methods(self, agent: str, server: str) -> bool:
        """Whether the policy lets requests through that are no tool calls: its default."""
        policy = self._rulebook.policy_of(agent, server)
        return policy is not None and policy.default is Ruling.ALLOW

    async def arrive(
        self, call: Call, verdict: Verdict, *, idempotency_key: str | None = None
    ) -> Arrival:
        """Take a judged call through the list; every answer is already in the database.

        Raises IdempotencyMismatch, and StoreFailure errors, after which nothing may be sent.
        """
        identities = self._identities(call, idempotency_key)
        for _ in range(TRIES):
            last = await self._store.latest(identities)
            if last and idempotency_key is not None:
                if self._is_replay(call, last):
                    return Held(approval=await self._approvals.settle(last))
            elif last and (arrival := await self._meet(last, call, verdict)):
                return arrival
            if verdict.requirement is None:
                return await self._unparked(call, verdict)
            if arrival := await self._park(call, verdict, identities, idempotency_key):
                return arrival
        raise Overloaded("The same call is asked by too many at once. Try again.")

    async def _meet(self, last: Approval, call: Call, verdict: Verdict) -> Arrival | None:
        """Steps 1 to 5 against the youngest approval of the same call; None: go on."""
        last = await self._approvals.settle(last)
        match last.state:
            case Released(outcome=None):
                return Held(approval=last)
            case Released(outcome=Outcome() as outcome) if self._is_waiting(outcome, verdict):
                return Undelivered(approval=last)
            case Pending() | Approved() if _refuses(verdict):
                return None
            case Pending() | Approved():
                return await self._attach(last, call, verdict)
            case Denied(at=at) if verdict.requirement and self._clock.now() - at < DENY_MEMORY:
                return Refused(refusal=refusal_of(last), approval=last)
        return None

    def _is_replay(self, call: Call, last: Approval) -> bool:
        """The same key again: that approval as it is now. Another call under it is refused."""
        if not last.is_open and self._clock.now() - last.created_at > REMEMBERED:
            return False
        asked = last.call
        if (asked.server, asked.tool, asked.arguments) != (call.server, call.tool, call.arguments):
            raise IdempotencyMismatch(
                "This Idempotency-Key was used for another call. Use a new key for a new call."
            )
        return True

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

    async def unknown_tool(self, agent: str, server: str, tool: str) -> None:
        """Record a call of a tool that does not exist for this agent, hidden or not."""
        await self._record("call_unknown_tool", agent, {"server": server, "tool": tool})

    async def _unparked(self, call: Call, verdict: Verdict) -> Arrival:
        """Allowed or refused outright: recorded before it is answered."""
        detail = {
            "arguments": self._keyring.hash("arguments", call.arguments),
            "policy": verdict.policy_hash,
            "rule": verdict.rule,
            "server": call.server,
            "tool": call.tool,
        }
        await self._record(f"call_{verdict.ruling}", call.agent, detail)
        if verdict.ruling is Ruling.ALLOW:
            return Allowed(verdict=verdict)
        hidden = verdict.ruling is Ruling.HIDE
        rule = DEFAULT_DENY if hidden else verdict.rule
        return Refused(refusal=blocked(verdict.message, rule), hidden=hidden)

    async def _record(self, kind: str, agent: str, detail: dict[str, str]) -> None:
        fact = Fact(
            id=self._ids.event(),
            type=kind,
            actor=f"agent:{agent}",
            at=self._clock.now(),
            detail=detail,
        )
        await self._store.apply(Record(stream=self._stream, fact=fact), within=MAX_RESULT_WAIT)

    async def _park(
        self,
        call: Call,
        verdict: Verdict,
        identities: Sequence[str],
        idempotency_key: str | None,
    ) -> Arrival | None:
        earlier = await self._earlier_run(identities)
        parking = machine.park(
            self._new(call, verdict, identities[0], idempotency_key, earlier),
            event_id=self._ids.event(),
        )
        answer = await self._store.apply(parking, within=MAX_RESULT_WAIT)
        match answer:
            case Applied():
                self._signals.changed(parking.approval.id)
                return Held(approval=parking.approval, created=True)
            case Duplicate():
                return None
        raise Overloaded("The call could not be parked. Try again.")

    def _new(
        self,
        call: Call,
        verdict: Verdict,
        identity: str,
        idempotency_key: str | None,
        earlier: EarlierRun | None,
    ) -> Approval:
        requirement = verdict.requirement
        assert requirement is not None  # noqa: S101 (arrive parks nothing else)
        now = self._clock.now()
        return Approval(
            id=self._ids.approval(),
            call=call,
            identity=identity,
            idempotency_key=idempotency_key,
            requirement=requirement,
            digest=digest(call, requirement, revision=1),
            policy_hash=verdict.policy_hash,
            rule=verdict.rule,
            message=verdict.message,
            summary=summarize(call, template=verdict.summary),
            risk=verdict.risk,
            channels=CHANNELS,
            created_at=now,
            expires_at=now + requirement.timeout,
            earlier_run=earlier,
        )

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


def _refuses(verdict: Verdict) -> bool:
    return verdict.ruling in {Ruling.DENY, Ruling.HIDE}
