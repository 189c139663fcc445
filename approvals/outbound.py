"""Every URL the service fetches goes through here: resolved, checked, connected as checked.

The name is resolved once and the connection made to an address that was looked at, with Host and
SNI kept, so that a second answer of the name server cannot lead elsewhere. There are no redirects,
no proxies and no environment in it (CHANNELS.md, "outbound.py").
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpcore2

from approvals.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from datetime import timedelta

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of one answer that are read into memory."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.ip_network("::/96")
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_SHARED = ipaddress.ip_network("100.64.0.0/10")
# Services that hand out credentials to whoever is on the machine; two of them look public.
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        ("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"),
    )
)


class Blocked(Exception):
    """The address may never be reached from here."""


class AnswerTooLarge(Exception):
    """The answer is larger than 16 MiB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Status, headers with lower-case names, and the body as it comes."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    chunks: AsyncIterator[bytes]

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    async def body(self) -> bytes:
        """The whole body. Raises AnswerTooLarge past 16 MiB."""
        parts, size = [], 0
        async for chunk in self.chunks:
            size += len(chunk)
            if size > MAX_ANSWER:
                raise AnswerTooLarge
            parts.append(chunk)
        return b"".join(parts)


class Outbound:
    """One pool of guarded connections.

    `allow_private`: private and loopback addresses may be reached, because the file names them.
    `keep_alive`: connections are reused; without it each request has one of its own, so that a
    connection the server had already closed cannot make an answer doubtful.
    """

    def __init__(
        self, *, allow_private: bool, connect_timeout: timedelta, keep_alive: bool = True
    ) -> None:
        self._connect_timeout = connect_timeout.total_seconds()
        self._pool = httpcore2.AsyncConnectionPool(
            max_connections=1000,
            max_keepalive_connections=100 if keep_alive else 0,
            keepalive_expiry=2.0,  # sooner than servers close them (uvicorn: 5 s)
            network_backend=_GuardedBackend(allow_private=allow_private),
        )

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes = b"",
    ) -> AsyncIterator[Answer]:
        """Send one request; never follows a redirect, never sends twice.

        Raises Blocked or httpcore2.ConnectError/ConnectTimeout before anything was sent, other
        httpcore2 errors after. The caller sets the deadline around it.
        """
        length = [(b"content-length", str(len(body)).encode())] if body else []
        async with self._pool.stream(
            method,
            url,
            headers=[(b"host", _host(url)), *headers, *length],
            content=body or None,
            extensions={"timeout": {"connect": self._connect_timeout, "pool": 10.0}},
        ) as response:
            yield Answer(
                status=response.status,
                headers=tuple((name.lower(), value) for name, value in response.headers),
                chunks=response.aiter_stream(),
            )

    async def close(self) -> None:
        await self._pool.aclose()


def check_url(url: str) -> str:
    """The URL, if it is one that can be fetched: http or https, a host, no user name in it.

    Raises InvalidInput with the reason; addresses are checked when connecting.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidInput("is not a URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInput("must be an http:// or https:// URL with a host")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput("must not carry a user name or password; use headers")
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise InvalidInput("must be plain ASCII without spaces and backslashes")
    if port == 0:
        raise InvalidInput("must not use port 0")
    return url


def check_target(url: str, *, allow_private: bool) -> str:
    """The URL, if `check_url` takes it and, where its host is an address, that may be reached.

    Raises InvalidInput with the reason; the addresses of a name are checked when connecting.
    """
    host = urlsplit(check_url(url)).hostname or ""
    try:
        check_address(ipaddress.ip_address(host), allow_private=allow_private)
    except ValueError:
        return url
    except Blocked as error:
        raise InvalidInput(f"leads to {host}: {error}") from None
    return url


def check_address(address: Address, *, allow_private: bool) -> None:
    """Raise Blocked for what may not be reached, looking through addresses that embed another."""
    address = _embedded(address)
    if address in _METADATA or address.is_link_local:
        raise Blocked("link-local and metadata addresses are never reached")
    if address.is_multicast or address in _THIS_NETWORK or _is_reserved(address):
        raise Blocked("this is no address of a server")
    if not allow_private and (not address.is_global or address in _SHARED):
        raise Blocked("private and loopback addresses are not allowed here")


class _GuardedBackend(httpcore2.AsyncNetworkBackend):
    """Connects only to addresses that passed the check."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._plain = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (the interface says so)
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await _resolve(host, port)
        for address in addresses:
            check_address(address, allow_private=self._allow_private)
        failure: Exception = httpcore2.ConnectError("the name has no address")
        for address in addresses:
            try:
                return await self._plain.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await self._plain.sleep(seconds)


async def _resolve(host: str, port: int) -> list[Address]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError("the name cannot be resolved") from error
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _embedded(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inside = address.ipv4_mapped or address.sixtofour
    if (inside is None and address in _NAT64) or address in _LOCAL_NAT64:
        inside = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if inside is None and address in _COMPATIBLE and int(address) > 1:
        inside = ipaddress.IPv4Address(int(address))
    if inside is None and address.teredo is not None:
        inside = address.teredo[1]
    return address if inside is None else inside


def _is_reserved(address: Address) -> bool:
    return (address.is_reserved or address.is_unspecified) and not address.is_loopback


def _host(url: str) -> bytes:
    return urlsplit(url).netloc.encode("ascii")
