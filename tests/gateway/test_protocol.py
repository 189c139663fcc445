"""A request that does not end is not kept in memory."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from starlette.types import Receive, Scope, Send

from approvals.demo.stage import served
from approvals.protocol import MAX_HEAD, MAX_MESSAGE

pytestmark = pytest.mark.anyio


async def answered(scope: Scope, receive: Receive, send: Send) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


async def closed_after(url: str, start: bytes, piece: bytes, most: int) -> int:
    """How many bytes go out before the server hangs up."""
    host, port = url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    sent = 0
    with contextlib.suppress(ConnectionError):
        writer.write(start)
        while sent < most:
            writer.write(piece)
            sent += len(piece)
            await writer.drain()
    writer.close()
    return sent


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"GET / HTTP/1.1\r\n", b"X-More: " + b"y" * 8000 + b"\r\n"),
        (b"GET / HTTP/1.1\r\nX-One: ", b"y" * 8000),
        (b"GET /", b"y" * 8000),
    ],
    ids=["many headers", "one long header", "a long path"],
)
async def test_a_head_without_an_end_is_cut_off(start: bytes, piece: bytes) -> None:
    async with served(answered) as url:
        assert await closed_after(url, start, piece, most=64 * MAX_HEAD) < 64 * MAX_HEAD


async def test_trailers_without_an_end_are_cut_off() -> None:
    start = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    async with served(answered) as url:
        piece = b"X-More: " + b"y" * 60_000 + b"\r\n"
        assert await closed_after(url, start, piece, most=3 * MAX_MESSAGE) < 3 * MAX_MESSAGE


async def test_many_requests_on_one_connection_are_each_within_the_bound() -> None:
    async with served(answered) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(40):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Some: " + b"y" * 4000 + b"\r\n\r\n")
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head
            assert await reader.readexactly(2) == b"ok"
        writer.close()
