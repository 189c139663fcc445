"""A load generator: keep-alive HTTP/1.1 over bare sockets, so that it costs little beside what it
measures."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._buffer = b""
        self.answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.transport: asyncio.Transport | None = None
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if self.answer and not self.answer.done():
            self.answer.set_exception(error or ConnectionError("closed"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark or self.answer is None:
            return
        body = _body(head.lower(), rest)
        if body is not None and not self.answer.done():
            self._buffer = b""
            self.answer.set_result((int(head[9:12]), body))


def _body(head: bytes, rest: bytes) -> bytes | None:
    """The body once it is complete."""
    start = head.find(b"content-length:")
    if start >= 0:
        end = head.find(b"\r", start)
        size = int(head[start + 15 : end if end >= 0 else None])
        return rest if len(rest) >= size else None
    if b"chunked" not in head:
        return rest
    return rest if rest.endswith(b"0\r\n\r\n") else None


class Client:
    """One server, any number of connections, one request at a time on each."""

    def __init__(self, url: str, key: str | None = None) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._idle: list[_Connection] = []
        self._head = f"Host: {parts.netloc}\r\nAccept: application/json, text/event-stream\r\n"
        if key:
            self._head += f"Authorization: Bearer {key}\r\n"

    async def request(
        self, method: str, path: str, body: object = None, headers: Sequence[str] = ()
    ) -> tuple[int, bytes]:
        """Status and body of a request with a JSON body."""
        content = None if body is None else json.dumps(body).encode()
        return await self.send(method, path, content, headers)

    async def send(
        self, method: str, path: str, body: bytes | None = None, headers: Sequence[str] = ()
    ) -> tuple[int, bytes]:
        """Status and body."""
        connection = await self._connection()
        content = body or b""
        lines = [f"{method} {path} HTTP/1.1\r\n", self._head, *(f"{h}\r\n" for h in headers)]
        if method != "GET":
            lines.append(f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n")
        connection.answer = asyncio.get_running_loop().create_future()
        assert connection.transport is not None
        connection.transport.write("".join([*lines, "\r\n"]).encode() + content)
        answer = await connection.answer
        self._idle.append(connection)
        return answer

    async def json(self, method: str, path: str, body: object = None) -> Any:
        """The JSON of a good answer; any other is an error."""
        status, content = await self.request(method, path, body)
        if status >= 300:  # noqa: PLR2004 (HTTP)
            raise RuntimeError(f"{method} {path}: {status} {content[:300]!r}")
        return json.loads(content) if content else None

    def close(self) -> None:
        for connection in self._idle:
            if connection.transport is not None:
                connection.transport.close()
        self._idle.clear()

    async def _connection(self) -> _Connection:
        while self._idle:
            known = self._idle.pop()
            if not known.closed:
                return known
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(_Connection, self._host, self._port)
        return made


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run of one scenario brought; times in seconds."""

    done: int
    seconds: float
    latencies: Sequence[float]
    errors: Sequence[str]

    @property
    def rate(self) -> float:
        """Per second."""
        return self.done / self.seconds

    def quantile(self, part: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


async def run(
    one: Callable[[int], Awaitable[float | None]], *, count: int, at_once: int, seconds: float
) -> Run:
    """Do `one` up to `count` times or for `seconds`, `at_once` at a time."""
    latencies: list[float] = []
    errors: list[str] = []
    numbers = iter(range(count))
    began = time.perf_counter()

    async def worker() -> None:
        for n in numbers:
            if time.perf_counter() - began > seconds:
                return
            at = time.perf_counter()
            try:
                took = await one(n)
            except Exception as error:  # noqa: BLE001 (counted, shown)
                errors.append(repr(error)[:300])
            else:
                latencies.append(time.perf_counter() - at if took is None else took)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return Run(
        done=len(latencies),
        seconds=time.perf_counter() - began,
        latencies=latencies,
        errors=errors,
    )
