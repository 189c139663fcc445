"""What each server lists: the definitions that calls are checked and approved against."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from approvals.domain.call import (
    MAX_NAME,
    ToolDefinition,
    definition_hash,
    read_definition,
    shown_entry,
)
from approvals.errors import Unavailable
from approvals.service.definitions import Shown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from approvals.domain.rulebook import Server
    from approvals.domain.strictjson import Json

logger = logging.getLogger(__name__)

FRESH = timedelta(seconds=30)
"""How old a read list may be when a call is judged by it."""
FRESH_FOR_RELEASE = timedelta(seconds=5)
"""The same when an approved call is about to be sent."""

MAX_ENTRY = 64 * 1024
"""Characters of a definition that a person can be asked to read."""

Entry = dict[str, "Json"]
Read = Callable[[], Awaitable[Sequence[Entry]]]


class Silent(Unavailable):
    """The server cannot be reached, or does not answer in time: it would not answer others."""


class SessionLost(Unavailable):
    """The server does not know this request's session any more: its client has to start anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """A listed tool: its definition, its whole entry, and what is pinned of it."""

    definition: ToolDefinition
    shown: Shown
    entry: Entry

    @property
    def input_schema(self) -> Json:
        return self.entry.get("inputSchema")


@dataclass(slots=True)
class _Listed:
    tools: Mapping[str, Tool] = field(default_factory=dict)
    read_at: float = float("-inf")


class Sees(Protocol):
    """Is shown every list that is read, to notice what a server changed."""

    async def see(self, server: Server, shown: Sequence[Shown]) -> Collection[Shown]: ...


class Catalogue:
    """The tools of each server, by its place; read again when too old or a name is missing."""

    def __init__(self, definitions: Sees) -> None:
        self._definitions = definitions
        self._listed: defaultdict[str, _Listed] = defaultdict(_Listed)
        self._reading: dict[str, asyncio.Task[None]] = {}

    async def find(
        self,
        server: Server,
        name: str,
        read: Read,
        *,
        variant: str = "",
        max_age: timedelta = FRESH,
    ) -> Tool | None:
        """The tool, or None when the server, asked just now, does not list it.

        `variant` tells clients apart that are shown different lists.

        Whoever comes while the list is being read waits for that reading; a server that hangs
        makes callers wait once, not in a row.
        """
        key = f"{server.place} {variant}"
        tool = self._listed[key].tools.get(name)
        if tool is not None and self._age(key) < max_age.total_seconds():
            return tool
        await self._read_once(key, read, server)
        return self._listed[key].tools.get(name)

    async def _read_once(self, key: str, read: Read, server: Server) -> None:
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.create_task(self._read(key, read, server))
            reading.add_done_callback(lambda done: self._done(key, done))
            await asyncio.shield(reading)
            return
        try:
            await asyncio.shield(reading)
        except Silent:
            raise
        except Unavailable:  # of another request, with another session and version than ours
            await self._read(key, read, server)

    async def _read(self, key: str, read: Read, server: Server) -> None:
        """Take a complete list. Of two entries with one name neither can be trusted: both go."""
        tools: dict[str, Tool] = {}
        twice: set[str] = set()
        for entry in await read():
            tool = _tool(entry, server)
            if tool is None:
                logger.warning("server %s lists a tool that cannot be one", server.name)
                continue
            name = tool.shown.tool
            twice |= {name} & tools.keys()
            tools[name] = tool
        for name in twice:
            logger.warning("server %s lists a tool twice; it is not offered", server.name)
            del tools[name]
        await self._definitions.see(server, [tool.shown for tool in tools.values()])
        self._listed[key] = _Listed(tools, asyncio.get_running_loop().time())

    def _done(self, key: str, reading: asyncio.Task[None]) -> None:
        if self._reading.get(key) is reading:
            del self._reading[key]
        if not reading.cancelled():
            reading.exception()  # whoever waited has it; nobody else needs it

    def _age(self, key: str) -> float:
        return asyncio.get_running_loop().time() - self._listed[key].read_at


def _tool(entry: Entry, server: Server) -> Tool | None:
    shown = shown_of(entry, server.place)
    if shown is None:
        return None
    definition = read_definition(entry, address=server.place)
    return Tool(definition=definition, entry=entry, shown=shown)


def shown_of(entry: Entry, place: str) -> Shown | None:
    """What is pinned of a listed tool; None: no call could name it, or no person read it."""
    name = entry.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME or "\0" in name:
        return None
    text = shown_entry(entry)
    if len(text) > MAX_ENTRY:
        return None
    return Shown(tool=name, hash=definition_hash(text, address=place), entry=text)
