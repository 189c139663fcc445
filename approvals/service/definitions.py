"""Pinned definitions: what servers show is compared with what was accepted (SECURITY.md, 19)."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from approvals.domain.definitions import Accepted, Definition
from approvals.domain.display import visible
from approvals.errors import Forbidden, NotFound, Overloaded, Unavailable
from approvals.ports import Accepting, Applied, Sighting
from approvals.service.identity import PersonPrincipal
from approvals.service.waiting import MAX_RESULT_WAIT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from approvals.domain.definitions import Pin
    from approvals.domain.rulebook import Server
    from approvals.domain.strictjson import Json
    from approvals.ports import Clock, Store
    from approvals.service.identity import Principal
    from approvals.service.journal import Journal
    from approvals.service.rules import Rules

notices = logging.getLogger("approvals.notice")

TRIES = 5
REPLACED_AFTER = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST = 5000
"""Tools of one place whose definitions are kept; a server that shows more is not used."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """A tool as a server shows it; `entry` is what its hash covers."""

    tool: str
    hash: str
    entry: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A definition that waits for an admin, and the one that was accepted last."""

    seen: Definition
    accepted: Definition


class Definitions:
    """Pins what is seen first, and says which other definitions are accepted.

    An accepted definition stays accepted, so that is remembered; whatever is not accepted is looked
    for in the database each time.
    """

    def __init__(self, *, store: Store, journal: Journal, rules: Rules, clock: Clock) -> None:
        self._store = store
        self._journal = journal
        self._rules = rules
        self._clock = clock
        self._accepted: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        self._written: dict[str, datetime] = {}

    async def see(self, server: Server, shown: Sequence[Shown]) -> Collection[Shown]:
        """Keep what is new of it: at first sight it is accepted, later it waits for an admin. Those
        that are not accepted.

        Of a tool that is shown in two definitions at once neither is kept or accepted. Raises
        StoreFailure errors, after which nothing of it may be used.
        """
        names = Counter(tool for tool, _ in {(one.tool, one.hash) for one in shown})
        twice = {one for one in shown if names[one.tool] > 1}
        once = list(dict.fromkeys(one for one in shown if one not in twice))
        for _ in range(TRIES):
            unknown = self._not_accepted(server, once)
            if not unknown:
                return twice
            pins = await self._pins(server)
            unknown = self._not_accepted(server, once)
            new = self._new(server, unknown, pins)
            if not new:
                return twice | set(unknown)
            sighting = self._sighting(server, new, pins)
            if isinstance(await self._store.apply(sighting, within=MAX_RESULT_WAIT), Applied):
                self._tell(server, sighting)
                return twice | set(self._not_accepted(server, once))
        raise Overloaded("The definitions of the server's tools change too often. Try again.")

    async def accepts(self, server: Server, tool: str, hash_: str) -> bool:
        """Whether calls of the tool in this definition may go on."""
        if (tool, hash_) not in self._accepted[server.place]:
            await self._pins(server)
        return (tool, hash_) in self._accepted[server.place]

    async def waiting(self, by: Principal) -> Sequence[Waiting]:
        """What the servers of the file show and nobody has accepted, for people."""
        if not isinstance(by, PersonPrincipal):
            raise Forbidden("Definitions are shown to people.")
        found: list[Waiting] = []
        for server in self._rules.current.servers.values():
            pins = await self._store.pins(server.place)
            tools = sorted({pin.tool for pin in pins if not pin.is_accepted})
            known = await self._store.definitions(server.place, tools) if tools else []
            for tool in tools:
                of_tool = [definition for definition in known if definition.tool == tool]
                seen = next((d for d in of_tool if d.accepted is None), None)
                if seen is not None:
                    found.append(Waiting(seen=seen, accepted=_last_accepted(of_tool)))
        return found

    async def accept(self, by: Principal, *, server: str, tool: str, hash_: str) -> None:
        """Let calls of this definition go on. Raises NotFound when it does not wait."""
        if not isinstance(by, PersonPrincipal) or not by.is_admin:
            raise Forbidden("Only an admin accepts a definition.")
        known = self._rules.current.servers.get(server)
        if known is None:
            raise NotFound("There is no server of this name.")
        detail: dict[str, Json] = {"hash": hash_, "server": server, "tool": tool}
        accepting = Accepting(
            place=known.place,
            tool=tool,
            hash=hash_,
            accepted=Accepted(at=self._clock.now(), by=by.name),
            stream=self._journal.stream,
            fact=self._journal.fact("definition_accepted", f"person:{by.name}", detail),
        )
        if isinstance(await self._store.apply(accepting, within=MAX_RESULT_WAIT), Applied):
            notices.warning("%s accepted a definition of %s on %s", by.name, visible(tool), server)
        elif not await self.accepts(known, tool, hash_):
            raise NotFound("This definition does not wait to be accepted. Look at the list again.")

    def _not_accepted(self, server: Server, shown: Sequence[Shown]) -> list[Shown]:
        accepted = self._accepted[server.place]
        return [one for one in shown if (one.tool, one.hash) not in accepted]

    def _new(
        self, server: Server, unknown: Sequence[Shown], pins: Sequence[Pin]
    ) -> Sequence[Shown]:
        """What is to be written. Of a tool that waits already another definition takes its place,
        but not all the time: a server might show a new one in every list."""
        known = {(pin.tool, pin.hash) for pin in pins}
        waiting = {pin.tool for pin in pins if not pin.is_accepted}
        now = self._clock.now()
        recent = now - self._written.get(server.place, EPOCH) < REPLACED_AFTER
        new = [
            one
            for one in unknown
            if (one.tool, one.hash) not in known and not (recent and one.tool in waiting)
        ]
        if new:
            self._written[server.place] = now
        return new

    async def _pins(self, server: Server) -> Sequence[Pin]:
        pins = await self._store.pins(server.place)
        self._accepted[server.place] |= {(p.tool, p.hash) for p in pins if p.is_accepted}
        return pins

    def _sighting(self, server: Server, new: Sequence[Shown], pins: Sequence[Pin]) -> Sighting:
        known = {pin.tool for pin in pins}
        if len(known | {shown.tool for shown in new}) > MOST:
            raise Unavailable(f"The server has shown more than {MOST} tools.")
        now = self._clock.now()
        first = {shown.tool: shown.hash for shown in new if shown.tool not in known}
        definitions = tuple(
            Definition(
                place=server.place,
                server=server.name,
                tool=shown.tool,
                hash=shown.hash,
                entry=shown.entry,
                seen_at=now,
                accepted=Accepted(at=now) if shown.tool in first else None,
            )
            for shown in new
        )
        changed = {shown.tool: shown.hash for shown in new if shown.tool in known}
        detail: dict[str, Json] = {"place": server.place, **_said(first=first, changed=changed)}
        return Sighting(
            definitions=definitions,
            stream=self._journal.stream,
            fact=self._journal.fact("definitions_seen", "service", detail),
        )

    def _tell(self, server: Server, sighting: Sighting) -> None:
        for found in sighting.definitions:
            if found.accepted is not None:
                self._accepted[found.place].add((found.tool, found.hash))
            else:
                notices.warning(
                    "%s on %s is not what was accepted; its calls are refused until an admin "
                    "accepts the change: approvals definitions list",
                    visible(found.tool),
                    server.name,
                )


def _said(**found: Mapping[str, str]) -> dict[str, Json]:
    return {kind: dict(hashes) for kind, hashes in found.items() if hashes}


def _last_accepted(known: Sequence[Definition]) -> Definition:
    accepted = [(d.accepted.at, d.hash, d) for d in known if d.accepted is not None]
    return max(accepted)[2]
