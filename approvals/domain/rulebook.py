"""Everything the loaded file says: who exists, which servers there are, what each policy is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING

from approvals.domain.digest import sha256
from approvals.domain.directory import MAX_PENDING, Directory
from approvals.domain.policy.document import ask_policy
from approvals.domain.policy.evaluate import judge, not_bound
from approvals.domain.strictjson import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, tzinfo

    from approvals.domain.call import Call
    from approvals.domain.policy.model import Policy, Verdict
    from approvals.domain.quorum import Requirement

LOG = "log"


@dataclass(frozen=True, kw_only=True, slots=True)
class Server(ABC):
    """An MCP server behind the gateway, and the policy of agents that have no other for it."""

    name: str
    policy: Policy

    @property
    def place(self) -> str:
        """Its name and where it is. The name alone would give a server that moved the tools of its
        old address."""
        return f"{self.name} ({sha256(self.address)[7:23]})"

    @property
    @abstractmethod
    def address(self) -> str:
        """Where calls to it go."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpServer(Server):
    """A server reached by streamable HTTP; `headers` carry its credentials."""

    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def address(self) -> str:
        return self.url


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandServer(Server):
    """A server that is started as a process and speaks over its standard streams."""

    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    cwd: str | None = None

    @property
    def address(self) -> str:
        return canonical([self.command, *self.args, self.cwd])


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """Where events are posted to; each letter is signed with every secret, newest first.

    `allow_private`: the address may be one of this network, because the file says so.
    """

    url: str
    secrets: tuple[str, ...] = field(repr=False)
    allow_private: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Rulebook:
    """Replaced as a whole, never changed.

    `overrides` are policies of one agent on one server; `hash` names the content of the file and
    of all policies; `ask` is the built-in one, for servers that people wrap and the file does not
    name; `pages` is where people decide, as far as that is known.
    """

    directory: Directory = field(default_factory=Directory)
    servers: Mapping[str, Server] = field(default_factory=dict)
    overrides: Mapping[tuple[str, str], Policy] = field(default_factory=dict)
    ask: Policy = field(default_factory=ask_policy)
    channels: tuple[str, ...] = (LOG,)
    webhooks: Mapping[str, Webhook] = field(default_factory=dict)
    zone: tzinfo = UTC
    pages: str = ""
    hash: str = ""

    def policy_of(self, agent: str, server: str) -> Policy | None:
        """The policy for this agent on this server; None when it has no such server."""
        known = self.directory.agent(agent)
        if known is None or server not in known.servers:
            return None
        if server in self.servers:
            return self.overrides.get((agent, server)) or self.servers[server].policy
        return None if agent in self.directory.agents else self.ask

    def judge(self, call: Call, *, now: datetime) -> Verdict:
        """The verdict on a call, by the policy that binds its agent on its server."""
        policy = self.policy_of(call.agent, call.server)
        if policy is None:
            return not_bound(call.agent, call.server)
        known = self.directory.agent(call.agent)
        labels = known.labels if known else {}
        return judge(policy, call, now=now.astimezone(self.zone), labels=labels)

    @property
    def telling(self) -> tuple[tzinfo, str]:
        """How agents are told of times, and of where people decide."""
        return self.zone, self.pages

    @property
    def lets_owners_decide(self) -> bool:
        """Whether some rule says `exclude_owner: false`."""
        policies = [*(s.policy for s in self.servers.values()), *self.overrides.values()]
        return any(
            not requirement.exclude_owner
            for policy in policies
            for requirement in policy.requirements
        )

    def max_pending(self, agent: str) -> int:
        """How many calls of this agent may wait for people at once."""
        known = self.directory.agent(agent)
        return known.max_pending if known else MAX_PENDING

    def channels_of(self, requirement: Requirement) -> tuple[str, ...]:
        """Where people are told: as the requirement says, else on all channels there are."""
        if requirement.channels is None:
            return self.channels
        return tuple(c for c in requirement.channels if c in self.channels) or self.channels
