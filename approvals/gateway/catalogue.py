"""What each server lists: the definitions that calls are checked and approved against."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain.call import ToolDefinition, read_definition
from approvals.errors import InvalidArguments, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.domain.strictjson import Json

logger = logging.getLogger(__name__)

FRESH = timedelta(seconds=30)
"""How old a read list may be when a call is judged by it."""
FRESH_FOR_RELEASE = timedelta(seconds=5)
"""The same when an approved call is about to be sent."""

Entry = dict[str, "Json"]
Read = Callable[[], Awaitable[Sequence[Entry]]]


class Silent(Unavailable):
    """The server cannot be reached, or does not answer in time: it would not answer others."""


class SessionLost(Unavailable):
    """The server does not know this request's session any more: its client has to start anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """A listed tool: its definition and its whole entry."""

    definition: ToolDefinition
    entry: Entry

    @property
    def input_schema(self) -> Json:
        return self.entry.get("inputSchema")


@dataclass(slots=True)
class _Listed:
    tools: Mapping[str, Tool] = field(default_factory=dict)
    read_at: float = float("-inf")


class Catalogue:
    """The tools of each server, by its address; read again when too old or a name is missing."""

    def __init__(self) -> None:
        self._listed: defaultdict[str, _Listed] = defaultdict(_Listed)
        self._reading: dict[str, asyncio.Task[None]] = {}

    async def find(
        self,
        server: str,
        name: str,
        read: Read,
        *,
        address: str | None = None,
        max_age: timedelta = FRESH,
    ) -> Tool | None:
        """The tool, or None when the server, asked just now, does not list it.

        `address` is what definitions are hashed with, where it is not `server` itself.

        Whoever comes while the list is being read waits for that reading; a server that hangs
        makes callers wait once, not in a row.
        """
        tool = self._listed[server].tools.get(name)
        if tool is not None and self._age(server) < max_age.total_seconds():
            return tool
        await self._read_once(server, read, address or server)
        return self._listed[server].tools.get(name)

    async def _read_once(self, server: str, read: Read, address: str) -> None:
        reading = self._reading.get(server)
        if reading is None:
            reading = self._reading[server] = asyncio.create_task(self._read(server, read, address))
            reading.add_done_callback(lambda done: self._done(server, done))
            await asyncio.shield(reading)
            return
        try:
            await asyncio.shield(reading)
        except Silent:
            raise
        except Unavailable:  # of another request, with another session and version than ours
            await self._read(server, read, address)

    async def _read(self, server: str, read: Read, address: str) -> None:
        self.learn(server, await read(), address=address)

    def _done(self, server: str, reading: asyncio.Task[None]) -> None:
        if self._reading.get(server) is reading:
            del self._reading[server]
        if not reading.cancelled():
            reading.exception()  # whoever waited has it; nobody else needs it

    def learn(self, server: str, entries: Sequence[Entry], *, address: str | None = None) -> None:
        """Take a complete list. Of two entries with one name neither can be trusted: both go."""
        tools: dict[str, Tool] = {}
        twice: set[str] = set()
        for entry in entries:
            try:
                definition = read_definition(entry, address=address or server)
                tool = Tool(definition=definition, entry=entry)
            except InvalidArguments:
                logger.warning("server %s lists a tool without a name", server)
                continue
            name = tool.definition.name
            twice |= {name} & tools.keys()
            tools[name] = tool
        for name in twice:
            logger.warning("server %s lists a tool twice; it is not offered", server)
            del tools[name]
        self._listed[server] = _Listed(tools, asyncio.get_running_loop().time())

    def _age(self, server: str) -> float:
        return asyncio.get_running_loop().time() - self._listed[server].read_at
