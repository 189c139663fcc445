"""The log channel: one line in the service's own log, for a deployment without any other."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from approvals.service.fields import fields

if TYPE_CHECKING:
    from approvals.ports import Notice

logger = logging.getLogger("approvals.notice")


class LogChannel:
    """Writes what to decide and how it ended; the summary is already free of hidden characters."""

    async def announce(self, notice: Notice) -> None:
        approval = notice.approval
        logger.info(
            "%s %s [%s %s] %s asks on %s: %s %s",
            notice.kind,
            approval.id,
            approval.risk.level.upper(),
            approval.risk.category,
            approval.call.agent,
            approval.call.server,
            notice.question,
            notice.outcome or notice.deadline,
            extra=fields(approval),
        )
