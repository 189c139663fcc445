"""What people see of how they are told, and what an admin does about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.errors import ChannelFailed, Forbidden, InvalidInput, NotFound
from approvals.ports.telling import NotTold, Paced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from approvals.ports.telling import Channels, DeliveryFilter, DeliveryRecord, Outbox
    from approvals.service.identity import PersonPrincipal
    from approvals.service.journal import Journal


class Redelivery:
    """Deliveries, looked at and tried again."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        channels: Channels,
        journal: Journal,
        wake: Callable[[str], None],
    ) -> None:
        """`wake` has a channel told now, also while it rests."""
        self._wake = wake
        self._outbox = outbox
        self._channels = channels
        self._journal = journal

    async def list(self, filter_: DeliveryFilter) -> Sequence[DeliveryRecord]:
        """Deliveries by time, oldest first."""
        return await self._outbox.deliveries(filter_)

    async def redeliver(self, by: PersonPrincipal, delivery_id: str) -> DeliveryRecord:
        """Have it told again, also through a channel that had been closed; an audit event.

        Raises Forbidden for who is no admin, NotFound.
        """
        _check_admin(by)
        channel = await self._outbox.channel_of(delivery_id)
        if channel is None:
            raise NotFound("There is no such delivery.")
        await self._outbox.open(channel)
        record = await self._outbox.redeliver(delivery_id)
        if record is None:
            raise NotFound("There is no such delivery.")
        self._wake(channel)
        await self._journal.note(
            "redelivered",
            f"person:{by.name}",
            {"approval": record.delivery.approval_id, "channel": channel, "id": delivery_id},
        )
        return record

    async def sample(self, by: PersonPrincipal, channel: str) -> None:
        """Post a message about nothing, with which people try whether their answers arrive.

        Raises Forbidden for who is no admin, InvalidInput where there is no such channel, and
        ChannelFailed with what the channel says.
        """
        _check_admin(by)
        found = self._channels.find(channel)
        if not isinstance(found, Paced):
            raise InvalidInput(f"{channel} is no channel in which people press buttons.")
        try:
            await found.sample()
        except NotTold as error:
            raise ChannelFailed(f"{channel}: {error.why}.") from error


def _check_admin(by: PersonPrincipal) -> None:
    if not by.is_admin:
        raise Forbidden("Only an admin does this.")
