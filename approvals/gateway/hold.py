"""Hold a call: until somebody decides, until it has run, or until this request's time is over."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from approvals.domain.call import Executor
from approvals.domain.quorum import Gone
from approvals.domain.refusal import (
    out_of_sight,
    refusal_of,
    too_large_to_keep,
    unreachable,
    unreadable,
)
from approvals.domain.states import (
    Approval,
    Approved,
    Outcome,
    Pending,
    Released,
    ReleaseStatus,
)
from approvals.domain.strictjson import Json, parse
from approvals.errors import ApprovalsError, NotFound, StoreFailure
from approvals.gateway.catalogue import SessionLost
from approvals.ports import Answered, Asks, Step
from approvals.service.fields import fields

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from datetime import datetime

    from approvals.domain.refused import Refusal
    from approvals.gateway.waits import Answers
    from approvals.ports import Clock, Store, Tracer, Upstream
    from approvals.service.approvals import Approvals
    from approvals.service.identity import AgentPrincipal
    from approvals.service.release import Release, Releases
    from approvals.service.rules import Rules
    from approvals.service.waiting import Waiting


logger = logging.getLogger(__name__)

STOPPING = "The service is stopping."
MAX_HELD = 100
"""Requests of one agent that are held at once, or `max_pending` of them; more are told at once."""
FOREVER = timedelta(days=1)
"""Longer than any request is held: the time of the request itself ends the wait."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What this request is answered with: the tool's own answer, a refusal, or what the server asks
    before it goes on."""

    approval: Approval
    answer: Answered | None = None
    refusal: Refusal | None = None
    asks: Asks | None = None
    known: bool = True
    time_is_over: bool = False
    """The call is still held, and this request was held as long as it may be."""

    @property
    def has_outcome(self) -> bool:
        """Whether this tells how a release ended, which only one client is to be told."""
        state = self.approval.state
        return self.known and isinstance(state, Released) and state.outcome is not None


class Hold:
    """One held request at a time; the approval is the truth, this only waits on it."""

    def __init__(
        self,
        *,
        store: Store,
        approvals: Approvals,
        waiting: Waiting,
        releases: Releases,
        rules: Rules,
        clock: Clock,
        tracer: Tracer,
    ) -> None:
        self._store = store
        self._approvals = approvals
        self._waiting = waiting
        self._releases = releases
        self._rules = rules
        self._clock = clock
        self._tracer = tracer
        self._leaving: set[asyncio.Task[None]] = set()
        self._held: Counter[str] = Counter()
        self._requesters: Counter[str] = Counter()

    async def until_ended(
        self,
        approval: Approval,
        upstream: Upstream,
        *,
        within: timedelta,
        left: asyncio.Future[None],
        still: Callable[[], Awaitable[object]],
        answers: Answers | None = None,
    ) -> Ended:
        """Wait for the decision, start the release, wait for the outcome, at most `within`.

        `answers` are given to the server that asked for them.

        `left` is done when the client is gone; the call is then withdrawn where the rule says so.
        `still` raises Unauthenticated once the client's key is revoked; nothing is sent for it.
        """
        if self._held[approval.call.agent] >= self._most_held(approval.call.agent):
            return await self.outcome(await self._newest(approval))
        with self._counted(approval), self._tracer.span(Step.HOLD) as span:
            span.approval(approval)
            work = self._follow(approval, upstream, still, answers)
            ended = await self._wait(approval, work, within, left=left)
            span.approval(ended.approval)
            return ended

    @contextmanager
    def _counted(self, approval: Approval) -> Iterator[None]:
        counted = ((self._held, approval.call.agent), (self._requesters, approval.id))
        for counter, key in counted:
            counter[key] += 1
        try:
            yield
        finally:
            for counter, key in counted:
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]

    def _most_held(self, agent: str) -> int:
        return max(MAX_HELD, self._rules.current.max_pending(agent))

    async def _wait(
        self,
        approval: Approval,
        work: Awaitable[Ended],
        within: timedelta,
        *,
        left: asyncio.Future[None],
    ) -> Ended:
        try:
            return await self._within(approval, work, within)
        except asyncio.CancelledError:
            if left.done() and approval.requirement.on_requester_gone is Gone.CANCEL:
                self._abandon(approval)
            raise
        except SessionLost:
            raise
        except StoreFailure:  # whatever became of it, the same call again finds it
            logger.exception("%s cannot be followed", approval.id, extra=fields(approval))
            return Ended(approval=approval, refusal=out_of_sight(approval), known=False)

    async def _within(self, approval: Approval, work: Awaitable[Ended], within: timedelta) -> Ended:
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await work
        except TimeoutError:
            ended = await self.outcome(await self._newest(approval))
            return replace(ended, time_is_over=ended.approval.is_open)

    async def outcome(self, approval: Approval) -> Ended:
        """What an approval answers as it stands: a stored result, or a refusal in words."""
        state = approval.state
        if not isinstance(state, Released):
            return self._refusal(approval)
        ran = {ReleaseStatus.SUCCEEDED, ReleaseStatus.FAILED}
        if state.release_status in ran and state.outcome and state.outcome.result_hash:
            try:
                text = await self._store.result(approval.id)
            except StoreFailure:
                return Ended(approval=approval, refusal=unreadable(approval), known=False)
            if text is None:
                return Ended(approval=approval, refusal=too_large_to_keep(approval))
            return Ended(approval=approval, answer=_read(text, state.release_status))
        return self._refusal(approval)

    def _abandon(self, approval: Approval) -> None:
        """In a task of its own: the request that would do it is being cancelled."""
        task = asyncio.create_task(self._withdraw_if_alone(approval))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _withdraw_if_alone(self, approval: Approval) -> None:
        if self._requesters[approval.id]:
            return
        try:
            await self._approvals.abandon(approval.id)
        except ApprovalsError:
            logger.info(
                "%s was decided before its client left", approval.id, extra=fields(approval)
            )

    async def _until_usable(self, approval: Approval, use_from: datetime) -> None:
        """A release delay: until it is over, or something else has happened."""
        await self._waiting.until(
            approval.id,
            lambda found: found.version != approval.version,
            within=use_from - self._clock.now(),
        )

    async def _follow(
        self,
        approval: Approval,
        upstream: Upstream,
        still: Callable[[], Awaitable[object]],
        answers: Answers | None,
    ) -> Ended:
        if answers is not None and answers.approval_id == approval.id:
            await still()
            giving = self._releases.give(
                approval, upstream, answers.given, asked_at=answers.asked_at
            )
            if ended := await self._sent(approval, giving):
                return ended
        while True:
            approval = await self._waiting.until(approval.id, _moves, within=FOREVER)
            if isinstance(approval.state, Approved):
                await still()
            if ended := await self._next(approval, upstream):
                return ended

    async def _next(self, approval: Approval, upstream: Upstream) -> Ended | None:
        """What is to be done where the approval stands; None: look again."""
        match approval.state:
            case Pending() if not self._waiting.stopping:
                return None
            case Approved() if self._waiting.stopping:
                return Ended(approval=approval, refusal=unreachable(approval, STOPPING))
            case Approved(use_from=use_from) if use_from > self._clock.now():
                await self._until_usable(approval, use_from)
                return None
            case Approved():
                return await self._sent(approval, self._releases.start(approval, upstream))
            case Released(outcome=None) if running := self._releases.running(approval.id):
                return await self._sent(approval, running)
            case Released(outcome=None) if asks := self._releases.asks(approval):
                return Ended(approval=approval, asks=asks)
            case Released(outcome=None) if not self._waiting.stopping:
                await self._waiting.until(approval.id, _has_ended, within=FOREVER)
                return None
            case Released(outcome=Outcome()):
                return await self.outcome(approval)
        return self._refusal(approval)

    async def _sent(
        self, approval: Approval, sending: asyncio.Task[Release] | None
    ) -> Ended | None:
        """What comes of a release; None: somebody else has it, read again."""
        if sending is None:
            return self._not_sent(approval, STOPPING)
        either: set[asyncio.Future[Any]] = {sending, self._waiting.stopped}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            return self._refusal(await self._newest(approval))
        try:
            release = sending.result()
        except SessionLost:
            raise
        except StoreFailure as error:
            return self._not_sent(await self._newest(approval), str(error))
        if release.asks is not None:
            return Ended(approval=release.approval, asks=release.asks)
        if release.refusal is not None:
            return Ended(approval=release.approval, refusal=release.refusal)
        if isinstance(release.approval.state, Approved):
            return Ended(approval=approval, refusal=unreachable(approval, STOPPING))
        if release.answer and (release.answer.result or release.answer.error):
            return Ended(approval=release.approval, answer=release.answer)
        return None

    def _not_sent(self, approval: Approval, why: str) -> Ended:
        """An approved call is not on its way; of one that was sent before nobody may say so."""
        if isinstance(approval.state, Released):
            return self._refusal(approval)
        return Ended(approval=approval, refusal=unreachable(approval, why))

    def _refusal(self, approval: Approval) -> Ended:
        told = self._rules.current.telling
        return Ended(approval=approval, refusal=refusal_of(approval, *told))

    async def _newest(self, approval: Approval) -> Approval:
        return await self._store.approval(approval.id) or approval


async def own_call(
    approvals: Approvals, agent: AgentPrincipal, server: str, approval_id: Json
) -> Approval | None:
    """A call that this agent had held on this server, as it stands now; None: there is none."""
    if not isinstance(approval_id, str):
        return None
    try:
        found = await approvals.get(agent, approval_id)
    except NotFound:
        return None
    here = (found.call.server, found.call.executor) == (server, Executor.GATEWAY)
    return found if here else None


def _moves(approval: Approval) -> bool:
    return not isinstance(approval.state, Pending)


def _has_ended(approval: Approval) -> bool:
    return not approval.is_open


def _read(text: str, status: ReleaseStatus) -> Answered:
    stored = parse(text.encode("utf-8"))
    assert isinstance(stored, dict)  # noqa: S101 (release wrote it)
    result, error = stored.get("result"), stored.get("error")
    return Answered(
        result=_object(result),
        error=_object(error),
        is_error=status is ReleaseStatus.FAILED,
    )


def _object(value: Json) -> dict[str, Json] | None:
    return value if isinstance(value, dict) else None
