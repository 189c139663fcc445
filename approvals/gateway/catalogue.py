"""What each server lists: the definitions that calls are checked and approved against."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain.call import ToolDefinition, read_definition
from approvals.errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from approvals.domain.strictjson import Json

logger = logging.getLogger(__name__)

FRESH = timedelta(seconds=30)
"""How old a read list may be when a call is judged or released by it."""

Entry = dict[str, "Json"]


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
    """The tools of each server, read again when they are older than 30 s or a name is missing."""

    def __init__(self) -> None:
        self._listed: defaultdict[str, _Listed] = defaultdict(_Listed)
        self._reading: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def find(
        self, server: str, name: str, read: Callable[[], Awaitable[Sequence[Entry]]]
    ) -> Tool | None:
        """The tool, or None when the server, asked just now, does not list it."""
        tool = self._listed[server].tools.get(name)
        if tool is not None and self._is_fresh(server):
            return tool
        async with self._reading[server]:
            tool = self._listed[server].tools.get(name)
            if tool is None or not self._is_fresh(server):
                self.learn(server, await read())
        return self._listed[server].tools.get(name)

    def learn(self, server: str, entries: Sequence[Entry]) -> None:
        """Take a complete list. Of two entries with one name neither can be trusted: both go."""
        tools: dict[str, Tool] = {}
        twice: set[str] = set()
        for entry in entries:
            try:
                tool = Tool(definition=read_definition(entry), entry=entry)
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

    def _is_fresh(self, server: str) -> bool:
        age = asyncio.get_running_loop().time() - self._listed[server].read_at
        return age < FRESH.total_seconds()
