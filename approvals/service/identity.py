"""Who somebody is: a key is looked up, and says which person or agent is asking."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from approvals.domain.directory import Assurance, Role
from approvals.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from approvals.ports import KeyRecord
from approvals.service.minting import new_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.ports import Clock, KeyStore
    from approvals.service.rules import Rules

REMEMBERED = timedelta(seconds=3)
"""How long a looked-up key is believed; a revoked one is dead everywhere within 5 s."""
MAX_REMEMBERED = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonPrincipal:
    """A person, and how sure we are of it."""

    name: str
    roles: frozenset[Role]
    assurance: Assurance

    @property
    def is_admin(self) -> bool:
        return Role.ADMIN in self.roles


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentPrincipal:
    """An agent; it asks and reads its own calls, and never decides."""

    name: str
    owner: str


Principal = PersonPrincipal | AgentPrincipal


class Identity:
    """Keys and the principals behind them."""

    def __init__(self, keys: KeyStore, rules: Rules, clock: Clock) -> None:
        self._keys = keys
        self._rules = rules
        self._clock = clock
        self._remembered: dict[str, tuple[datetime, KeyRecord]] = {}

    async def principal(self, key: str) -> Principal:
        """Who holds `key`. Raises Unauthenticated when nobody does now."""
        record = await self._record(_hash(key))
        if record is None or record.revoked_at is not None:
            raise Unauthenticated("This key is not known, or it was revoked.")
        return self._owner(record)

    async def agent(self, key: str) -> AgentPrincipal:
        """The agent that holds `key`. Raises Forbidden for a person's key."""
        principal = await self.principal(key)
        if isinstance(principal, AgentPrincipal):
            return principal
        raise Forbidden("This needs an agent's key (agt_…), not a person's.")

    async def create_key(
        self, by: PersonPrincipal, *, person: str | None, agent: str | None, label: str
    ) -> tuple[KeyRecord, str]:
        """A new key and its record; the key itself is not kept and cannot be shown again."""
        if (person is None) == (agent is None):
            raise InvalidInput("A key belongs to one person or to one agent.")
        if agent is not None:
            self._may_make_agent_key(by, agent)
        elif not by.is_admin:
            raise Forbidden("Only an admin makes keys for people.")
        elif person not in self._rules.current.directory.people:
            raise NotFound(f"There is no person {person}.")
        return await self._add(person=person, agent=agent, label=label)

    async def first_key(self, person: str, *, label: str) -> tuple[KeyRecord, str]:
        """A key made on the machine itself, where whoever may start the service may have one."""
        return await self._add(person=person, agent=None, label=label)

    async def starting_person(self) -> str | None:
        """The starting person, where the loaded file names nobody."""
        name = await self._keys.starting_person()
        return name if name in self._rules.current.directory.people else None

    async def callers(self) -> frozenset[str]:
        """The agents that have a key which is not revoked."""
        keys = await self._keys.keys()
        return frozenset(key.agent for key in keys if key.agent and key.revoked_at is None)

    async def list_keys(self, by: PersonPrincipal) -> Sequence[KeyRecord]:
        """All keys for an admin, else one's own and those of one's agents."""
        records = await self._keys.keys()
        return [record for record in records if by.is_admin or self._is_theirs(by, record)]

    async def revoke_key(self, by: PersonPrincipal, key_id: str) -> None:
        """End a key. Raises NotFound when there is none that `by` may revoke."""
        record = await self._keys.key_by_id(key_id)
        if record is None or not (by.is_admin or self._is_theirs(by, record)):
            raise NotFound("There is no such key.")
        await self._keys.revoke_key(key_id, at=self._clock.now())
        self._remembered.pop(record.sha256, None)

    def _may_make_agent_key(self, by: PersonPrincipal, agent: str) -> None:
        known = self._rules.current.directory.agent(agent)
        if known is None:
            raise NotFound(f"There is no agent {agent}. Name it in approvals.yaml first.")
        if not by.is_admin and known.owner != by.name:
            raise Forbidden(f"Only {known.owner}, who owns {agent}, or an admin makes its keys.")

    def _is_theirs(self, by: PersonPrincipal, record: KeyRecord) -> bool:
        if record.agent is not None:
            agent = self._rules.current.directory.agent(record.agent)
            return agent is not None and agent.owner == by.name
        return record.person == by.name

    def _owner(self, record: KeyRecord) -> Principal:
        directory = self._rules.current.directory
        if record.agent is not None and (agent := directory.agent(record.agent)):
            return AgentPrincipal(name=agent.name, owner=agent.owner)
        if record.person is not None and record.person in directory.people:
            person = directory.people[record.person]
            return PersonPrincipal(name=person.name, roles=person.roles, assurance=Assurance.KEY)
        raise Unauthenticated("Whom this key belonged to is no longer in the configuration.")

    async def _record(self, hashed: str) -> KeyRecord | None:
        now = self._clock.now()
        remembered = self._remembered.get(hashed)
        if remembered and now - remembered[0] < REMEMBERED:
            return remembered[1]
        record = await self._keys.key(hashed)
        if record is not None:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[hashed] = (now, record)
        return record

    async def _add(
        self, *, person: str | None, agent: str | None, label: str
    ) -> tuple[KeyRecord, str]:
        key = new_key("agt" if agent is not None else "apk")
        hashed = _hash(key)
        record = KeyRecord(
            id=f"key_{hashed[:16]}",
            sha256=hashed,
            person=person,
            agent=agent,
            label=label,
            created_at=self._clock.now(),
        )
        await self._keys.add_key(record)
        return record, key


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
