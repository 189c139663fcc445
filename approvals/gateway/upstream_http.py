"""One streamable-HTTP server, reached on behalf of one request of one agent."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from mcp.shared.inbound import (
    encode_header_value,
    find_invalid_x_mcp_header,
    mcp_param_headers,
    x_mcp_header_map,
)

from approvals.domain.strictjson import Json, as_read, parse
from approvals.errors import InvalidJson, Unavailable
from approvals.gateway.answering import pass_answer
from approvals.gateway.catalogue import FRESH, FRESH_FOR_RELEASE, SessionLost, Silent
from approvals.gateway.during import During
from approvals.gateway.http_exchange import (
    Pools,
    Session,
    credentials,
    request_headers,
    response_in,
)
from approvals.gateway.own import (
    answered,
    call_request,
    can_be_asked,
    cancellation,
    read_tools,
)
from approvals.gateway.upstream import LIST_TIMEOUT, AnswerLost, plainly
from approvals.outbound import AnswerTooLarge, Broken, Unreached
from approvals.ports import NotSent, SendOutcome, Unanswered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from approvals.domain.rulebook import HttpServer
    from approvals.gateway.catalogue import Catalogue, Entry, Tool
    from approvals.gateway.http_exchange import Headers
    from approvals.gateway.messages import Message
    from approvals.gateway.own import OwnRequest
    from approvals.gateway.sessions import Busy
    from approvals.gateway.upstream import Hears
    from approvals.outbound import Answer
    from approvals.ports import Give, Given

HTTP_UNAUTHORIZED = 401
HTTP_NOT_FOUND = 404
HTTP_ERROR = 400
logger = logging.getLogger(__name__)

CANCEL_TIMEOUT = timedelta(seconds=2)


class HttpUpstream:
    """The Upstream of one waiting request, with its session and its era."""

    def __init__(
        self,
        *,
        server: HttpServer,
        session: Session,
        message: Message,
        pools: Pools,
        catalogue: Catalogue,
        busy: Busy,
        timeout: timedelta,
        is_current: Callable[[], bool],
    ) -> None:
        """`is_current` says whether the configuration still names this server as it was opened."""
        self._server = server
        self._is_current = is_current
        self._session = session
        self._message = message
        self._pools = pools
        self._prepared: _Prepared | None = None
        self._hears: Hears | None = None
        self._catalogue = catalogue
        self._busy = busy
        self._timeout = timeout.total_seconds()

    @property
    def _where(self) -> str:
        """The session, or for a server without sessions the server."""
        return f"{self._server.place} {self._session.id or ''}"

    @property
    def is_sending(self) -> bool:
        """Whether an approved call is running in this session."""
        return self._busy.is_busy(self._where)

    async def tool(self, name: str, *, max_age: timedelta = FRESH) -> Tool | None:
        """The server's entry for this tool; None when it lists no such tool."""
        return await self._catalogue.find(self._server, name, self._read_tools, max_age=max_age)

    async def definition_hash(self, tool: str) -> str | None:
        found = await self.tool(tool, max_age=FRESH_FOR_RELEASE)
        return found.definition.hash if found else None

    def hear(self, hears: Hears) -> None:
        self._hears = hears

    async def prepare(
        self, tool: str, arguments: str, given: Given | None = None, *, asks: bool
    ) -> None:
        if not self._is_current():
            raise SessionLost("The server's entry has changed. Start a new session.")
        request = call_request(
            tool,
            arguments,
            self._message,
            given=given,
            hears=self._hears is not None,
            asks=asks and can_be_asked(self._message, self._hears),
        )
        headers = self._headers(request.method, await self.tool_headers(tool, arguments))
        self._prepared = _Prepared(request, headers)

    async def send(self, give: Give | None) -> SendOutcome:
        prepared = self._prepared
        if prepared is None:
            return NotSent(why="nothing was prepared")
        if not self._is_current():
            return NotSent(why="the server's entry has changed")
        try:
            with self._busy.sending(self._where):
                async with asyncio.timeout(self._timeout):
                    return await self._send(prepared, give)
        except Unreached:
            return NotSent(why="the server could not be reached")
        except TimeoutError:
            await self.unwanted()
            return Unanswered(why="the server did not answer in time")
        except Broken as error:
            return Unanswered(why=f"the connection failed ({error})")
        except (InvalidJson, AnswerTooLarge):
            return Unanswered(why="the answer could not be read")

    async def takes_answer(self, message: Message) -> bool:
        question = self._busy.asked(self._where, message.id)
        if question is None:
            return False
        if not await pass_answer(message, question.give, partial(self._reply, question.id)):
            raise Unavailable("The answer could not be given to the server.")
        return True

    async def unwanted(self) -> None:
        """In the era without sessions a closed stream would say so, and lose the answer."""
        if self._prepared is None or self._message.is_modern:
            return
        headers = self._headers("notifications/cancelled", {})
        if not await self._say(cancellation(self._prepared.request.id), headers):
            logger.info("server %s could not be told that nobody waits", self._server.name)

    async def _reply(self, id_: Json, said: Mapping[str, Json]) -> bool:
        """Answer a question of the server."""
        body = as_read({"jsonrpc": "2.0", "id": id_, **said}).encode()
        return await self._say(body, self._headers(None, {}))

    async def _say(self, body: bytes, headers: Headers) -> bool:
        """Say something that nothing is answered to; False: it did not reach the server."""
        try:
            async with (
                asyncio.timeout(CANCEL_TIMEOUT.total_seconds()),
                self._pools.passing.request(
                    "POST", self._server.url, headers=headers, body=body
                ) as answer,
            ):
                return answer.status < HTTP_ERROR
        except (Unreached, Broken, TimeoutError):
            return False

    @asynccontextmanager
    async def forward(
        self, method: str, body: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> AsyncIterator[Answer]:
        """Pass a request on as it is; the caller bounds the time it takes."""
        try:
            async with self._pools.passing.request(
                method, self._server.url, headers=[*headers, *credentials(self._server)], body=body
            ) as answer:
                yield answer
        except Unreached as error:
            raise Unavailable("The server behind the gateway cannot be reached.") from error
        except Broken as error:
            raise AnswerLost("The connection to the server behind the gateway broke.") from error

    async def _send(self, prepared: _Prepared, give: Give | None) -> SendOutcome:
        request = prepared.request
        give = give if can_be_asked(self._message, self._hears) else None
        during = During(
            request.id,
            where=self._where,
            busy=self._busy,
            hears=self._hears,
            give=None if self._message.is_modern else give,
            reply=self._reply,
        )
        try:
            async with self._pools.sending.request(
                "POST", self._server.url, headers=prepared.headers, body=request.body
            ) as answer:
                refused = _not_accepted(answer.status, in_session=self._session.id is not None)
                found = None if refused else await response_in(answer, request.id, during.said)
        finally:
            during.over()
        if refused or found is None:
            return refused or Unanswered(why=f"the server answered HTTP {answer.status}")
        return answered(found, asks=give is not None)

    async def tool_headers(self, tool: str, arguments: str) -> dict[str, str]:
        """The headers a 2026 server wants to see an argument in."""
        if not self._message.is_modern:
            return {}
        listed = await self.tool(tool)
        schema = listed.input_schema if listed else None
        values = parse(arguments.encode("utf-8"))
        assert isinstance(values, dict)  # noqa: S101 (canonical_arguments made it)
        if find_invalid_x_mcp_header(schema) is not None:
            return {"mcp-name": encode_header_value(tool)}
        params = mcp_param_headers(x_mcp_header_map(schema), plainly(values))
        return {
            "mcp-name": encode_header_value(tool),
            **{name.lower(): value for name, value in params.items()},
        }

    async def _read_tools(self) -> list[Entry]:
        try:
            async with asyncio.timeout(min(self._timeout, LIST_TIMEOUT.total_seconds())):
                try:
                    return await self._read_pages()
                except Broken:
                    return await self._read_pages()  # a list may be asked for twice
        except (Unreached, Broken, TimeoutError) as error:
            raise Silent("The server does not give its tool list.") from error
        except (InvalidJson, AnswerTooLarge) as error:
            raise Unavailable("The server's tool list cannot be read.") from error

    async def _read_pages(self) -> list[Entry]:
        return await read_tools(self._ask, self._message)

    async def _ask(self, request: OwnRequest) -> dict[str, Json] | None:
        headers = self._headers(request.method, {})
        async with self._pools.reading.request(
            "POST", self._server.url, headers=headers, body=request.body
        ) as answer:
            self.check_session(answer)
            return await response_in(answer, request.id)

    def check_session(self, answer: Answer) -> None:
        """Raise SessionLost when the server says that it does not know the session."""
        if answer.status == HTTP_NOT_FOUND and self._session.id is not None:
            raise SessionLost("The server does not know this session. Start a new one.")

    def _headers(self, method: str | None, more: Mapping[str, str]) -> Headers:
        named = method if self._message.is_modern else None
        return request_headers(self._server, self._session, more, method=named)


@dataclass(frozen=True, slots=True)
class _Prepared:
    request: OwnRequest
    headers: Headers


def _not_accepted(status: int, *, in_session: bool) -> NotSent | None:
    """Statuses whose meaning in the specification is that the message was not taken."""
    if status == HTTP_UNAUTHORIZED:
        return NotSent(why="the server refused our credentials")
    if status == HTTP_NOT_FOUND and in_session:
        return NotSent(why="the server lost the session")
    return None
