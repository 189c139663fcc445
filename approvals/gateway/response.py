"""What one HTTP request is answered with, whole or as events; never two answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from approvals.gateway import messages, sse
from approvals.wire import respond

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Send

    from approvals.domain.strictjson import Json
    from approvals.outbound import Answer

_PASSED_BACK = frozenset({b"content-type", b"mcp-protocol-version", b"cache-control"})
_UNBUFFERED = (b"x-accel-buffering", b"no")
_EVENTS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-store"),
    (b"x-content-type-options", b"nosniff"),
    _UNBUFFERED,
)
HTTP_UNAUTHORIZED = 401
_BETWEEN = (b"\n\n", b"\r\n\r\n", b"\r\r")
"""How a chunk ends after which no event is unfinished."""


class Client(Protocol):
    """Who asked, as the relay sees them."""

    async def pass_on(self, answer: Answer) -> None:
        """Give the server's answer as it comes."""
        ...

    async def tell(self, message: bytes) -> None:
        """Give a message before the answer, which is then an event too."""
        ...


class Response:
    """What has been sent to the client so far; an answer is written only where none was."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._started = False
        self._events = False
        self._injected: list[bytes] = []
        self._between = False
        self._writing = asyncio.Lock()
        self.id: Json = None
        self.seal: Callable[[str], str] = str

    async def whole(self, status: int, body: bytes) -> None:
        """The one answer; the last event where there were events before."""
        if self._events:
            self._events = False
            await self._chunk(sse.event(body), more=False)
        elif not self._started:
            self._started = True
            await respond(self._send, status, body)

    async def error(self, status: int, number: int, text: str) -> None:
        """The same for a request that failed."""
        body = messages.error(self.id, number, text)
        if self._started:
            await self.whole(status, body)
            return
        self._started = True
        unauthorized = status == HTTP_UNAUTHORIZED
        headers = [(b"www-authenticate", b"Bearer")] if unauthorized else []
        await respond(self._send, status, body, headers=headers)

    async def tell(self, message: bytes) -> None:
        """A message before the answer."""
        if not self._started:
            self._started = self._events = True
            await self._start(200, list(_EVENTS))
        if self._events:
            await self._chunk(sse.event(message), more=True)

    async def pass_on(self, answer: Answer) -> None:
        """The server's answer, chunk by chunk, with its session id sealed."""
        self._started = True
        await self._start(answer.status, self._headers(answer))
        kind = answer.header(b"content-type") or b""
        has_events = self._between = kind.startswith(b"text/event-stream")
        async for chunk in answer.chunks:
            async with self._writing:
                await self._chunk(chunk, more=True)
                self._between = has_events and chunk.endswith(_BETWEEN)
                await self._inject()
        self._between = False
        await self._chunk(b"", more=False)

    async def inject(self, message: bytes) -> None:
        """Give a message of the gateway between two events of the server's stream."""
        if message not in self._injected:
            self._injected.append(message)
        async with self._writing:
            await self._inject()

    async def _inject(self) -> None:
        while self._between and self._injected:
            await self._chunk(sse.event(self._injected.pop(0)), more=True)

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _chunk(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    def _headers(self, answer: Answer) -> list[tuple[bytes, bytes]]:
        headers = [(name, value) for name, value in answer.headers if name in _PASSED_BACK]
        session = answer.header(b"mcp-session-id")
        if session is not None:
            sealed = self.seal(session.decode("latin-1"))
            headers.append((b"mcp-session-id", sealed.encode("latin-1")))
        return [*headers, _UNBUFFERED]
