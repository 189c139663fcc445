"""Every URL the service fetches goes through here: resolved, checked, connected as checked.

The name is resolved once and the connection made to an address that was looked at, with Host and
SNI kept, so that a second answer of the name server cannot lead elsewhere; each socket is made for
an address that was looked at. There are no redirects, no proxies and no environment in it
(CHANNELS.md, "outbound.py").
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from approvals.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import timedelta

    from aiohttp import AddrInfoType

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_ANSWER = 16 * 1024 * 1024
"""Bytes of one answer that are read into memory."""

MAX_CONNECTIONS = 1000
KEPT = 2.0
"""Seconds that an idle connection is kept: less than servers keep theirs (uvicorn: 5)."""
WHOLE = 256 * 1024
"""Bytes of a request that are written at once."""
PIECE = 64 * 1024
IPV6 = 6

_UNREACHED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_COMPATIBLE = ipaddress.ip_network("::/96")
_SITE_LOCAL = ipaddress.ip_network("fec0::/10")
_PROTOCOLS = ipaddress.ip_network("192.0.0.0/24")
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
_SHARED = ipaddress.ip_network("100.64.0.0/10")
# Services that hand out credentials to whoever is on the machine; two of them look public.
_METADATA = frozenset(
    map(
        ipaddress.ip_address,
        (
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "fd00:42::42",
            "fd00:a9fe:a9fe::1",
            "fd00:100::100:200",
        ),
    )
)
_HOST = re.compile(r"\[[0-9A-Fa-f:.%A-Za-z_-]+\](:\d*)?|[^\[\]]*")
_NUMBER = re.compile(r"(0[xX][0-9A-Fa-f]*|\d+)")


class Unreached(Exception):
    """Not one byte of the request left this machine."""


class Blocked(Unreached):
    """The address may never be reached from here."""


class Broken(Exception):
    """The connection failed, or what came is no HTTP: the request may have been acted on."""


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

    @property
    def kind(self) -> bytes:
        """The media type, in lower case, without parameters; empty where there is none."""
        return (self.header(b"content-type") or b"").partition(b";")[0].strip().lower()

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
    """One pool of guarded connections; made where the loop runs that uses it.

    `allow_private`: private and loopback addresses may be reached, because the file names them.
    `keep_alive`: connections are reused; without it each request has one of its own, so that a
    connection the server had already closed cannot make an answer doubtful.
    """

    def __init__(
        self, *, allow_private: bool, connect_timeout: timedelta, keep_alive: bool = True
    ) -> None:
        self._guard = _Guard(allow_private=allow_private)
        seconds = connect_timeout.total_seconds()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=MAX_CONNECTIONS,
                force_close=not keep_alive,
                keepalive_timeout=KEPT if keep_alive else None,
                resolver=self._guard,
                socket_factory=self._guard.socket,
                use_dns_cache=False,
            ),
            timeout=aiohttp.ClientTimeout(total=None, connect=seconds + 10, sock_connect=seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            auto_decompress=False,
            trust_env=False,
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
        """Send one request; never follows a redirect, never sends a POST twice.

        Raises Unreached before anything was sent, Broken after. The caller sets the deadline
        around it.
        """
        response = await self._sent(method, url, headers, body)
        async with response:
            answer = Answer(
                status=response.status,
                headers=tuple((name.lower(), value) for name, value in response.raw_headers),
                chunks=response.content.iter_any(),
            )
            try:
                yield answer
            except (aiohttp.ClientError, ConnectionError) as error:  # of reading the body
                raise Broken(type(error).__name__) from error

    async def _sent(
        self, method: str, url: str, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> aiohttp.ClientResponse:
        try:
            return await self._session.request(
                method,
                _written(url),
                headers=_as_text(headers, body),
                data=_data(body),
                allow_redirects=False,
            )
        except _UNREACHED as error:
            raise Unreached(type(error).__name__) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Broken(type(error).__name__) from error

    async def close(self) -> None:
        await self._session.close()


def _written(url: str) -> URL:
    """As it stands in the file. Raises Unreached for what is none."""
    try:
        return URL(check_url(url), encoded=True)
    except (InvalidInput, ValueError) as error:
        raise Unreached("this is no URL") from error


def _as_text(headers: Sequence[tuple[bytes, bytes]], body: bytes) -> list[tuple[str, str]]:
    """Raises Unreached for what could not be written as it is.

    Seen here and not left to the library: what it raises itself may come after the request.
    """
    try:
        said = [(name.decode("ascii"), value.decode("ascii")) for name, value in headers]
    except UnicodeDecodeError as error:
        raise Unreached("a header is not ASCII") from error
    if any(not value.isprintable() for _, value in said):
        raise Unreached("a header cannot be written")
    return [*said, ("content-length", str(len(body)))] if len(body) > WHOLE else said


def _data(body: bytes) -> bytes | AsyncIterator[bytes] | None:
    """A large body in pieces: written at once it would hold up everybody else."""
    return (body or None) if len(body) <= WHOLE else _pieces(body)


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]


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
    if not _HOST.fullmatch(parts.netloc):
        raise InvalidInput("must have an IPv6 address in brackets, and nothing else around it")
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
        check_address(_plain(host), allow_private=allow_private)
    except ValueError:
        if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
            raise InvalidInput("must write an IPv4 address as four decimal numbers") from None
        return url
    except Blocked as error:
        raise InvalidInput(f"leads to {host}: {error}") from None
    return url


def check_address(address: Address, *, allow_private: bool) -> None:
    """Raise Blocked for what may not be reached, looking through addresses that embed another."""
    address = _embedded(address)
    if address in _METADATA or address.is_link_local:
        raise Blocked("link-local and metadata addresses are never reached")
    if address.is_multicast or address in _THIS_NETWORK or address in _LOCAL_NAT64:
        raise Blocked("this is no address of a server")
    if _is_reserved(address):
        raise Blocked("this is no address of a server")
    inner = any(address in network for network in (_SHARED, _SITE_LOCAL, _PROTOCOLS))
    if not allow_private and (inner or not address.is_global):
        raise Blocked("private and loopback addresses are not allowed here")


class _Guard(AbstractResolver):
    """Resolves names, and lets no socket be made for an address that may not be reached.

    A name of which one address may not be reached is not reached at all. Hosts that are addresses
    themselves are never resolved, so the socket is the place where nothing gets by.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        except UnicodeError as error:
            raise OSError("the name cannot be resolved") from error
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            self._check(address)
        return [_result(host, address, port) for address in addresses]

    def socket(self, info: AddrInfoType) -> socket.socket:
        """A socket for this address. Raises Blocked."""
        family, kind, protocol, _, address = info
        self._check(str(address[0]))
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Nothing is held."""

    def _check(self, address: str) -> None:
        check_address(_plain(address), allow_private=self._allow_private)


def _result(host: str, address: str, port: int) -> ResolveResult:
    version = _plain(address).version
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if version == IPV6 else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST,
    )


def _plain(text: str) -> Address:
    """The address without a zone: a scoped one equals no other. Raises ValueError."""
    return ipaddress.ip_address(text.partition("%")[0])


def _embedded(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inside = address.ipv4_mapped or address.sixtofour
    if inside is None and address in _NAT64:
        inside = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if inside is None and address in _COMPATIBLE and int(address) > 1:
        inside = ipaddress.IPv4Address(int(address))
    if inside is None and address.teredo is not None:
        inside = address.teredo[1]
    return address if inside is None else inside


def _is_reserved(address: Address) -> bool:
    return (address.is_reserved or address.is_unspecified) and not address.is_loopback
