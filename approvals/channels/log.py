"""The log channel: one line in the service's own log, for a deployment without any other."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from approvals.service.fields import fields

if TYPE_CHECKING:
    from approvals.ports.telling import Notice, Receipt

logger = logging.getLogger("approvals.notice")


class LogChannel:
    """Writes what to decide and how it ended; the summary is already free of hidden characters."""

    async def announce(self, notice: Notice) -> None:
        approval, card = notice.approval, notice.card
        logger.info(
            "%s %s [%s %s] %s asks on %s: %s %s",
            notice.delivery.kind,
            approval.id,
            approval.risk.level.upper(),
            approval.risk.category,
            approval.call.agent,
            approval.call.server,
            card.question,
            card.outcome or card.deadline,
            extra=fields(approval),
        )

    async def update(self, receipt: Receipt, notice: Notice) -> None:
        """Nothing written is changed: `announce` keeps no message."""

    async def reply(self, receipt: Receipt, text: str) -> None:
        """Never called, for the same reason."""
