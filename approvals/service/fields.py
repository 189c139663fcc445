"""What a log line about a call says besides its words, for machines that read the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.domain.states import Approval


def fields(approval: Approval) -> Mapping[str, str]:
    """The `extra` of a line about this approval: names and its id, nothing of its arguments."""
    call = approval.call
    return {
        "approval": approval.id,
        "agent": call.agent,
        "server": call.server,
        "tool": call.tool,
    }
