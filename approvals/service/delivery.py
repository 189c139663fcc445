"""Tell the channels: read due outbox rows, render the state as it is now, send, note how it went.

Each channel is worked off by itself, so that a slow one holds up no other. No transaction is open
while a channel is being told. Execution never goes through here (CHANNELS.md, "Delivery").
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain.card import card
from approvals.domain.directory import Assurance
from approvals.domain.news import news
from approvals.domain.offer import approvable
from approvals.domain.states import Pending
from approvals.errors import StoreFailure
from approvals.ports.telling import Drawn, Letters, Notice, NotTold, Paced

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from approvals.domain.rulebook import Rulebook
    from approvals.domain.states import Approval
    from approvals.ports import Clock, Meter, Store
    from approvals.ports.telling import Channel, Channels, Delivery, Outbox, Receipt
    from approvals.service.rules import Rules

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
AT_ONCE = 20
TOGETHER = 10
"""Letters that are sent to one address at the same time."""
RECORD_AGAIN = (timedelta(milliseconds=500), timedelta(seconds=2), timedelta(seconds=5))
LONGEST_REST = timedelta(hours=1)
"""However long a channel says that it wants to be left alone."""
PINGS = 10
"""Messages with a sound that a channel gets in a minute (SECURITY.md, 24)."""
LISTED = 10
BETWEEN_LOOKS = 0.05
BETWEEN_BATCHES = 0.1
"""Seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How long things take. Tests make them shorter.

    `attempt`: what one try may take; `first_retry` doubles up to `last_retry`, until `keep_trying`
    is over; a digest comes at most every `digest_every`; a call that no channel could tell of
    within `noticed_within` counts as seen by nobody.
    """

    attempt: timedelta = timedelta(seconds=10)
    first_retry: timedelta = timedelta(seconds=1)
    last_retry: timedelta = timedelta(minutes=10)
    keep_trying: timedelta = timedelta(days=3)
    minute: timedelta = timedelta(minutes=1)
    digest_every: timedelta = timedelta(seconds=20)
    noticed_within: timedelta = timedelta(seconds=60)

    def pause(self, attempts: int) -> timedelta:
        """Twice as long each time, and not the same for all that failed together."""
        doubled: int = 2 ** min(attempts, 20)
        whole = min(self.first_retry * doubled, self.last_retry)
        return whole * random.uniform(0.75, 1.0)  # noqa: S311 (nothing is to be guessed)


class Deliveries:
    """Works the outbox off."""

    def __init__(
        self,
        *,
        store: Store,
        outbox: Outbox,
        rules: Rules,
        clock: Clock,
        channels: Channels,
        meter: Meter,
        pace: Pace,
        woken: asyncio.Event,
    ) -> None:
        self._woken = woken
        self.pace = pace
        self._store = store
        self._outbox = outbox
        self._rules = rules
        self._clock = clock
        self._channels = channels
        self._meter = meter
        self._working: dict[str, asyncio.Task[None]] = {}
        self._resting: dict[str, float] = {}

    async def run(self) -> None:
        """Tell what happens here as soon as it has happened; the job finds what is left."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self.deliver_due()
            except Exception:
                logger.exception("what is due could not be looked for; it is tried again")
            await asyncio.sleep(BETWEEN_LOOKS)

    async def deliver_due(self) -> None:
        """Begin to tell everything that is due, and wait for nothing of it."""
        for name in await self._outbox.due():
            if name not in self._working and not self._rests(name):
                self._working[name] = asyncio.create_task(self._work_off(name))

    async def settled(self) -> None:
        """Wait until what was begun is told, or is to be tried again later."""
        await asyncio.gather(*self._working.values())

    async def stop(self) -> None:
        """Let the attempts that were begun come to their end, for as long as one may take."""
        working = list(self._working.values())
        if working:
            await asyncio.wait(working, timeout=self.pace.attempt.total_seconds())
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)

    async def _work_off(self, name: str) -> None:
        try:
            while not self._rests(name):
                due = await self._outbox.lease(name, lease=LEASE, limit=AT_ONCE)
                if not due:
                    return
                await self._tell_all(name, due)
                if len(due) == AT_ONCE:  # much waits: requests come first
                    await asyncio.sleep(BETWEEN_BATCHES)
        except Exception:
            logger.exception("could not work off what %s is to be told; it is tried again", name)
        finally:
            del self._working[name]

    async def _tell_all(self, name: str, due: Sequence[Delivery]) -> None:
        match self._channels.find(name):
            case None:
                for delivery in due:
                    await self._not_told(delivery, NotTold("the configuration has no such channel"))
            case Letters() as letters:
                room = asyncio.Semaphore(TOGETHER)
                await asyncio.gather(*(self._send(delivery, letters, room) for delivery in due))
            case Paced() as paced:
                await self._tell_in_turn(await self._within_pace(name, due, paced), paced)
            case channel:
                await self._tell_in_turn(due, channel)

    async def _send(self, delivery: Delivery, letters: Letters, room: asyncio.Semaphore) -> None:
        async with room:
            if not self._rests(delivery.channel):
                await self._attempt(delivery, letters)
            else:
                await self._outbox.put_off([delivery.id], wait=self.pace.first_retry)

    async def _tell_in_turn(self, due: Sequence[Delivery], channel: Channel) -> None:
        """One after the other: a channel that does not answer is not asked twenty times."""
        ends = asyncio.get_running_loop().time() + LEASE.total_seconds() / 2
        for at, delivery in enumerate(due):
            answers = await self._attempt(delivery, channel)
            late = asyncio.get_running_loop().time() > ends
            if not answers or late or self._rests(delivery.channel):
                rest = [left.id for left in due[at + 1 :]]
                wait = self.pace.first_retry * (1 if answers else 5)
                return await self._outbox.put_off(rest, wait=wait)
        return None

    async def _attempt(self, delivery: Delivery, channel: Channel | Letters) -> bool:
        """Whether the channel gave an answer, also a bad one."""
        try:
            async with asyncio.timeout(self.pace.attempt.total_seconds()):
                receipt = await self._tell(delivery, channel)
        except NotTold as error:
            await self._not_told(delivery, error)
            return not error.unclear
        except TimeoutError:
            await self._not_told(delivery, NotTold("no answer in time", unclear=True))
            return False
        except Exception as error:
            logger.exception(
                "%s could not be told of %s",
                delivery.channel,
                delivery.approval_id,
                extra={"approval": delivery.approval_id},
            )
            await self._not_told(delivery, NotTold(type(error).__name__, unclear=True))
            return False
        await self._record(delivery, receipt)
        self._meter.told(delivery, at=self._clock.now())
        return True

    async def _record(self, delivery: Delivery, receipt: Receipt | None) -> None:
        """Keep at it for a while: what is told and not recorded is told again."""
        for pause in (*RECORD_AGAIN, None):
            try:
                return await self._outbox.told(delivery.id, receipt=receipt)
            except StoreFailure:
                if pause is None:
                    raise
                await asyncio.sleep(pause.total_seconds())
        return None

    async def _tell(self, delivery: Delivery, channel: Channel | Letters) -> Receipt | None:
        approval = await self._store.approval(delivery.approval_id)
        if approval is None:
            raise LookupError("the approval of an outbox row is gone")
        if isinstance(channel, Letters):
            await self._post(delivery, approval, channel)
            return None
        kept = await self._outbox.messages(approval.id, delivery.channel)
        if kept:
            await self._bring_up_to_date(delivery, approval, channel)
            return None
        if isinstance(channel, Paced) and _is_old_news(delivery, approval):
            return None
        if isinstance(channel, Paced) and delivery.unclear:
            await channel.probe()  # what was perhaps told is not told again into the dark
        return await channel.announce(self._notice(delivery, approval))

    async def _post(self, delivery: Delivery, approval: Approval, letters: Letters) -> None:
        closed = await self._outbox.closed(delivery.channel)
        if closed == letters.address:
            raise NotTold("this address wants to be told nothing more", closed=True)
        body = delivery.body
        if body is None:
            written = letters.written(self._notice(delivery, approval))
            if written is None:
                return
            body = await self._outbox.keep(delivery.id, written)
        await letters.send(delivery, body)

    async def _bring_up_to_date(
        self, delivery: Delivery, approval: Approval, channel: Channel
    ) -> None:
        notice = self._notice(delivery, approval)
        for receipt in await self._outbox.messages(approval.id, delivery.channel):
            try:
                await channel.update(receipt, notice)
            except NotTold as error:
                if not error.gone:
                    raise
                await self._outbox.forget(approval.id, receipt)
        left = await self._outbox.messages(approval.id, delivery.channel)
        if left and notice.news:
            await channel.reply(left[0], notice.news)

    async def _within_pace(
        self, name: str, due: Sequence[Delivery], channel: Paced
    ) -> Sequence[Delivery]:
        """What is told now. Of new calls beyond the pace people are told in one digest; their cards
        follow."""
        new = [delivery for delivery in due if delivery.event == "parked"]
        pings = await self._outbox.pings(name, within=self.pace.minute)
        later = new[max(0, PINGS - pings.cards) :]
        if not later:
            return due
        undigested = [delivery for delivery in later if not delivery.digested]
        recent = pings.since_digest is not None and pings.since_digest < self.pace.digest_every
        if undigested and not recent:
            await self._digest(name, undigested, channel, now=len(new) - len(later))
        else:
            wait = self.pace.digest_every if undigested else self.pace.minute
            await self._outbox.put_off([delivery.id for delivery in later], wait=wait)
        names = {delivery.id for delivery in later}
        return [delivery for delivery in due if delivery.id not in names]

    async def _digest(
        self, name: str, undigested: Sequence[Delivery], channel: Paced, *, now: int
    ) -> None:
        """`now`: how many of those that were not told of are told by themselves at once."""
        notices = []
        for delivery in undigested[:LISTED]:
            approval = await self._store.approval(delivery.approval_id)
            if approval is not None:
                notices.append(self._notice(delivery, approval))
        every = await self._outbox.undigested(name)
        try:
            async with asyncio.timeout(self.pace.attempt.total_seconds()):
                await channel.digest(notices, more=max(0, every - now - len(notices)))
        except (NotTold, TimeoutError):
            ids = [delivery.id for delivery in undigested]
            return await self._outbox.put_off(ids, wait=self.pace.first_retry * 5)
        return await self._outbox.digested(name, wait=self.pace.minute)

    def _notice(self, delivery: Delivery, approval: Approval) -> Notice:
        drawn = draw(approval, self._rules.current, now=self._clock.now())
        return Notice(
            approval=approval,
            card=drawn.card,
            approvable=drawn.approvable,
            page=drawn.page,
            delivery=delivery,
            news=news(delivery.event, approval, drawn.card),
        )

    async def _not_told(self, delivery: Delivery, error: NotTold) -> None:
        if error.closed:
            channel = self._channels.find(delivery.channel)
            if isinstance(channel, Letters):
                await self._outbox.close(delivery.channel, address=channel.address)
        if error.retry_after is not None:
            rest = min(error.retry_after, LONGEST_REST)
            until = asyncio.get_running_loop().time() + rest.total_seconds()
            self._resting[delivery.channel] = until
        over = error.closed or self._clock.now() - delivery.at > self.pace.keep_trying
        asked = min(error.retry_after or self.pace.first_retry, LONGEST_REST)
        pause = max(self.pace.pause(delivery.attempts), asked)
        logger.warning(
            "%s was not told of %s: %s",
            delivery.channel,
            delivery.approval_id,
            error.why,
            extra={"approval": delivery.approval_id},
        )
        await self._outbox.failed(
            delivery.id,
            error=error.why,
            retry_in=None if over else pause,
            unclear=error.unclear,
        )
        self._meter.not_told(delivery)

    def _rests(self, name: str) -> bool:
        return self._resting.get(name, 0.0) > asyncio.get_running_loop().time()


def draw(approval: Approval, rulebook: Rulebook, *, now: datetime) -> Drawn:
    """The approval as a channel shows it to whoever reads there."""
    local = now.astimezone(rulebook.zone)
    return Drawn(
        approval=approval,
        card=card(approval, directory=rulebook.directory, now=local),
        approvable=approvable(approval, assurance=Assurance.SLACK),
        page=f"{rulebook.pages}/a/{approval.id}" if rulebook.pages else "",
    )


def _is_old_news(delivery: Delivery, approval: Approval) -> bool:
    """Whether the call is over, and the channel was told of it in a digest, if at all."""
    over = not isinstance(approval.state, Pending)
    return over and (delivery.digested or delivery.event != "parked")
