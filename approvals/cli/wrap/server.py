"""The server's side: its tools, and requests of our own to it among those of the client."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from approvals.domain.policy.document import ask_policy
from approvals.domain.rulebook import CommandServer
from approvals.errors import Unavailable
from approvals.gateway import own
from approvals.gateway.catalogue import FRESH, FRESH_FOR_RELEASE, Catalogue, Silent, Tool
from approvals.gateway.stdio import lines
from approvals.ports import Unanswered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from approvals.cli.wrap.streams import Child
    from approvals.domain.strictjson import Json
    from approvals.gateway.messages import Message
    from approvals.gateway.own import OwnRequest
    from approvals.ports import SendOutcome
    from approvals.service.definitions import Shown

LIST_WITHIN = 30.0
ANSWER_WITHIN = 540.0
"""Seconds for the answer to an approved call; the service waits ten minutes for its outcome."""
PLACE = "mcp-approvals/place"
"""Where a definition says which command, in which folder, it is of: what is approved for one is not
approved for another."""


class NotWritten(Exception):
    """Not one byte of the request reached the server."""


class _Unpinned:
    """Changes of a wrapped server are noticed at the release only."""

    async def see(self, server: object, shown: Sequence[Shown]) -> Collection[Shown]:
        del server, shown
        return frozenset()


class Server:
    """One running child."""

    def __init__(self, child: Child, name: str, command: Sequence[str]) -> None:
        self._child = child
        self._known = CommandServer(
            name=name,
            policy=ask_policy(),
            command=command[0],
            args=tuple(command[1:]),
            cwd=os.getcwd(),  # noqa: PTH109 (a name, and no path to open)
        )
        self._catalogue = Catalogue(_Unpinned())
        self._version = 0
        self._waiting: dict[str, asyncio.Future[bytes]] = {}

    def lines(self) -> AsyncIterator[bytes | None]:
        return self._child.lines()

    async def write(self, line: bytes) -> bool:
        return await self._child.write(line)

    def list_changed(self) -> None:
        """What was read of its tools may not be so any more."""
        self._version += 1

    async def tool(self, name: str, message: Message, *, fresh: bool = False) -> Tool | None:
        """A tool as the server lists it now. Raises Unavailable where it does not say."""
        max_age = FRESH_FOR_RELEASE if fresh else FRESH

        async def read() -> list[dict[str, Json]]:
            return await own.read_tools(self._list, message)

        variant = f"{self._version} {message.is_modern}"
        return await self._catalogue.find(self._known, name, read, variant=variant, max_age=max_age)

    def definition(self, tool: Tool) -> dict[str, Json]:
        """The entry as people approve it: of this command in this folder."""
        return {**tool.entry, PLACE: self._known.place}

    async def send(self, request: OwnRequest) -> SendOutcome:
        """The one request of a release, and how it ended. Raises NotWritten."""
        try:
            line = await self._own(request, within=ANSWER_WITHIN)
        except Unavailable as error:
            return Unanswered(why=str(error))
        response = lines.exactly(line)
        if response is None:
            return Unanswered(why="the answer cannot be read")
        return own.answered(response)

    def takes(self, id_: object, line: bytes) -> bool:
        """Whether it answers a request of our own."""
        waiting = self._waiting.pop(id_, None) if isinstance(id_, str) else None
        if waiting is None:
            return False
        if not waiting.done():
            waiting.set_result(line)
        return True

    def gone(self) -> None:
        """The child has ended: nothing will be answered any more."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Unavailable("the server's process has ended"))

    async def _list(self, request: OwnRequest) -> dict[str, Json] | None:
        try:
            return lines.exactly(await self._own(request, within=LIST_WITHIN))
        except NotWritten as error:
            raise Silent("The server's process has ended.") from error

    async def _own(self, request: OwnRequest, *, within: float) -> bytes:
        answer = self._waiting[request.id] = asyncio.get_running_loop().create_future()
        try:
            if not await self._child.write(request.body):
                raise NotWritten
            async with asyncio.timeout(within):
                line: bytes = await answer
                return line
        except TimeoutError as error:
            raise Silent("The server does not answer.") from error
        finally:
            self._waiting.pop(request.id, None)
            answer.cancel()
