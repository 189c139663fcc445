"""One delivery: tell a channel of an approval as it stands now, and note how that went."""

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
from approvals.domain.rulebook import LOG
from approvals.domain.states import Pending
from approvals.errors import StoreFailure
from approvals.ports.telling import LATE, LOST, Drawn, Letters, Notice, NotTold, Paced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from approvals.domain.rulebook import Rulebook
    from approvals.domain.states import Approval
    from approvals.ports import Clock, Meter, Store
    from approvals.ports.telling import Channel, Delivery, Outbox, Receipt
    from approvals.service.rules import Rules

logger = logging.getLogger(__name__)

RECORD_AGAIN = (timedelta(milliseconds=500), timedelta(seconds=2), timedelta(seconds=5))
MOST_UNCLEAR = 2 * LOST
"""Two lost answers: one card too many is borne, and not more (SECURITY.md, 26)."""
LONGEST_REST = timedelta(hours=1)
"""However long a channel says that it wants to be left alone."""


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


class Teller:
    """Tells one delivery at a time. `rest` is called with how long a channel wants to be left
    alone."""

    def __init__(
        self,
        *,
        store: Store,
        outbox: Outbox,
        rules: Rules,
        clock: Clock,
        meter: Meter,
        pace: Pace,
        rest: Callable[[str, timedelta], None],
    ) -> None:
        self._store = store
        self._outbox = outbox
        self._rules = rules
        self._clock = clock
        self._meter = meter
        self._pace = pace
        self._rest = rest

    async def tell(self, delivery: Delivery, channel: Channel | Letters) -> bool:
        """Try once; whether the channel gave an answer, also a bad one."""
        try:
            async with asyncio.timeout(self._pace.attempt.total_seconds()):
                receipt = await self._tell(delivery, channel)
        except NotTold as error:
            await self.not_told(delivery, error, channel)
            return error.answered
        except TimeoutError:
            await self.not_told(delivery, NotTold("no answer in time", unclear=LATE), channel)
            return False
        except Exception as error:
            logger.exception(
                "%s could not be told of %s",
                delivery.channel,
                delivery.approval_id,
                extra={"approval": delivery.approval_id},
            )
            unclear = NotTold(type(error).__name__, unclear=LOST)
            await self.not_told(delivery, unclear, channel)
            return False
        await self._record(delivery, receipt)
        self._meter.told(delivery, at=self._clock.now())
        return True

    async def messages(self, delivery: Delivery) -> Sequence[Receipt]:
        """Where the channel keeps messages about the approval; the log keeps none."""
        if delivery.channel == LOG:
            return ()
        return await self._outbox.messages(delivery.approval_id, delivery.channel)

    def drawn(self, approval: Approval) -> Drawn:
        """The approval as channels show it now."""
        return draw(approval, self._rules.current, now=self._clock.now())

    def _notice(self, delivery: Delivery, approval: Approval) -> Notice:
        drawn = self.drawn(approval)
        return Notice(
            approval=approval,
            card=drawn.card,
            approvable=drawn.approvable,
            page=drawn.page,
            delivery=delivery,
            news=news(delivery.event, approval, drawn.card),
        )

    async def not_told(
        self, delivery: Delivery, error: NotTold, channel: Channel | Letters | None
    ) -> None:
        """Note why, and when it is tried again."""
        if error.closed and isinstance(channel, Letters):
            await self._outbox.close(delivery.channel, address=channel.address)
        asked = min(error.retry_after or self._pace.first_retry, LONGEST_REST)
        if error.retry_after is not None:
            self._rest(delivery.channel, asked)
        old = self._clock.now() - delivery.at > self._pace.keep_trying
        over = old or error.closed or error.hopeless
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
            retry_in=None if over else max(self._pace.pause(delivery.attempts), asked),
            unclear=error.unclear,
        )
        self._meter.not_told(delivery)

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
        if kept := await self.messages(delivery):
            await self._bring_up_to_date(delivery, approval, channel, kept)
            return None
        if isinstance(channel, Paced) and is_old_news(delivery, approval):
            return None
        if isinstance(channel, Paced) and delivery.unclear:
            await _look_before(delivery, channel)
        return await channel.announce(self._notice(delivery, approval))

    async def _post(self, delivery: Delivery, approval: Approval, letters: Letters) -> None:
        if await self._outbox.closed(delivery.channel) == letters.address:
            raise NotTold("this address wants to be told nothing more", hopeless=True)
        body = delivery.body
        if body is None:
            written = letters.written(self._notice(delivery, approval))
            if written is None:
                return
            body = await self._outbox.keep(delivery.id, written)
        await letters.send(delivery, body)

    async def _bring_up_to_date(
        self,
        delivery: Delivery,
        approval: Approval,
        channel: Channel,
        kept: Sequence[Receipt],
    ) -> None:
        notice = self._notice(delivery, approval)
        left = list(kept)
        for receipt in kept:
            try:
                await channel.update(receipt, notice)
            except NotTold as error:
                if not error.gone:
                    raise
                await self._outbox.forget(approval.id, receipt)
                left.remove(receipt)
        if left and notice.news and not delivery.unclear:  # an answer may have been lost
            await channel.reply(left[0], notice.news)


def draw(approval: Approval, rulebook: Rulebook, *, now: datetime) -> Drawn:
    """The approval as a channel shows it to whoever reads there."""
    local = now.astimezone(rulebook.zone)
    return Drawn(
        approval=approval,
        card=card(approval, directory=rulebook.directory, now=local),
        approvable=approvable(approval, assurance=Assurance.SLACK),
        page=f"{rulebook.pages}/a/{approval.id}" if rulebook.pages else "",
    )


async def _look_before(delivery: Delivery, channel: Paced) -> None:
    """What was perhaps told is told once more, but not into the dark, and not for ever."""
    if delivery.unclear >= MOST_UNCLEAR:
        raise NotTold(
            "it was given more than once and no answer came, so not once more", hopeless=True
        )
    try:
        await channel.probe()
    except NotTold as error:
        raise NotTold(error.why, retry_after=error.retry_after, answered=False) from error


def is_old_news(delivery: Delivery, approval: Approval) -> bool:
    """Whether the call is over, and the channel was told of it in a digest, if at all."""
    over = not isinstance(approval.state, Pending)
    return over and (delivery.digested or delivery.event != "parked")
