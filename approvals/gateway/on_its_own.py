"""The server of a call that no request waits for, in whichever era it speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.gateway.messages import Message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from approvals.ports import Give, Given, SendOutcome, Upstream

    End = Callable[[], Awaitable[None]]
    Older = Callable[[], Awaitable[tuple[Upstream, End | None]]]

OLDER_MESSAGE = Message(body={}, method="tools/call", id=None, has_id=False, params={})
"""What stands for a client's request of the older era."""


class OnItsOwn:
    """With a server that does not speak the era without sessions one is begun, which ends with the
    call."""

    def __init__(
        self, modern: Upstream, is_spoken: Callable[[], Awaitable[bool]], older: Older
    ) -> None:
        """`is_spoken`: whether the server speaks the era of `modern`; `older` opens a session: the
        server in it, and what ends it, if anything has to. Both raise Unavailable."""
        self._side = modern
        self._is_spoken = is_spoken
        self._older = older
        self._end: End | None = None
        self._is_known = False

    async def definition_hash(self, tool: str) -> str | None:
        if not self._is_known:
            if not await self._is_spoken():
                self._side, self._end = await self._older()
            self._is_known = True
        return await self._side.definition_hash(tool)

    async def prepare(
        self, tool: str, arguments: str, given: Given | None = None, *, asks: bool
    ) -> None:
        await self._side.prepare(tool, arguments, given, asks=asks)

    async def send(self, give: Give | None) -> SendOutcome:
        return await self._side.send(give)

    async def unwanted(self) -> None:
        await self._side.unwanted()

    async def end(self) -> None:
        if self._end is not None:
            await self._end()
            self._end = None
