"""Who exists: people, groups, agents and servers, as the loaded file says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

EVERYONE = "everyone"
_SERVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
HOLD = timedelta(seconds=45)
"""The longest a plain request is held (GATEWAY.md, way 4); TypeScript clients give up at 60 s."""
MAX_PENDING = 20


class Role(StrEnum):
    """What a person may do."""

    APPROVER = "approver"
    ADMIN = "admin"
    AUDITOR = "auditor"


class Assurance(IntEnum):
    """How sure we are that a decision comes from the person, weakest first."""

    SLACK = 1
    KEY = 2
    WEB = 3
    WEB_MFA = 4

    @property
    def word(self) -> str:
        """The name used in policies and in the API."""
        return self.name.lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Somebody who may decide. `slack` is the member id by which Slack knows the person."""

    name: str
    roles: frozenset[Role] = frozenset({Role.APPROVER})
    slack: str | None = None

    @property
    def is_approver(self) -> bool:
        return Role.APPROVER in self.roles


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """A caller, the servers it may use, and the person answerable for it.

    `hold` is the longest that one request of it waits; of its calls at most `max_pending` wait for
    people at once. `gateway_tools`: it may ask for a held call by its id.
    """

    name: str
    owner: str
    servers: frozenset[str]
    labels: Mapping[str, str] = field(default_factory=dict)
    hold: timedelta = HOLD
    max_pending: int = MAX_PENDING
    gateway_tools: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Directory:
    """Everybody at one moment; replaced as a whole, never changed."""

    people: Mapping[str, Person] = field(default_factory=dict)
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    agents: Mapping[str, Agent] = field(default_factory=dict)

    @property
    def solo(self) -> bool:
        """Exactly one person exists, so the owner rule is off (PRODUCT.md, promise 5)."""
        return len(self.people) == 1

    def agent(self, name: str) -> Agent | None:
        """An agent of the file, or one that a person has wrapped around a server: `git@alice`.

        The latter is on that server only, and exists for as long as its owner does (GATEWAY.md,
        "approvals wrap").
        """
        known = self.agents.get(name)
        if known is not None:
            return known
        server, at, owner = name.partition("@")
        if not at or owner not in self.people or not _SERVER.fullmatch(server):
            return None
        return Agent(name=name, owner=owner, servers=frozenset({server}))

    def by_slack(self, member: str) -> Person | None:
        """The person whom the file binds to this Slack member id."""
        return next((p for p in self.people.values() if p.slack == member), None)

    def names(self, person: str, approvers: frozenset[str]) -> bool:
        """Whether `person` is an approver and is meant by one of these approver names."""
        known = self.people.get(person)
        if known is None or not known.is_approver:
            return False
        return any(self._means(name, person) for name in approvers)

    def eligible(self, approvers: frozenset[str]) -> frozenset[str]:
        """Everybody whom these approver names mean now."""
        return frozenset(p for p in self.people if self.names(p, approvers))

    def _means(self, approver: str, person: str) -> bool:
        if approver == EVERYONE:
            return True
        kind, _, name = approver.partition(":")
        if kind == "group":
            return person in self.groups.get(name, frozenset())
        return kind == "person" and name == person


def title(name: str) -> str:
    """A name as a sentence shows it: `alice` is shown as `Alice`."""
    return name[:1].upper() + name[1:]


def approver_title(approver: str) -> str:
    """An approver name as a sentence shows it: `group:trading` is `trading`."""
    kind, _, name = approver.partition(":")
    if kind == "group":
        return name
    return title(name) if kind == "person" else approver
