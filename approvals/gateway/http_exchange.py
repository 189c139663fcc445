"""One request to a streamable-HTTP server: its headers, its answer, and sessions of our own."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from mcp_types.version import (
    HANDSHAKE_PROTOCOL_VERSIONS,
    LATEST_HANDSHAKE_VERSION,
    LATEST_MODERN_VERSION,
)

from approvals import __version__
from approvals.domain.strictjson import Json, canonical, parse
from approvals.errors import InvalidJson, Unavailable
from approvals.gateway import sse
from approvals.gateway.own import OWN_META, OwnRequest, is_response, response_to
from approvals.outbound import AnswerTooLarge, Broken, Unreached

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from approvals.domain.rulebook import HttpServer
    from approvals.outbound import Answer, Outbound

Headers: TypeAlias = "list[tuple[bytes, bytes]]"

logger = logging.getLogger(__name__)

OPENS_WITHIN = timedelta(seconds=10)
ENDS_WITHIN = timedelta(seconds=2)
INITIALIZED = canonical({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode()
GREETING: dict[str, Json] = {
    "protocolVersion": LATEST_HANDSHAKE_VERSION,
    "capabilities": {},
    "clientInfo": {"name": "approvals", "version": __version__},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pools:
    """Connections by what they are for, so that none of these can use up another's.

    Those of `reading` and `sending` are used once each: a kept-alive connection that the server
    had just closed would make the outcome of an approved call doubtful.
    """

    passing: Outbound
    reading: Outbound
    sending: Outbound

    async def close(self) -> None:
        for pool in (self.passing, self.reading, self.sending):
            await pool.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """What a request of the upstream carries besides its body."""

    id: str | None
    protocol: str | None


def credentials(server: HttpServer) -> Headers:
    """What the file says that this server wants to see; no agent ever does."""
    return [(name.lower().encode(), value.encode()) for name, value in server.headers]


def request_headers(
    server: HttpServer, session: Session, more: Mapping[str, str], *, method: str | None
) -> Headers:
    """All headers of a request of our own; `method` is named in the era without sessions."""
    headers = {
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
        **more,
    }
    if session.id is not None:
        headers["mcp-session-id"] = session.id
    if session.protocol is not None:
        headers["mcp-protocol-version"] = session.protocol
    if method is not None:
        headers["mcp-method"] = method
    ours = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return [*ours, *credentials(server)]


def _nothing(said: Mapping[str, Json]) -> None:
    """Whatever a server says besides is of no use."""


async def response_in(
    answer: Answer, id_: str, other: Callable[[Mapping[str, Json]], None] = _nothing
) -> dict[str, Json] | None:
    """The response to the request with this id; None when the server sent none. `other` is called
    with what comes before it."""
    if answer.kind == b"text/event-stream":
        async for data in sse.data_of(answer.chunks):
            said = parse(data) if data.strip() else None
            if isinstance(said, dict) and is_response(said, id_):
                return said
            if isinstance(said, dict):
                other(said)
        return None
    return response_to(await answer.body(), id_) if answer.kind == b"application/json" else None


async def speaks_without_sessions(pools: Pools, server: HttpServer) -> bool:
    """Whether the server speaks the era without sessions. Raises Unavailable."""
    session = Session(id=None, protocol=LATEST_MODERN_VERSION)
    method = "server/discover"
    request = OwnRequest(method, canonical({"_meta": OWN_META}))
    headers = request_headers(server, session, {}, method=method)
    try:
        async with (
            asyncio.timeout(OPENS_WITHIN.total_seconds()),
            pools.reading.request("POST", server.url, headers=headers, body=request.body) as answer,
        ):
            found = await response_in(answer, request.id)
    except (InvalidJson, AnswerTooLarge):
        return False
    except (Unreached, Broken, TimeoutError) as error:
        raise Unavailable("The server behind the gateway cannot be reached.") from error
    return found is not None and "result" in found


async def open_session(pools: Pools, server: HttpServer) -> Session:
    """A session of our own with a server of the older era. Raises Unavailable."""
    try:
        async with asyncio.timeout(OPENS_WITHIN.total_seconds()):
            return await _opened(pools, server)
    except (Unreached, Broken, TimeoutError, InvalidJson, AnswerTooLarge) as error:
        raise Unavailable("The server does not begin a session.") from error


async def end_session(pools: Pools, server: HttpServer, session: Session) -> None:
    """Let the server forget it; one that does not is left to."""
    headers = request_headers(server, session, {}, method=None)
    try:
        async with (
            asyncio.timeout(ENDS_WITHIN.total_seconds()),
            pools.passing.request("DELETE", server.url, headers=headers, body=b"") as answer,
        ):
            logger.debug("a session of our own was ended: %d", answer.status)
    except (Unreached, Broken, TimeoutError):
        logger.info("a session of our own with server %s could not be ended", server.name)


async def _opened(pools: Pools, server: HttpServer) -> Session:
    request = OwnRequest("initialize", canonical(GREETING))
    headers = request_headers(server, Session(id=None, protocol=None), {}, method=None)
    async with pools.reading.request(
        "POST", server.url, headers=headers, body=request.body
    ) as answer:
        found = await response_in(answer, request.id)
        given = answer.header(b"mcp-session-id")
    said = found.get("result") if found else None
    protocol = said.get("protocolVersion") if isinstance(said, dict) else None
    if protocol not in HANDSHAKE_PROTOCOL_VERSIONS:
        raise Unavailable("The server does not begin a session.")
    session = Session(id=given.decode("latin-1") if given else None, protocol=str(protocol))
    headers = request_headers(server, session, {}, method=None)
    async with pools.reading.request("POST", server.url, headers=headers, body=INITIALIZED) as done:
        logger.debug("a session of our own was begun: %d", done.status)
    return session
