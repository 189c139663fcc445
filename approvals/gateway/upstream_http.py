"""One streamable-HTTP server, reached on behalf of one request of one agent."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpcore2
from mcp.shared.inbound import mcp_param_headers, x_mcp_header_map
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    PROTOCOL_VERSION_META_KEY,
)

from approvals.domain.strictjson import Json, canonical, parse, quoted
from approvals.errors import InvalidJson, Unavailable
from approvals.gateway import sse
from approvals.outbound import AnswerTooLarge, Blocked
from approvals.ports import Answered, NotSent, SendOutcome, Unanswered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import timedelta

    from approvals.domain.rulebook import Server
    from approvals.gateway.catalogue import Catalogue, Entry, Tool
    from approvals.gateway.messages import Message
    from approvals.gateway.sessions import Busy
    from approvals.outbound import Answer, Outbound

logger = logging.getLogger(__name__)

MAX_PAGES = 100
_NOT_SENT_STATUS = {401: "the server refused our credentials", 404: "the server lost the session"}
_NOT_SENT = (Blocked, httpcore2.ConnectError, httpcore2.ConnectTimeout, httpcore2.PoolTimeout)
_FAILED = (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException)


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """What a request of the upstream carries besides its body."""

    id: str | None
    protocol: str | None


class HttpUpstream:
    """The Upstream of one waiting request, with its session and its era."""

    def __init__(
        self,
        *,
        server: Server,
        session: Session,
        message: Message,
        outbound: Outbound,
        sending: Outbound,
        catalogue: Catalogue,
        busy: Busy,
        timeout: timedelta,
    ) -> None:
        self._server = server
        self._session = session
        self._message = message
        self._outbound = outbound
        self._sending = sending
        self._catalogue = catalogue
        self._busy = busy
        self._timeout = timeout.total_seconds()

    async def tool(self, name: str) -> Tool | None:
        """The server's entry for this tool; None when it lists no such tool."""
        return await self._catalogue.find(self._server.name, name, self._read_tools)

    async def open(self) -> None:
        """Nothing to do: the session is the agent's, and the sending has its own connection."""

    async def definition_hash(self, tool: str) -> str | None:
        found = await self.tool(tool)
        return found.definition.hash if found else None

    async def call(self, tool: str, arguments: str) -> SendOutcome:
        try:
            with self._busy.sending(self._session.id):
                async with asyncio.timeout(self._timeout):
                    return await self._call(tool, arguments)
        except _NOT_SENT:
            return NotSent(why="the server could not be reached")
        except TimeoutError:
            return Unanswered(why="the server did not answer in time")
        except _FAILED as error:
            return Unanswered(why=f"the connection failed ({type(error).__name__})")
        except (InvalidJson, AnswerTooLarge):
            return Unanswered(why="the answer could not be read")

    @asynccontextmanager
    async def forward(
        self, method: str, body: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> AsyncIterator[Answer]:
        """Pass a request on as it is; the caller bounds the time it takes."""
        try:
            async with self._outbound.request(
                method, self._server.url, headers=headers, body=body
            ) as answer:
                yield answer
        except (*_NOT_SENT, *_FAILED) as error:
            raise Unavailable("The server behind the gateway cannot be reached.") from error

    async def _call(self, tool: str, arguments: str) -> SendOutcome:
        params = f'{{"arguments":{arguments},"name":{quoted(tool)}{self._meta_member()}}}'
        body = _request("tools/call", params)
        headers = self._headers("tools/call", await self._tool_headers(tool, arguments))
        async with self._sending.request(
            "POST", self._server.url, headers=headers, body=body
        ) as answer:
            found = await _response(answer)
        if found is None:
            return _no_response(answer.status)
        return _answered(found)

    async def _tool_headers(self, tool: str, arguments: str) -> dict[str, str]:
        """The headers a 2026 server wants to see an argument in."""
        if not self._message.is_modern:
            return {}
        listed = await self.tool(tool)
        schema = listed.input_schema if listed else None
        values = parse(arguments.encode("utf-8"))
        assert isinstance(values, dict)  # noqa: S101 (canonical_arguments made it)
        params = mcp_param_headers(x_mcp_header_map(schema), values)
        return {"mcp-name": tool, **{name.lower(): value for name, value in params.items()}}

    async def _read_tools(self) -> list[Entry]:
        tools: list[Entry] = []
        cursor: Json = None
        for _ in range(MAX_PAGES):
            page = await self._read_page(cursor)
            listed = page.get("tools")
            tools += [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
            cursor = page.get("nextCursor")
            if not isinstance(cursor, str):
                return tools
        raise Unavailable("The server's tool list does not end.")

    async def _read_page(self, cursor: Json) -> Mapping[str, Json]:
        inside = [f'"cursor":{quoted(cursor)}'] if isinstance(cursor, str) else []
        meta = self._meta_member().removeprefix(",")
        params = "{" + ",".join([*inside, *([meta] if meta else [])]) + "}"
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._outbound.request(
                    "POST",
                    self._server.url,
                    headers=self._headers("tools/list", {}),
                    body=_request("tools/list", params),
                ) as answer,
            ):
                found = await _response(answer)
        except (*_NOT_SENT, *_FAILED, TimeoutError, InvalidJson, AnswerTooLarge) as error:
            raise Unavailable("The server's tool list cannot be read.") from error
        listed = found.get("result") if found else None
        if not isinstance(listed, dict):
            raise Unavailable("The server did not give its tool list.")
        return listed

    def _headers(self, method: str, more: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        headers = {
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            **more,
        }
        if self._session.id is not None:
            headers["mcp-session-id"] = self._session.id
        if self._session.protocol is not None:
            headers["mcp-protocol-version"] = self._session.protocol
        if self._message.is_modern:
            headers["mcp-method"] = method
        return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]

    def _meta_member(self) -> str:
        """The `_meta` of the 2026 era: who asks, and that nothing can be asked back."""
        if not self._message.is_modern:
            return ""
        kept = {
            key: self._message.meta[key]
            for key in (PROTOCOL_VERSION_META_KEY, CLIENT_INFO_META_KEY)
            if key in self._message.meta
        }
        return f',"_meta":{canonical({**kept, CLIENT_CAPABILITIES_META_KEY: {}})}'


def _request(method: str, params: str) -> bytes:
    return f'{{"jsonrpc":"2.0","id":1,"method":{quoted(method)},"params":{params}}}'.encode()


async def _response(answer: Answer) -> dict[str, Json] | None:
    """The response to our one request; None when the server sent none."""
    kind = (answer.header(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind == b"text/event-stream":
        async for data in sse.data_of(answer.chunks):
            if (found := _if_response(data)) is not None:
                return found
        return None
    return _if_response(await answer.body()) if kind == b"application/json" else None


def _if_response(raw: bytes) -> dict[str, Json] | None:
    body = parse(raw) if raw.strip() else None
    if isinstance(body, dict) and ("result" in body or "error" in body) and "method" not in body:
        return body
    return None


def _answered(response: Mapping[str, Json]) -> SendOutcome:
    error, result = response.get("error"), response.get("result")
    if isinstance(error, dict):
        return Answered(result=None, error=error, is_error=True, detail="The server refused it.")
    if not isinstance(result, dict):
        return Unanswered(why="the answer is no result")
    if result.get("resultType") not in {None, "complete"}:
        return Answered(
            result=None,
            error=None,
            is_error=True,
            detail="The server asked for input nobody approved.",
        )
    return Answered(result=result, error=None, is_error=result.get("isError") is True)


def _no_response(status: int) -> SendOutcome:
    why = _NOT_SENT_STATUS.get(status)
    return NotSent(why=why) if why else Unanswered(why=f"the server answered HTTP {status}")
