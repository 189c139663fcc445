"""One stdio server, reached on behalf of one request of one agent, as if it spoke HTTP."""

from __future__ import annotations

import asyncio
import logging
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mcp_types import PROTOCOL_VERSION_META_KEY, UNSUPPORTED_PROTOCOL_VERSION
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION
from mcp_types.version import MODERN_PROTOCOL_VERSIONS as MODERN

from approvals.domain.strictjson import Json, canonical, parse
from approvals.errors import InvalidJson, Unavailable
from approvals.gateway import messages, sse
from approvals.gateway.catalogue import FRESH, FRESH_FOR_RELEASE, SessionLost, Silent
from approvals.gateway.messages import BadMessage
from approvals.gateway.own import (
    OwnRequest,
    answered,
    call_request,
    can_be_asked,
    read_tools,
    response_to,
)
from approvals.gateway.stdio.inbox import Waiting, Who
from approvals.gateway.stdio.process import Ended
from approvals.gateway.stdio.processes import Kind, NotGreeted, OtherEra
from approvals.gateway.upstream import LIST_TIMEOUT, AnswerLost
from approvals.outbound import Answer
from approvals.ports import NotSent, SendOutcome, Unanswered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from datetime import timedelta

    from approvals.domain.rulebook import CommandServer
    from approvals.gateway.catalogue import Catalogue, Entry, Tool
    from approvals.gateway.messages import Message
    from approvals.gateway.stdio.conversation import Conversation
    from approvals.gateway.stdio.inbox import Asked, Inbox
    from approvals.gateway.stdio.processes import Processes
    from approvals.gateway.upstream import Hears
    from approvals.ports import Give, Given

logger = logging.getLogger(__name__)

SESSION_PARTS = 3
_CAPABILITIES = {
    "elicitation": ("form", "url"),
    "roots": ("listChanged",),
    "sampling": ("context", "tools"),
}
JSON = ((b"content-type", b"application/json"),)
EVENTS = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache"))


