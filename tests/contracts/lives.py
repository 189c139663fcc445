"""A database in which calls have been in every state there is, made by the service's use cases."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from approvals.config.load import load
from approvals.domain import approval as machine
from approvals.domain.call import Call, Executor, canonical_arguments, read_definition
from approvals.domain.directory import Assurance, Role
from approvals.domain.states import Answer, Approval, CancelReason, ReleaseStatus
from approvals.ports import Answered, Applied, Give, Given, NotSent, SendOutcome, Unanswered
from approvals.service.approvals import Answering, Approvals
from approvals.service.audit import Audit
from approvals.service.caller import CallerReleases
from approvals.service.freezes import Freezes
from approvals.service.gate import Gate, Held
from approvals.service.identity import AgentPrincipal, PersonPrincipal
from approvals.service.journal import Journal
from approvals.service.keyring import Keyring
from approvals.service.liveness import Liveness
from approvals.service.minting import RandomIds
from approvals.service.release import Releases
from approvals.service.retention import Retention
from approvals.service.reveal import Reveals
from approvals.service.rules import Rules
from approvals.service.waiting import Waiting
from approvals.storage.clock import SystemClock, elapsed
from approvals.telemetry.spans import OpenTelemetryTracer
from tests.e2e.world import configured

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from approvals.domain.strictjson import Json
    from tests.contracts.suite import Engine

KEYRING = Keyring([b"k" * 32])
BOT = AgentPrincipal(name="bot", owner="alice")
IDS = RandomIds()
KEEP = timedelta(days=1)
PEOPLE: dict[str, Any] = {
    "alice": {},
    "bob": {},
    "carol": {"roles": ["approver", "admin"]},
    "erin": {},
    "dan": {"roles": ["auditor"]},
}
ASK: dict[str, Any] = {"conditions": [], "message": "Look closely."}
POLICY: dict[str, Any] = {
    "version": "1",
    "default": "deny",
    "approval": {"timeout": "2h", "use_within": "1h"},
    "tools": {
        "look": {},
        "act": {"require_approval_if": [{"conditions": []}], "redact": ["args.note"]},
        "delete_it": {"require_approval_if": [ASK]},
        "slow": {
            "require_approval_if": [
                {"conditions": [], "approval": {"timeout": "72h", "use_within": "72h"}}
            ]
        },
        "two": {"require_approval_if": [{"conditions": [], "approval": {"required": 2}}]},
        "urgent": {
            "require_approval_if": [
                {
                    "conditions": [],
                    "approval": {
                        "approvers": ["person:bob"],
                        "escalate": {"after": "10m", "approvers": ["person:carol"]},
                    },
                }
            ]
        },
    },
}
RAN = Answered(result={"content": ["done"]}, error=None, is_error=False)
DEFINITION = read_definition({"name": "delete_it", "description": "Deletes it.", "inputSchema": {}})


@dataclass
class Past:
    """A clock that can be some time ago."""

    ago: timedelta = timedelta(0)

    def now(self) -> datetime:
        return SystemClock().now() - self.ago


@dataclass
class Server:
    """A server that answers a call in one way."""

    outcome: SendOutcome

    async def definition_hash(self, tool: str) -> str | None:
        return DEFINITION.hash

    async def prepare(
        self, tool: str, arguments: str, given: Given | None = None, *, asks: bool
    ) -> None:
        pass

    async def send(self, give: Give | None) -> SendOutcome:
        return self.outcome

    async def unwanted(self) -> None:
        pass


async def nobody() -> frozenset[str]:
    """Nobody has a key here."""
    return frozenset()


@dataclass
class Lives:
    """Use cases over a store, with a clock that the test sets."""

    store: Engine
    folder: Path
    clock: Past = field(default_factory=Past)

    def __post_init__(self) -> None:
        more = {"approval": {"timeout": "2h"}}
        config = configured(
            self.folder, "http://127.0.0.1:9/mcp", document=POLICY, people=PEOPLE, more=more
        )
        rulebook = load(config, starting_person=None)
        rules = Rules(rulebook, lambda: rulebook)
        signals = Waiting(self.store)
        common: dict[str, Any] = {"store": self.store, "clock": self.clock, "ids": IDS}
        tracer = OpenTelemetryTracer()
        self.journal = Journal(keyring=KEYRING, stream="prc_lives", **common)
        reveals = Reveals(journal=self.journal, keyring=KEYRING, rules=rules, clock=self.clock)
        self.approvals = Approvals(
            rules=rules, signals=signals, tracer=tracer, reveals=reveals, **common
        )
        self.gate = Gate(
            approvals=self.approvals,
            journal=self.journal,
            rules=rules,
            keyring=KEYRING,
            signals=signals,
            tracer=tracer,
            **common,
        )
        self.liveness = Liveness(
            store=self.store, rules=rules, process="prc_lives", monotonic=elapsed
        )
        self.releases = Releases(
            approvals=self.approvals,
            gate=self.gate,
            signals=signals,
            liveness=self.liveness,
            tracer=tracer,
            **common,
        )
        self.caller = CallerReleases(
            approvals=self.approvals, gate=self.gate, rules=rules, signals=signals, **common
        )
        self.freezes = Freezes(journal=self.journal, rules=rules, callers=nobody, **common)
        self.audit = Audit(store=self.store, audit=self.store, keyring=KEYRING, clock=self.clock)
        self.retention = Retention(keyring=KEYRING, signals=signals, keep=KEEP, **common)

    @contextmanager
    def ago(self, length: timedelta) -> Iterator[None]:
        """What is done inside was done that long ago, as far as the service knows."""
        before, self.clock.ago = self.clock.ago, length
        yield
        self.clock.ago = before

    async def asked(
        self,
        what: str,
        tool: str = "act",
        *,
        executor: Executor = Executor.GATEWAY,
        key: str | None = None,
        arguments: dict[str, Json] | None = None,
        detached: bool = False,
        **more: Any,
    ) -> Approval:
        """bot asks, and it is parked."""
        given: dict[str, Json] = {"what": what, **(arguments or {})}
        call = Call(
            executor=executor,
            server="up",
            tool=tool,
            arguments=canonical_arguments(given),
            agent="bot",
            owner="alice",
            argument_order=tuple(given),
            **more,
        )
        arrival = await self.gate.arrive(
            call, self.gate.judge(call), idempotency_key=key, detached=detached
        )
        assert isinstance(arrival, Held), arrival
        return arrival.approval

    async def allowed(self, tool: str = "look") -> None:
        """bot calls a tool that needs nobody, or that is denied."""
        call = Call(
            executor=Executor.GATEWAY,
            server="up",
            tool=tool,
            arguments="{}",
            agent="bot",
            owner="alice",
        )
        await self.gate.arrive(call, self.gate.judge(call))

    async def said(
        self, approval: Approval, answer: Answer, by: str = "bob", reason: str | None = None
    ) -> Approval:
        """A person decides."""
        answering = Answering(answer=answer, digest=approval.digest, reason=reason, channel="rest")
        return await self.approvals.decide(person(by), approval.id, answering)

    async def approved(self, what: str, tool: str = "act", **more: Any) -> Approval:
        return await self.said(await self.asked(what, tool, **more), Answer.APPROVE)

    async def sent(self, what: str, outcome: SendOutcome, **more: Any) -> Approval:
        """The gateway sends an approved call, and this comes of it."""
        await self.liveness.renew()
        approval = await self.approved(what, **more)
        task = self.releases.start(approval, Server(outcome))
        assert task is not None
        return (await task).approval

    async def released(self, what: str, **more: Any) -> Approval:
        """A program takes the release of an approved call."""
        approval = await self.approved(what, executor=Executor.CALLER, **more)
        return await self.caller.release(
            BOT, approval.id, token=f"token-of-{what}-program", digest=approval.digest
        )

    async def reported(
        self, what: str, status: ReleaseStatus, detail: str | None, **more: Any
    ) -> Approval:
        """A program tells how it went."""
        sent = await self.released(what, **more)
        return await self.caller.report(
            BOT, sent.id, token=f"token-of-{what}-program", status=status, detail=detail
        )

    async def taken(self, what: str) -> Approval:
        """The gateway has taken the release, and its process is gone."""
        approval = await self.approved(what)
        step = machine.send(
            approval,
            token=IDS.token(),
            process="prc_gone",
            now=self.clock.now(),
            event_id=IDS.event(),
        )
        assert await self.store.apply(step, within=timedelta(seconds=5)) == Applied()
        return step.after

    async def withdrawn(self, what: str, reason: CancelReason) -> Approval:
        return await self.approvals.withdraw(await self.approved(what), reason)

    async def live(self) -> None:
        """Calls come into every state, at three times, each with its seals but the last one."""
        with self.ago(timedelta(days=2)):
            await self._long_ago()
        await self.audit.seal_due()
        assert await self.retention.erase_due() == 6
        with self.ago(timedelta(minutes=90)):
            await self._before()
        await self.audit.seal_due()
        await self._now()
        await self.audit.seal_due()
        await self.allowed()
        await self.asked("young")

    async def _long_ago(self) -> None:
        """What is erased: nothing of it has a deadline of now."""
        await self.allowed()
        asked = await self.asked("old", justification="Old words.")
        await self.approvals.abandon(asked.id)
        await self.asked("old secret", arguments={"password": "hunter2", "note": [1]})
        asked = await self.asked("old key", key="idem-0", executor=Executor.CALLER)
        await self.approvals.abandon(asked.id)
        late = await self.asked("very late", "two")
        await self.approvals.abandon(late.id)
        await self.sent("old run", RAN, tool="slow")
        await self.reported("old report", ReleaseStatus.SUCCEEDED, "order 6 done", tool="slow")
        with self.ago(timedelta(days=1, hours=1)):
            await self.approvals.expire_due()

    async def _before(self) -> None:
        """An hour and a half ago: half of these are over by now."""
        await self.freezes.thaw(person("carol"), await self._frozen())
        await self.approved("lapsing", session="s-1")
        await self.asked("reminded", justification="It is stale.")
        await self.asked("escalated", "urgent")
        await self.approvals.remind_due()
        with self.ago(timedelta(0)):
            await self.approvals.expire_due()
            await self.approvals.remind_due()
            await self.approvals.miss_due(within=timedelta(seconds=60))

    async def _frozen(self) -> str:
        freeze, _ = await self.freezes.freeze(
            person("carol"), server=None, agent="other", reason="test"
        )
        return freeze.id

    async def _now(self) -> None:
        await self.asked("pending", "delete_it", definition=DEFINITION)
        await self.asked("task", detached=True)
        await self.asked("secret", arguments={"password": "hunter2", "note": {"to": "bob"}})
        await self.asked("keyed", key="idem-1", executor=Executor.CALLER)
        await self.said(await self.asked("half", "two"), Answer.APPROVE, reason="Fine.")
        await self.approved("approved", "delete_it", definition=DEFINITION)
        asked = await self.asked("denied", "two", arguments={"n": 10**30})
        await self.said(asked, Answer.APPROVE, by="carol")
        await self.said(asked, Answer.APPROVE, by="erin")
        await self.said(await self.asked("refused"), Answer.DENY, reason="Wrong account.")
        mixed = await self.asked("mixed", "two")
        await self.said(mixed, Answer.APPROVE, by="erin")
        await self.said(mixed, Answer.DENY, by="carol")
        more_time = await self.asked("extended", "two")
        until = more_time.expires_at + timedelta(minutes=5)
        await self.approvals.extend(person("bob"), more_time.id, until=until)
        await self.approvals.cancel(BOT, (await self.asked("cancelled")).id)
        revoked = await self.approved("revoked")
        await self.approvals.revoke(person("bob"), revoked.id, reason="Not today.")
        await self.withdrawn("policy", CancelReason.POLICY_CHANGED)
        await self.withdrawn("restored", CancelReason.RESTORED)
        await self._releases()
        await self.allowed("nothing")
        await self.gate.unknown_tool("bot", "up", "ghost")

    async def _releases(self) -> None:
        failed = Answered(result={"isError": True}, error=None, is_error=True)
        done = await self.sent("ran", RAN, session="s-2")
        handed = machine.hand_over(done, delivered=True, now=self.clock.now(), event_id=IDS.event())
        await self.store.apply(handed, within=timedelta(seconds=5))
        await self.asked("ran")
        await self.sent("failed", failed, tool="delete_it", definition=DEFINITION)
        await self.sent("not sent", NotSent(why="the server could not be reached"))
        await self.sent("unanswered", Unanswered(why="the server did not answer in time"))
        lost = await self.taken("lost")
        await self.releases.recover()
        assert (await self.approvals.get(BOT, lost.id)).state != lost.state
        await self.taken("being sent")
        await self.released("by program")
        await self.reported("told", ReleaseStatus.SUCCEEDED, "order 7 done")
        await self.reported("failed there", ReleaseStatus.FAILED, None)


def person(name: str) -> PersonPrincipal:
    roles = frozenset({Role(role) for role in PEOPLE[name].get("roles", ["approver"])})
    return PersonPrincipal(name=name, roles=roles, assurance=Assurance.KEY)
