"""The outbox, worked off: each channel by itself, so that a slow one holds up no other.

No transaction is open while a channel is being told. Execution never goes through here
(CHANNELS.md, "Delivery").
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain.rulebook import LOG
from approvals.ports.telling import ANNOUNCED, Letters, NotTold, Paced
from approvals.service.telling import Teller, is_old_news

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.ports import Clock, Meter, Store
    from approvals.ports.telling import Channel, Channels, Delivery, Outbox
    from approvals.service.rules import Rules
    from approvals.service.telling import Pace

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
AT_ONCE = 20
TOGETHER = 10
"""Letters that are on their way to one address at the same time."""
PINGS = 10
"""Messages with a sound that a channel gets in a minute (SECURITY.md, 24)."""
LISTED = 10
MOST_COUNTED = 1000
BETWEEN_LOOKS = 0.1
BETWEEN_LETTERS = 0.1
BETWEEN_BATCHES = 0.2
"""Seconds."""


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
        name: str,
    ) -> None:
        """`name` is that of this process."""
        self.pace = pace
        self._name = name
        self._store = store
        self._outbox = outbox
        self._channels = channels
        self._woken = woken
        self._working: dict[str, asyncio.Task[None]] = {}
        self._resting: dict[str, float] = {}
        self._stopping = False
        self._teller = Teller(
            store=store,
            outbox=outbox,
            rules=rules,
            clock=clock,
            meter=meter,
            pace=pace,
            rest=self._rest,
        )

    async def run(self) -> None:
        """Tell people what happens here as soon as it has happened; the job finds what is left, and
        what only the log is told."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self.deliver_due(but=LOG)
            except Exception:
                logger.exception("what is due could not be looked for; it is tried again")
            await asyncio.sleep(BETWEEN_LOOKS)

    async def deliver_due(self, *, but: str | None = None) -> None:
        """Begin to tell everything that is due, and wait for nothing of it."""
        for name in await self._outbox.due():
            if name != but and name not in self._working and self._goes_on(name):
                self._working[name] = asyncio.create_task(self._work_off(name))

    async def settled(self) -> None:
        """Wait until what was begun is told, or is to be tried again later."""
        await asyncio.gather(*self._working.values())

    async def stop(self) -> None:
        """Begin nothing more, and let attempts come to their end for as long as one may take."""
        self._stopping = True
        working = list(self._working.values())
        if working:
            await asyncio.wait(working, timeout=self.pace.attempt.total_seconds() + 1)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)

    def wake(self, name: str) -> None:
        """An admin wants the channel to be told now, also while it rests."""
        self._resting.pop(name, None)
        self._woken.set()

    async def _work_off(self, name: str) -> None:
        try:
            channel = self._channels.find(name)
            if isinstance(channel, Letters):
                await self._send_all(name, channel)
            else:
                await self._tell_all(name, channel)
        except Exception:
            logger.exception("could not work off what %s is to be told; it is tried again", name)
        finally:
            del self._working[name]

    async def _send_all(self, name: str, letters: Letters) -> None:
        """Several at a time: one that nobody answers does not hold up the others."""
        on_their_way: set[asyncio.Task[None]] = set()
        try:
            while self._goes_on(name):
                room = TOGETHER - len(on_their_way)
                due = await self._outbox.lease(name, lease=LEASE, limit=room) if room else []
                for delivery in due:
                    sending = asyncio.create_task(self._send(delivery, letters))
                    on_their_way.add(sending)
                    sending.add_done_callback(on_their_way.discard)
                if not on_their_way:
                    return
                pause = BETWEEN_LETTERS if due else 2 * BETWEEN_LETTERS
                await asyncio.wait(on_their_way, timeout=pause)
            await asyncio.gather(*on_their_way)
        except asyncio.CancelledError:
            for sending in on_their_way:
                sending.cancel()
            await asyncio.gather(*on_their_way, return_exceptions=True)
            raise

    async def _send(self, delivery: Delivery, letters: Letters) -> None:
        try:
            await self._teller.tell(delivery, letters)
        except Exception:
            logger.exception("how %s was told could not be noted", delivery.channel)

    async def _tell_all(self, name: str, channel: Channel | Paced | None) -> None:
        """Where there is a pace, one process at a time: it is one for all replicas."""
        alone = isinstance(channel, Paced)
        try:
            while self._goes_on(name):
                if alone and not await self._outbox.take(name, worker=self._name, lease=LEASE):
                    return
                due = await self._outbox.lease(name, lease=LEASE, limit=AT_ONCE)
                if not due:
                    return
                await self._tell_batch(name, due, channel)
                if len(due) == AT_ONCE:  # much waits: requests come first
                    await asyncio.sleep(BETWEEN_BATCHES)
        finally:
            if alone:
                await self._outbox.let_go(name, worker=self._name)

    async def _tell_batch(
        self, name: str, due: Sequence[Delivery], channel: Channel | Paced | None
    ) -> None:
        if channel is None:
            for delivery in due:
                unknown = NotTold("there is no such channel now")
                await self._teller.not_told(delivery, unknown, None)
        elif isinstance(channel, Paced):
            await self._tell_in_turn(await self._within_pace(name, due, channel), channel)
        else:
            await self._tell_in_turn(due, channel)

    async def _tell_in_turn(self, due: Sequence[Delivery], channel: Channel) -> None:
        """One after the other: a channel that does not answer is not asked twenty times."""
        ends = asyncio.get_running_loop().time() + LEASE.total_seconds() / 2
        for at, delivery in enumerate(due):
            answers = await self._teller.tell(delivery, channel)
            late = asyncio.get_running_loop().time() > ends
            if not answers or late or not self._goes_on(delivery.channel):
                rest = [left.id for left in due[at + 1 :]]
                wait = self.pace.first_retry * (1 if answers else 5)
                return await self._outbox.put_off(rest, wait=wait)
        return None

    async def _within_pace(
        self, name: str, due: Sequence[Delivery], channel: Paced
    ) -> Sequence[Delivery]:
        """What is told now. Of new calls beyond the pace people are told in one digest; their cards
        follow."""
        new = [delivery for delivery in due if await self._is_announced(delivery)]
        pings = await self._outbox.pings(name, within=self.pace.minute)
        later = new[max(0, PINGS - pings.cards) :]
        if not later:
            return due
        names = {delivery.id for delivery in later}
        now = [delivery for delivery in due if delivery.id not in names]
        if pings.since_digest is not None and pings.since_digest < self.pace.digest_every:
            fresh = any(not delivery.digested for delivery in later)
            wait = self.pace.digest_every if fresh else self.pace.minute
            await self._outbox.put_off(names, wait=wait)
        elif await self._digest(name, later, channel, besides={one.id for one in now}):
            await self._outbox.put_off(names, wait=self.pace.minute)
        return now

    async def _digest(
        self, name: str, later: Sequence[Delivery], channel: Paced, *, besides: set[str]
    ) -> bool:
        """Tell in one message of all calls that wait, but for those that are told by themselves;
        False: the channel did not take it."""
        waiting = await self._outbox.untold(name, limit=MOST_COUNTED)
        waiting = [(id_, approval_id) for id_, approval_id in waiting if id_ not in besides]
        if not waiting:
            return True
        shown = []
        for _, approval_id in waiting[:LISTED]:
            approval = await self._store.approval(approval_id)
            if approval is not None:
                shown.append(self._teller.drawn(approval))
        try:
            async with asyncio.timeout(self.pace.attempt.total_seconds()):
                await channel.digest(shown, more=max(0, len(waiting) - len(shown)))
        except (NotTold, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                error = NotTold("no answer in time", answered=False)
            for delivery in later:
                await self._teller.not_told(delivery, _of_the_digest(error), channel)
            return False
        await self._outbox.digested(name, [id_ for id_, _ in waiting], wait=self.pace.minute)
        return True

    async def _is_announced(self, delivery: Delivery) -> bool:
        """Whether it is told by a message of its own, which makes a sound."""
        if delivery.event not in ANNOUNCED:
            return False
        if await self._teller.messages(delivery):
            return False
        approval = await self._store.approval(delivery.approval_id)
        return approval is None or not is_old_news(delivery, approval)

    def _rest(self, name: str, length: timedelta) -> None:
        self._resting[name] = asyncio.get_running_loop().time() + length.total_seconds()

    def _goes_on(self, name: str) -> bool:
        """Whether anything more is told to this channel now."""
        rests = self._resting.get(name, 0.0) > asyncio.get_running_loop().time()
        return not rests and not self._stopping


def _of_the_digest(error: NotTold) -> NotTold:
    """The digest was not taken; of the card itself nothing was tried."""
    return NotTold(
        f"the digest: {error.why}", retry_after=error.retry_after, answered=error.answered
    )
