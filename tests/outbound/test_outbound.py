"""Where the service connects to: what was resolved is checked, and what was checked is used."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from approvals.errors import InvalidInput
from approvals.outbound import (
    MAX_ANSWER,
    AnswerTooLarge,
    Blocked,
    Outbound,
    Unreached,
    check_address,
    check_url,
)

pytestmark = pytest.mark.anyio
SECOND = timedelta(seconds=1)

NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
    "fd00:ec2::254",
    "224.0.0.1",
    "ff02::1",
    "0.0.0.0",
    "::",
    "::ffff:0.0.0.0",
    "240.0.0.1",
    "255.255.255.255",
]
PRIVATE = [
    "127.0.0.1",
    "127.1.2.3",
    "::1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "fd00::1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "2002:7f00:1::",
    "::127.0.0.1",
]
PUBLIC = ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]


@pytest.mark.parametrize("address", NEVER)
def test_link_local_metadata_and_meaningless_addresses_are_never_reached(address: str) -> None:
    for allowed in (True, False):
        with pytest.raises(Blocked):
            check_address(ipaddress.ip_address(address), allow_private=allowed)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_reached_only_where_the_file_allows_them(address: str) -> None:
    check_address(ipaddress.ip_address(address), allow_private=True)
    with pytest.raises(Blocked):
        check_address(ipaddress.ip_address(address), allow_private=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_reached(address: str) -> None:
    check_address(ipaddress.ip_address(address), allow_private=False)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "http://",
        "//host/x",
        "http://user@host/",
        "http://:pw@host/",
        "http://host\\@evil/",
        "http://hös.example/",
        "http://host/a b",
        "http://host:0/",
        "http://host:99999/",
        "http://[::1/",
        "javascript:alert(1)",
    ],
)
def test_urls_that_are_tricks_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        check_url(url)


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f.1", "127.1", "017700000001", "localhost", "[::1]", "0"]
)
async def test_spellings_of_inner_addresses_are_blocked_after_resolving(host: str) -> None:
    outbound = Outbound(allow_private=False, connect_timeout=SECOND)
    with pytest.raises(Unreached):
        async with outbound.request("GET", f"http://{host}:9/", headers=[]):
            pass
    await outbound.close()


async def test_a_name_that_also_resolves_inside_is_blocked_as_a_whole() -> None:
    """One public and one inner address: connecting to either is refused."""
    outbound = Outbound(allow_private=False, connect_timeout=SECOND)
    loop = asyncio.get_running_loop()
    found = loop.getaddrinfo

    async def answers(host: str, port: int, **_: object) -> object:
        return [(2, 1, 6, "", ("93.184.216.34", port)), (2, 1, 6, "", ("127.0.0.1", port))]

    loop.getaddrinfo = answers  # type: ignore[method-assign,assignment]
    try:
        with pytest.raises(Blocked):
            async with outbound.request("GET", "http://two.example/", headers=[]):
                pass
    finally:
        loop.getaddrinfo = found  # type: ignore[method-assign]
        await outbound.close()


async def test_the_host_header_keeps_the_name_and_a_redirect_is_an_answer_like_any_other() -> None:
    heard: list[bytes] = []

    async def redirecting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\n")
        writer.write(b"content-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(redirecting, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outbound = Outbound(allow_private=True, connect_timeout=SECOND)
    async with outbound.request("GET", f"http://localhost:{port}/x", headers=[]) as answer:
        assert answer.status == 302
        assert await answer.body() == b""
    assert f"host: localhost:{port}".encode() in heard[0].lower()
    assert len(heard) == 1
    await outbound.close()
    server.close()
    await server.wait_closed()


async def test_an_answer_past_its_limit_is_not_read_into_memory() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        try:
            for _ in range(2 * MAX_ANSWER // 65536):
                writer.write(b"x" * 65536)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outbound = Outbound(allow_private=True, connect_timeout=SECOND)
    with pytest.raises(AnswerTooLarge):
        async with outbound.request("GET", f"http://127.0.0.1:{port}/", headers=[]) as answer:
            await answer.body()
    await outbound.close()
    server.close()
    await server.wait_closed()


async def test_an_address_that_needs_no_resolving_is_looked_at_too() -> None:
    outbound = Outbound(allow_private=False, connect_timeout=SECOND)
    for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "169.254.169.254", "[fd00:ec2::254]"):
        with pytest.raises(Blocked):
            async with outbound.request("GET", f"http://{host}:9/", headers=[]):
                pass
    await outbound.close()


async def test_what_fails_in_the_reader_of_an_answer_is_not_called_unreached() -> None:
    """A ValueError of the caller after the request went out must not read as "not sent"."""
    async with _answering() as (url, _):
        outbound = Outbound(allow_private=True, connect_timeout=SECOND)
        with pytest.raises(ValueError, match="theirs"):
            async with outbound.request("POST", url, headers=[], body=b"{}"):
                raise ValueError("theirs")
        await outbound.close()


@pytest.mark.parametrize("size", [1, 200_000, 2 * 1024 * 1024])
async def test_a_body_of_any_size_arrives_whole_with_its_length(size: int) -> None:
    async with _answering() as (url, heard):
        outbound = Outbound(allow_private=True, connect_timeout=SECOND)
        async with outbound.request("POST", url, headers=[], body=b"x" * size) as answer:
            assert await answer.body() == b"ok"
        await outbound.close()
    head, _, body = heard[0].partition(b"\r\n\r\n")
    assert body == b"x" * size
    assert f"content-length: {size}".encode() in head.lower()
    assert b"chunked" not in head.lower()


async def test_a_header_that_is_no_ascii_is_not_sent() -> None:
    async with _answering() as (url, heard):
        outbound = Outbound(allow_private=True, connect_timeout=SECOND)
        for value in ("\u00e9".encode(), b"a\r\nb: c"):
            with pytest.raises(Unreached):
                async with outbound.request("POST", url, headers=[(b"a", value)], body=b"x"):
                    pass
        await outbound.close()
    assert heard == [] or all(not one for one in heard)


async def test_only_the_headers_that_were_given_are_sent() -> None:
    async with _answering() as (url, heard):
        outbound = Outbound(allow_private=True, connect_timeout=SECOND)
        given = [(b"content-type", b"application/json"), (b"mcp-method", b"tools/call")]
        async with outbound.request("POST", url, headers=given, body=b"{}"):
            pass
        await outbound.close()
    names = {line.split(b":")[0].lower() for line in heard[0].split(b"\r\n\r\n")[0].split(b"\r\n")}
    sent = {b"host", b"content-type", b"mcp-method", b"content-length"}
    assert {name for name in names if b" " not in name} == sent


@asynccontextmanager
async def _answering() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that says ok, and what it heard of each request, byte for byte."""
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(b"")
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head.lower())[1])  # type: ignore[index]
            heard[-1] = head + await reader.readexactly(length)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=1 << 22)
    port = server.sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/", heard
    server.close()
    await server.wait_closed()
