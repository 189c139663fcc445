"""What one HTTP request is answered with, whole or as events; never two answers."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Protocol

from approvals.gateway import messages, sse
from approvals.gateway.upstream import AnswerLost
from approvals.outbound import AnswerTooLarge
from approvals.wire import respond

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

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
        kind, chunks = answer.kind, answer.chunks
        if kind == b"text/event-stream":
            chunks = self._filtered(chunks)
        elif kind == b"application/json":
            chunks = _once(await self._checked(answer))
        self._started = True
        await self._start(answer.status, self._headers(answer))
        self._between = kind == b"text/event-stream"
        async for chunk in chunks:
            async with self._writing:
                await self._chunk(chunk, more=True)
                await self._inject()
        self._between = False
        await self._chunk(b"", more=False)

    async def _checked(self, answer: Answer) -> bytes:
        """The same of an answer that is one message. Raises AnswerLost."""
        try:
            body = await answer.body()
        except AnswerTooLarge as error:
            raise AnswerLost("The server's answer is larger than 16 MiB.") from error
        if body.strip() and not _is_for(body, self.id):
            raise AnswerLost("The server answered something that was not asked.")
        return body

    async def _filtered(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The server's messages, each as an event, but for answers to other requests than this one:
        a client would take them for the answers of calls that are held."""
        async for data in sse.parts_of(chunks):
            if data is None:
                yield b": \n\n"
            elif _is_for(data, self.id):
                yield sse.event(data)

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


def _is_for(data: bytes, id_: Json) -> bool:
    """Whether a message asks or tells, or answers the request with this id."""
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if not isinstance(said, dict):
        return False
    if "method" in said or ("error" in said and said.get("id") is None):
        return True
    return id_ is not None and said.get("id") == id_


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
