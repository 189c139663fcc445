"""Everything the loaded file says: who exists, which servers there are, what each policy is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from approvals.domain.directory import Directory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.domain.policy.model import Policy


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """An MCP server behind the gateway, reached by streamable HTTP."""

    name: str
    url: str
    policy: Policy


@dataclass(frozen=True, kw_only=True, slots=True)
class Rulebook:
    """Replaced as a whole, never changed."""

    directory: Directory = field(default_factory=Directory)
    servers: Mapping[str, Server] = field(default_factory=dict)

    def policy_of(self, agent: str, server: str) -> Policy | None:
        """The policy for this agent on this server; None when it has no such server."""
        known = self.directory.agents.get(agent)
        if known is None or server not in known.servers or server not in self.servers:
            return None
        return self.servers[server].policy
