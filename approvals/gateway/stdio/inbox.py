"""What a server process said to one client, until the client takes it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from approvals.domain.strictjson import parse
from approvals.errors import InvalidJson

if TYPE_CHECKING:
    from approvals.gateway.upstream import Hears
    from approvals.ports import Give

MAX_QUEUED = 16 * 1024 * 1024
"""Bytes that may wait for one client; a client that takes none of so many is given up."""


@dataclass(kw_only=True, slots=True, eq=False)
class Waiting:
    """The client that waits for an approved call on its way; without `give` it is asked nothing."""

    who: Who
    hears: Hears
    give: Give | None

    def put(self, line: bytes) -> bool:
        """One more message; False: it does not reach the client."""
        try:
            said = parse(line)
        except InvalidJson:
            return False
        return isinstance(said, dict) and self.hears.heard(said)


@dataclass(frozen=True, kw_only=True, slots=True)
class Who:
    """One client: an agent, and its session where it has one."""

    agent: str
    session: str | None


@dataclass(kw_only=True, slots=True, eq=False)
class Inbox:
    """What the process said to one client; None: nothing more comes."""

    who: Who
    _messages: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    _size: int = 0
    _closed: bool = False

    def put(self, line: bytes) -> bool:
        """One more message; too many close it. False: it does not reach the client."""
        if self._closed:
            return False
        self._size += len(line)
        if self._size > MAX_QUEUED:
            self.close()
            return False
        self._messages.put_nowait(line)
        return True

    async def take(self) -> bytes | None:
        """The next message, as soon as there is one."""
        line = await self._messages.get()
        self._size -= len(line or b"")
        return line

    @property
    def is_empty(self) -> bool:
        return self._messages.empty()

    def close(self) -> None:
        """Nothing more comes."""
        if not self._closed:
            self._closed = True
            self._messages.put_nowait(None)


@dataclass(kw_only=True, slots=True, eq=False)
class Asked(Inbox):
    """A client's request on its way, under `id`; `client_id` and `client_token` are JSON text."""

    id: str
    client_id: bytes
    client_token: bytes | None = None
    subscribes: str | None = None
    answered: bool = False
