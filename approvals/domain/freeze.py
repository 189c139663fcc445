"""A freeze: an admin stops new calls and releases, of everything or of one server or agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Freeze:
    """In force until it is thawed; without server and agent it covers every call."""

    id: str
    reason: str
    by: str
    at: datetime
    server: str | None = None
    agent: str | None = None

    def covers(self, *, server: str, agent: str) -> bool:
        """Whether calls of this agent on this server are stopped."""
        return self.server in {None, server} and self.agent in {None, agent}
