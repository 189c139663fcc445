"""Freeze and thaw: an admin stops new calls and releases (API.md, "Freeze")."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from approvals.domain.display import visible
from approvals.domain.freeze import Freeze
from approvals.errors import Forbidden, InvalidInput, NotFound
from approvals.ports import Applied, Freezing, Thawing
from approvals.service.identity import PersonPrincipal, Principal
from approvals.service.waiting import MAX_RESULT_WAIT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from approvals.domain.states import Approval
    from approvals.domain.strictjson import Json
    from approvals.ports import Clock, Ids, Store
    from approvals.service.journal import Journal
    from approvals.service.rules import Rules

notices = logging.getLogger("approvals.notice")

MAX_LISTED = 1000


class Freezes:
    """What is stopped now. The store looks at it inside the write that sends or parks a call."""

    def __init__(
        self,
        *,
        store: Store,
        journal: Journal,
        rules: Rules,
        clock: Clock,
        ids: Ids,
        callers: Callable[[], Awaitable[Collection[str]]],
    ) -> None:
        """`callers` are the agents that have a key now."""
        self._callers = callers
        self._store = store
        self._journal = journal
        self._rules = rules
        self._clock = clock
        self._ids = ids

    async def freeze(
        self, by: Principal, *, server: str | None, agent: str | None, reason: str
    ) -> tuple[Freeze, Sequence[Approval]]:
        """Stop calls; also the approvals in scope that are being sent and cannot be stopped."""
        person = _admin(by)
        await self._check(server, agent)
        freeze = Freeze(
            id=self._ids.freeze(),
            server=server,
            agent=agent,
            reason=reason,
            by=person,
            at=self._clock.now(),
        )
        detail: dict[str, Json] = {
            "agent": agent,
            "freeze": freeze.id,
            "reason": reason,
            "server": server,
        }
        fact = self._journal.fact("frozen", f"person:{person}", detail)
        operation = Freezing(freeze=freeze, stream=self._journal.stream, fact=fact)
        await self._store.apply(operation, within=MAX_RESULT_WAIT)
        notices.warning("%s froze %s: %s", person, scope(freeze), visible(reason))
        return freeze, [
            approval
            for approval in await self._store.being_sent(limit=MAX_LISTED)
            if freeze.covers(server=approval.call.server, agent=approval.call.agent)
        ]

    async def thaw(self, by: Principal, freeze_id: str) -> None:
        """Let calls go on. Raises NotFound when there is no such freeze in force."""
        person = _admin(by)
        fact = self._journal.fact("thawed", f"person:{person}", {"freeze": freeze_id})
        operation = Thawing(freeze_id=freeze_id, stream=self._journal.stream, fact=fact)
        if not isinstance(await self._store.apply(operation, within=MAX_RESULT_WAIT), Applied):
            raise NotFound("There is no such freeze in force.")
        notices.warning("%s ended the freeze %s", person, freeze_id)

    async def in_force(self, by: Principal) -> Sequence[Freeze]:
        """All freezes, for people."""
        if not isinstance(by, PersonPrincipal):
            raise Forbidden("Freezes are shown to people.")
        return await self._store.freezes()

    async def _check(self, server: str | None, agent: str | None) -> None:
        """A name that does not exist would stop nothing, and nobody would notice. A server that is
        not in the file is known by the agents that are wrapped around it."""
        rulebook = self._rules.current
        if server is not None and server not in rulebook.servers:
            agents = map(rulebook.directory.agent, await self._callers())
            if not any(known and server in known.servers for known in agents):
                raise InvalidInput("There is no server of this name.")
        if agent is not None and rulebook.directory.agent(agent) is None:
            raise InvalidInput("There is no agent of this name.")


def scope(freeze: Freeze) -> str:
    """What a freeze stops, in words."""
    parts = []
    if freeze.server is not None:
        parts.append(f"server {freeze.server}")
    if freeze.agent is not None:
        parts.append(f"agent {freeze.agent}")
    return " and ".join(parts) or "every call"


def _admin(by: Principal) -> str:
    if not isinstance(by, PersonPrincipal) or not by.is_admin:
        raise Forbidden("Only an admin freezes and thaws.")
    return by.name
