"""How people are told: the outbox, and the channels into which it is worked off.

The write that makes news writes an outbox row for each channel; what is told is the state at the
moment of telling (CHANNELS.md, "Delivery").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NewType, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime, timedelta

    from approvals.domain.card import Card
    from approvals.domain.states import Approval, NoticeKind

Receipt = NewType("Receipt", str)
"""Where a channel keeps a message, in the channel's own words."""


ANNOUNCED = ("parked", "escalated")
"""Events of which a channel is told by a message of its own, where it has none about the call."""
LATE, LOST = 1, 10
"""How likely a channel has what it did not answer to: it was slow, or the connection broke off."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One outbox row, leased to whoever read it.

    `event` is the type of the event that made it, and `at` when that happened; `body` the bytes
    that are sent each time, once they are written; `unclear`: how much
    doubt earlier attempts have left whether it was told (LATE, LOST); `digested`: people were told
    in a digest that it waits.
    """

    id: str
    approval_id: str
    channel: str
    kind: NoticeKind
    event: str
    at: datetime
    attempts: int = 0
    body: str | None = None
    unclear: int = 0
    digested: bool = False


class Ending(StrEnum):
    """How a delivery ended."""

    TOLD = "told"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One try; `error` is empty when the channel had it."""

    at: datetime
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRecord:
    """A delivery as people look at it. Of many attempts the first twenty and the last are kept."""

    delivery: Delivery
    due_at: datetime
    ended: Ending | None
    done_at: datetime | None
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryFilter:
    """Which deliveries are listed: those of one approval, or all that are not told."""

    approval_id: str | None = None
    channel: str | None = None
    ended: Ending | None = None
    waiting: bool = False
    limit: int = 50
    after: tuple[datetime, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pings:
    """How much a channel was told of late: messages that make a sound, and how long ago the last
    digest was; None: there was none."""

    cards: int
    since_digest: timedelta | None


class Outbox(Protocol):
    """What is to be told and what was. Times are the database's."""

    async def due(self) -> Sequence[str]:
        """The channels for which something is to be told now."""
        ...

    async def lease(self, channel: str, *, lease: timedelta, limit: int) -> Sequence[Delivery]:
        """Take due rows of the channel for `lease`; of one approval only the oldest, and that only
        when none before it is unfinished."""
        ...

    async def keep(self, delivery_id: str, body: str) -> str:
        """Keep the bytes that are sent; those that were kept first stay, and are answered."""
        ...

    async def told(self, delivery_id: str, *, receipt: Receipt | None = None) -> None:
        """The channel has it, and keeps the message there."""
        ...

    async def failed(
        self, delivery_id: str, *, error: str, retry_in: timedelta | None, unclear: int = 0
    ) -> None:
        """The channel does not have it, or we did not learn that it has: it is due again after
        `retry_in`. None: it is given up."""
        ...

    async def put_off(self, delivery_ids: Collection[str], *, wait: timedelta) -> None:
        """Nothing was tried: these are due after `wait`."""
        ...

    async def digested(
        self, channel: str, delivery_ids: Collection[str], *, wait: timedelta
    ) -> None:
        """A digest has told the channel that these wait: each of them is due after `wait`."""
        ...

    async def pings(self, channel: str, *, within: timedelta) -> Pings:
        """What the channel was told within this time."""
        ...

    async def untold(self, channel: str, *, limit: int) -> Sequence[tuple[str, str]]:
        """The deliveries and approvals of pending calls of which the channel was not told, not by
        a digest either; oldest first."""
        ...

    async def take(self, channel: str, *, worker: str, lease: timedelta) -> bool:
        """Work the channel off alone for so long; False: another one does. Again: go on with it."""
        ...

    async def let_go(self, channel: str, *, worker: str) -> None:
        """Others may work it off now."""
        ...

    async def messages(self, approval_id: str, channel: str) -> Sequence[Receipt]:
        """Where the channel keeps messages about this approval, oldest first."""
        ...

    async def forget(self, approval_id: str, receipt: Receipt) -> None:
        """The message is no longer there."""
        ...

    async def adopt(self, approval_id: str, channel: str, receipt: Receipt) -> bool:
        """Keep a message that we did not know of, and have it brought up to date; False: it was
        known."""
        ...

    async def deliveries(self, filter_: DeliveryFilter) -> Sequence[DeliveryRecord]:
        """Deliveries by time, oldest first."""
        ...

    async def channel_of(self, delivery_id: str) -> str | None:
        """Whom the delivery is for; None: there is none."""
        ...

    async def redeliver(self, delivery_id: str) -> DeliveryRecord | None:
        """It is due now, whatever became of it; None: there is no such delivery."""
        ...

    async def closed(self, channel: str) -> str | None:
        """The address of a channel that wants to be told nothing more."""
        ...

    async def close(self, channel: str, *, address: str) -> None:
        """The channel wants to be told nothing more at this address."""
        ...

    async def open(self, channel: str) -> None:
        """It is told again."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """An approval as it stands now, ready to be shown in a channel.

    `card` is what people see of it; `approvable`: a channel may offer to approve it, where the
    whole of the card fits; `page` is where it is decided in a browser, or empty.
    """

    approval: Approval
    card: Card
    approvable: bool
    page: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice(Drawn):
    """What a channel tells: `news` is what happened, in a sentence, or empty."""

    delivery: Delivery
    news: str


class NotTold(Exception):
    """The channel does not have it. `why` is a sentence without values of arguments.

    `retry_after`: the channel says when it may be asked again; `answered`: it said anything at
    all; `unclear`: it did not, and may have it all the same (LATE, LOST); `gone`: the message that
    was to be changed is no longer there; `closed`: the channel says that it wants to be told
    nothing more; `hopeless`: it is not tried again.
    """

    def __init__(
        self,
        why: str,
        *,
        retry_after: timedelta | None = None,
        unclear: int = 0,
        answered: bool = True,
        gone: bool = False,
        closed: bool = False,
        hopeless: bool = False,
    ) -> None:
        super().__init__(why)
        self.hopeless = hopeless
        self.answered = answered and not unclear
        self.why = why
        self.retry_after = retry_after
        self.unclear = unclear
        self.gone = gone
        self.closed = closed


class Channel(Protocol):
    """Where people are told. Raises NotTold; anything else that is raised counts as unclear.

    An approval is announced once. After that what it has become is told by `update` of every
    message, and what happened by `reply`; a channel whose `announce` keeps no message is told each
    piece of news by `announce`.
    """

    async def announce(self, notice: Notice) -> Receipt | None:
        """Tell it; where the message is kept, if one is kept that can be changed."""
        ...

    async def update(self, receipt: Receipt, notice: Notice) -> None:
        """Make the message show the approval as it is now. Done twice it does no harm."""
        ...

    async def reply(self, receipt: Receipt, text: str) -> None:
        """Say this beside the message."""
        ...


@runtime_checkable
class Paced(Channel, Protocol):
    """A channel whose readers are not to be called too often."""

    async def probe(self) -> None:
        """Raises NotTold when the channel does not answer; tells nobody anything."""
        ...

    async def digest(self, waiting: Sequence[Drawn], *, more: int) -> None:
        """Tell in one message that these wait, and `more` besides."""
        ...

    async def sample(self) -> None:
        """Post a message about nothing, with which people try whether answers arrive."""
        ...


@runtime_checkable
class Letters(Protocol):
    """A channel that is sent the same bytes however often it is tried."""

    @property
    def address(self) -> str:
        """Where they go: a channel that was closed is open again at another address."""
        ...

    def written(self, notice: Notice) -> str | None:
        """What is sent; None: nothing, of such news it is not told."""
        ...

    async def send(self, delivery: Delivery, body: str) -> None:
        """Send it. Raises NotTold."""
        ...


class Channels(Protocol):
    """The channels of the configuration as it is now."""

    def find(self, name: str) -> Channel | Paced | Letters | None:
        """The channel of this name; None: there is none now."""
        ...