class StdioUpstream:
    """The Upstream of one waiting request, on the process that its client shares with others."""

    def __init__(
        self,
        *,
        server: CommandServer,
        agent: str,
        session: str | None,
        message: Message,
        processes: Processes,
        catalogue: Catalogue,
        timeout: timedelta,
        is_current: Callable[[], bool],
    ) -> None:
        """`session` is one that `initialize` here gave. Raises SessionLost for any other."""
        self._server = server
        self._is_current = is_current
        self._who = Who(agent=agent, session=session)
        self._kind = _kind(message, session)
        self._message = message
        self._processes = processes
        self._catalogue = catalogue
        self._timeout = timeout.total_seconds()
        self._prepared: tuple[Conversation, OwnRequest] | None = None
        self._hears: Hears | None = None

    @property
    def is_sending(self) -> bool:
        """Never in a client's way: what an approved call asks back is given to no client."""
        return False

    async def tool(self, name: str, *, max_age: timedelta = FRESH) -> Tool | None:
        """The server's entry for this tool; None when it lists no such tool."""
        kind = str(self._kind)  # others may be shown other tools
        return await self._catalogue.find(
            self._server, name, self._read_tools, variant=kind, max_age=max_age
        )

    async def tool_headers(self, tool: str, arguments: str) -> dict[str, str]:
        """None: there are no headers."""
        del tool, arguments
        return {}

    def check_session(self, answer: Answer) -> None:
        """Sessions are the gateway's own and are never lost."""

    async def definition_hash(self, tool: str) -> str | None:
        found = await self.tool(tool, max_age=FRESH_FOR_RELEASE)
        return found.definition.hash if found else None

    async def is_spoken(self) -> bool:
        """Whether the server speaks the era of this request."""
        try:
            await self._conversation()
        except OtherEra:
            return False
        return True

    def hear(self, hears: Hears) -> None:
        self._hears = hears

    async def takes_answer(self, message: Message) -> bool:
        """Such an answer goes the way of every answer: `forward` knows whose question it is for."""
        del message
        return False

    async def prepare(
        self, tool: str, arguments: str, given: Given | None = None, *, asks: bool
    ) -> None:
        if not self._is_current():
            raise SessionLost("The server's entry has changed. Start a new session.")
        conversation = await self._conversation(sends=True)
        request = call_request(
            tool,
            arguments,
            self._message,
            given=given,
            hears=self._hears is not None,
            asks=asks and can_be_asked(self._message, self._hears),
        )
        self._prepared = conversation, request

    async def send(self, give: Give | None) -> SendOutcome:
        if self._prepared is None:
            return NotSent(why="nothing was prepared")
        if not self._is_current():
            return NotSent(why="the server's entry has changed")
        conversation, request = self._prepared
        if conversation.ended:
            return NotSent(why="the server's process had ended")
        try:
            async with asyncio.timeout(self._timeout):
                line = await conversation.own(request, self._waiting(give))
                response = response_to(line, request.id)
        except TimeoutError:
            conversation.not_in_time()
            await self._nobody_waits(conversation, request.id)
            return Unanswered(why="the server did not answer in time")
        except Ended:  # before one byte was written
            return NotSent(why="the server's process could not be written to")
        except ConnectionError:
            return Unanswered(why="the server's process ended")
        except InvalidJson:
            return Unanswered(why="the answer could not be read")
        asks = give is not None and can_be_asked(self._message, self._hears)
        return answered(response or {}, asks=asks)

    def _waiting(self, give: Give | None) -> Waiting | None:
        if self._hears is None:
            return None
        asked = None if self._message.is_modern else give
        return Waiting(who=self._who, hears=self._hears, give=asked)

    async def unwanted(self) -> None:
        if self._prepared is not None:
            conversation, request = self._prepared
            await self._nobody_waits(conversation, request.id)

    @asynccontextmanager
    async def forward(
        self, method: str, body: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> AsyncIterator[Answer]:
        """Do what a streamable HTTP server of this process would do with the request."""
        del body, headers  # the message is known; its session and its era too
        if method == "GET":
            inbox, conversation = await self._listen()
            try:
                yield Answer(status=200, headers=EVENTS, chunks=_events(inbox))
            finally:
                conversation.leave(inbox)
        elif method == "DELETE":
            if self._kind is not None:
                for conversation in self._processes.running(self._server):
                    conversation.end(self._who)
            yield _plain(200)
        elif self._message.method is None:
            yield await self._answer_back()
        elif not self._message.has_id:
            yield await self._note()
        elif self._message.method == "initialize":
            yield await self._initialize()
        else:
            async with self._request() as answer:
                yield answer

    async def _initialize(self) -> Answer:
        """The process is greeted once; each client gets its greeting and a session of its own."""
        params = self._message.params
        capabilities = params.get("capabilities")
        said = canonical(_known(capabilities))
        asked = params.get("protocolVersion")
        protocol = asked if asked in HANDSHAKE_PROTOCOL_VERSIONS else LATEST_HANDSHAKE_VERSION
        kind = Kind(protocol=str(protocol), capabilities=said)
        try:
            _, greeting = await self._processes.conversation(
                self._server, kind, agent=self._who.agent
            )
        except NotGreeted as error:
            return _plain(200, {"jsonrpc": "2.0", "id": self._message.id, "error": error.said})
        answer = _plain(200, {"jsonrpc": "2.0", "id": self._message.id, "result": greeting})
        session = (b"mcp-session-id", _session(kind).encode())
        return Answer(status=200, headers=(*answer.headers, session), chunks=answer.chunks)

    async def _listen(self) -> tuple[Inbox, Conversation]:
        if self._kind is None or self._kind.is_modern:
            raise BadMessage(messages.INVALID_REQUEST, "There is no such stream.", status=405)
        conversation = await self._conversation()
        return conversation.listen(self._who), conversation

    async def _answer_back(self) -> Answer:
        conversation = await self._conversation()
        if not await conversation.answer_back(self._message, self._who):
            raise BadMessage(messages.INVALID_REQUEST, "Nobody asked that.")
        return _plain(202)

    async def _note(self) -> Answer:
        conversation = await self._conversation()
        match self._message.method:
            case "notifications/initialized":
                pass  # said once, when the process was greeted
            case "notifications/cancelled":
                await conversation.cancelled_by(self._who, self._message)
            case _:
                await conversation.pass_on(self._message.rewritten)
        return _plain(202)

    @asynccontextmanager
    async def _request(self) -> AsyncIterator[Answer]:
        try:
            conversation = await self._conversation()
        except OtherEra as error:
            yield _unsupported(self._message, str(error))
            return
        if self._message.method == "resources/unsubscribe":
            uri = self._message.params.get("uri")
            conversation.unsubscribe(uri, self._who)
            if conversation.subscribed_by_others(uri, self._who):
                yield _plain(200, {"jsonrpc": "2.0", "id": self._message.id, "result": {}})
                return
        asked = await conversation.ask(self._message, self._who)
        try:
            yield await _answer_of(asked)
        finally:
            conversation.forget(asked)
            if not asked.answered and self._kind and self._kind.is_modern:
                await self._nobody_waits(conversation, asked.id)

    async def _nobody_waits(self, conversation: Conversation, id_: str) -> None:
        """In the era without sessions a closed stream says so; after a timeout the gateway does."""
        try:
            async with asyncio.timeout(1):
                await conversation.cancel(id_, "nobody waits for it any more")
        except (Unavailable, TimeoutError):
            pass

    async def _conversation(self, *, sends: bool = False) -> Conversation:
        if self._kind is None:
            raise BadMessage(messages.INVALID_REQUEST, "Begin with `initialize`.")
        conversation, _ = await self._processes.conversation(
            self._server, self._kind, agent=self._who.agent, sends=sends
        )
        return conversation

    async def _read_tools(self) -> list[Entry]:
        conversation = await self._conversation()  # a start may take longer than a list

        async def ask(request: OwnRequest) -> dict[str, Json] | None:
            return response_to(await conversation.own(request), request.id)

        try:
            async with asyncio.timeout(min(self._timeout, LIST_TIMEOUT.total_seconds())):
                return await read_tools(ask, self._message)
        except (ConnectionError, TimeoutError) as error:
            conversation.not_in_time()
            raise Silent("The server does not give its tool list.") from error
        except InvalidJson as error:
            raise Unavailable("The server's tool list cannot be read.") from error


def _kind(message: Message, session: str | None) -> Kind | None:
    """How this client speaks; None where it has not said yet."""
    if session is not None:
        protocol, capabilities = _opened(session)
        return Kind(protocol=protocol, capabilities=capabilities)
    asked = message.meta.get(PROTOCOL_VERSION_META_KEY)
    if not isinstance(asked, str):
        return None
    return Kind(protocol=asked if asked in MODERN else MODERN[-1], capabilities=None)


def _known(capabilities: Json) -> dict[str, Json]:
    """What a client says it can do, as far as servers can use it: the rest would only make more
    kinds of clients, each with a process."""
    said = capabilities if isinstance(capabilities, dict) else {}
    found: dict[str, Json] = {}
    for name, parts in _CAPABILITIES.items():
        value = said.get(name)
        if isinstance(value, dict):
            found[name] = {
                part: True if part == "listChanged" else {}
                for part in parts
                if value.get(part) is not None and value.get(part) is not False
            }
    return found


def _session(kind: Kind) -> str:
    """All that is to be known of a session is in its id, so that any replica can go on with it."""
    said = canonical([secrets.token_hex(8), kind.protocol, kind.capabilities])
    return urlsafe_b64encode(said.encode()).decode().rstrip("=")


def own_session() -> str:
    """A session of the gateway's own, whose client can be asked nothing."""
    return _session(Kind(protocol=LATEST_HANDSHAKE_VERSION, capabilities=canonical({})))


def _opened(session: str) -> tuple[str, str]:
    said: Json = None
    try:
        said = parse(urlsafe_b64decode(session + "=" * (-len(session) % 4)))
    except (ValueError, InvalidJson):
        logger.debug("a session id is none of ours")
    texts = [part for part in said if isinstance(part, str)] if isinstance(said, list) else []
    if len(texts) == SESSION_PARTS:
        return texts[1], texts[2]
    raise SessionLost("This session is not of this server. Start a new one.")


async def _answer_of(asked: Asked) -> Answer:
    """One JSON answer, or a stream where the server has more to say before it."""
    first = await asked.take()
    if first is None:
        raise AnswerLost("The server's process ended before it answered.")
    if asked.answered and asked.is_empty:
        return Answer(status=200, headers=JSON, chunks=_once(first))
    return Answer(status=200, headers=EVENTS, chunks=_until_answered(asked, first))


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _until_answered(asked: Asked, first: bytes) -> AsyncIterator[bytes]:
    yield sse.event(first.rstrip(b"\r"))
    while not (asked.answered and asked.is_empty):
        line = await asked.take()
        if line is None:
            raise AnswerLost("The server's process ended before it answered.")
        yield sse.event(line.rstrip(b"\r"))


async def _events(inbox: Inbox) -> AsyncIterator[bytes]:
    while (line := await inbox.take()) is not None:
        yield sse.event(line.rstrip(b"\r"))


def _plain(status: int, body: dict[str, Json] | None = None) -> Answer:
    raw = canonical(body).encode() if body is not None else b""
    return Answer(status=status, headers=JSON if raw else (), chunks=_once(raw))


def _unsupported(message: Message, text: str) -> Answer:
    """By this a client learns to begin with `initialize`."""
    data: dict[str, Json] = {
        "supported": list(HANDSHAKE_PROTOCOL_VERSIONS),
        "requested": message.meta.get(PROTOCOL_VERSION_META_KEY),
    }
    error: dict[str, Json] = {"code": UNSUPPORTED_PROTOCOL_VERSION, "message": text, "data": data}
    return _plain(400, {"jsonrpc": "2.0", "id": message.id, "error": error})
