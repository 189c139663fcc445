"""`/mcp/{server}`: the HTTP side of the gateway, as a thin ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from mcp.shared.inbound import NAME_BEARING_METHODS, decode_header_value
from mcp_types.version import LATEST_MODERN_VERSION

from approvals.domain.rulebook import CommandServer, HttpServer
from approvals.errors import (
    ApprovalsError,
    BodyTooLarge,
    Forbidden,
    InvalidInput,
    InvalidJson,
    NotFound,
    StoreFailure,
    Unauthenticated,
)
from approvals.gateway import messages, tasks
from approvals.gateway.catalogue import SessionLost
from approvals.gateway.http_exchange import (
    Session,
    end_session,
    open_session,
    speaks_without_sessions,
)
from approvals.gateway.messages import BadMessage, Message
from approvals.gateway.on_its_own import OLDER_MESSAGE, OnItsOwn
from approvals.gateway.own import OWN_MESSAGE
from approvals.gateway.request import Request
from approvals.gateway.response import Response
from approvals.gateway.sessions import Busy
from approvals.gateway.stdio.upstream import StdioUpstream, own_session
from approvals.gateway.streams import Streams
from approvals.gateway.upstream_http import HttpUpstream
from approvals.wire import bearer, gone, header, read_body, text_header

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from starlette.types import Receive, Scope, Send

    from approvals.domain.rulebook import Rulebook, Server
    from approvals.domain.states import Approval
    from approvals.gateway.catalogue import Catalogue
    from approvals.gateway.http_exchange import Pools
    from approvals.gateway.relay import Relay
    from approvals.gateway.sessions import Sessions
    from approvals.gateway.stdio.processes import Processes
    from approvals.gateway.upstream import ServerSide
    from approvals.service.identity import AgentPrincipal, Identity
    from approvals.service.rules import Rules

logger = logging.getLogger(__name__)

END_AGAIN = timedelta(milliseconds=100)

# What of a request reaches the server. Never the agent's key, a cookie or a forwarding header.
# The body is written anew, so its type is ours to name.
_PASSED = frozenset({b"accept", b"mcp-protocol-version", b"mcp-method", b"mcp-name"})
_JSON_TYPES = frozenset(
    {"application/json", "application/json;charset=utf-8", "application/json;charset=utf8"}
)
MAX_OPEN = 100
"""Requests of one agent that may be passing through at once, streams among them."""
_NAMED_BY = {**NAME_BEARING_METHODS, **dict.fromkeys(tasks.METHODS, "taskId")}
_ROUTING = frozenset({b"mcp-method", b"mcp-name"})
_PARAM = b"mcp-param-"
_STATUS: dict[type[ApprovalsError], int] = {
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    SessionLost: 404,
    BodyTooLarge: 413,
    StoreFailure: 503,
}


class Gateway:
    """Authenticates, reads strictly, hands to the relay, and notices when the client leaves."""

    def __init__(
        self,
        *,
        rules: Rules,
        identity: Identity,
        relay: Relay,
        sessions: Sessions,
        catalogue: Catalogue,
        pools: Pools,
        processes: Processes,
        upstream_timeout: timedelta,
    ) -> None:
        self._rules = rules
        self._identity = identity
        self._relay = relay
        self._sessions = sessions
        self._catalogue = catalogue
        self._pools = pools
        self._processes = processes
        self._upstream_timeout = upstream_timeout
        self._busy = Busy()
        self._ending: dict[str, asyncio.Task[None]] = {}
        self._open: Counter[str] = Counter()
        self._streams = Streams()
        rules.listeners.append(self._reloaded)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request; whatever goes wrong, the answer is a clean JSON-RPC error."""
        response = Response(send)
        try:
            await self._handle(scope, receive, response)
        except BadMessage as error:
            await response.error(error.status, error.number, str(error))
        except InvalidJson as error:
            await response.error(400, messages.PARSE_ERROR, str(error))
        except ApprovalsError as error:
            await response.error(_status(error), messages.INVALID_REQUEST, str(error))
        except Exception:
            logger.exception("a gateway request failed")
            text = "The gateway failed. Of a call it is not known whether it ran."
            await response.error(500, messages.INTERNAL_ERROR, text)

    async def _handle(self, scope: Scope, receive: Receive, response: Response) -> None:
        agent = await self._identity.agent(bearer(scope))
        server = self._server(scope, agent)
        session = self._session(scope, agent, server)
        response.seal = lambda id_: self._sessions.seal(id_, agent=agent.name, server=server.name)
        if scope["method"] != "POST":
            upstream = self._upstream(agent.name, server, session, _NO_MESSAGE)
            listening = self._streams.listening(agent.name, server.name, response, None)
            with self._one_more_open(agent), listening:
                await self._plain(scope, receive, response, upstream, session)
            return
        _check_type(scope)
        message = messages.read(await read_body(scope, receive))
        response.id = message.id
        _check_headers(scope, message)
        upstream = self._upstream(agent.name, server, session, message)

        async def work(left: asyncio.Future[None]) -> None:
            request = Request(
                agent=agent,
                server=server,
                message=message,
                upstream=upstream,
                headers=_passed(scope, session),
                said=_said(scope),
                session=session.id,
                left=left,
                streams=b"text/event-stream" in (header(scope, b"accept") or b""),
                still=lambda: self._identity.agent(bearer(scope)),
                passing=lambda: self._one_more_open(agent),
            )
            with self._told_of_reloads(request, response):
                reply = await self._relay.handle(request, response)
            if reply is not None:
                await response.whole(reply.status, reply.body)

        await _unless_gone(work, receive)

    def _told_of_reloads(
        self, request: Request, response: Response
    ) -> AbstractContextManager[None]:
        if request.message.method != "subscriptions/listen":
            return nullcontext()
        agent, server = request.agent.name, request.server.name
        return self._streams.listening(agent, server, response, request.message)

    @contextmanager
    def _one_more_open(self, agent: AgentPrincipal) -> Iterator[None]:
        """What passes through to a server takes a connection; held calls take none."""
        if self._open[agent.name] >= MAX_OPEN:
            raise BadMessage(
                messages.INVALID_REQUEST, "Too many open requests; close some.", status=429
            )
        self._open[agent.name] += 1
        try:
            yield
        finally:
            self._open[agent.name] -= 1

    async def _plain(
        self,
        scope: Scope,
        receive: Receive,
        response: Response,
        upstream: ServerSide,
        session: Session,
    ) -> None:
        """GET (the server's own stream) and DELETE (the end of a session) carry no message."""
        if scope["method"] not in {"GET", "DELETE"}:
            raise BadMessage(messages.INVALID_REQUEST, "Use POST, GET or DELETE.", status=405)
        if scope["method"] == "DELETE" and session.id and upstream.is_sending:
            self._end_once(upstream, session, _passed(scope, session))
            await response.whole(202, b"")
            return

        async def work(_: asyncio.Future[None]) -> None:
            async with upstream.forward(scope["method"], b"", _passed(scope, session)) as answer:
                await response.pass_on(answer)

        await _unless_gone(work, receive)

    def _end_once(
        self, upstream: ServerSide, session: Session, headers: Sequence[tuple[bytes, bytes]]
    ) -> None:
        id_ = session.id or ""
        if id_ not in self._ending:
            task = asyncio.create_task(self._end_later(upstream, session, headers))
            self._ending[id_] = task
            task.add_done_callback(lambda _: self._ending.pop(id_, None))

    async def _end_later(
        self, upstream: ServerSide, session: Session, headers: Sequence[tuple[bytes, bytes]]
    ) -> None:
        """End a session once the approved call in it has come back."""
        del session
        while upstream.is_sending:  # noqa: ASYNC110 (rare, and bounded)
            await asyncio.sleep(END_AGAIN.total_seconds())
        try:
            async with (
                asyncio.timeout(self._upstream_timeout.total_seconds()),
                upstream.forward("DELETE", b"", headers) as answer,
            ):
                logger.debug("a session was ended late: %d", answer.status)
        except (ApprovalsError, TimeoutError):
            logger.info("a session could not be ended")

    def upstream_of(self, approval: Approval) -> OnItsOwn | None:
        """The server for a call that no request waits for; None when the file has it no more."""
        server = self._rules.current.servers.get(approval.call.server)
        if server is None:
            return None
        agent, without = approval.call.agent, Session(id=None, protocol=LATEST_MODERN_VERSION)
        modern = self._upstream(agent, server, without, OWN_MESSAGE)

        async def is_spoken() -> bool:
            if isinstance(modern, StdioUpstream):
                return await modern.is_spoken()
            assert isinstance(server, HttpServer)  # noqa: S101 (there is no third kind)
            return await speaks_without_sessions(self._pools, server)

        async def older() -> tuple[ServerSide, Callable[[], Awaitable[None]] | None]:
            if not isinstance(server, HttpServer):
                session = Session(id=own_session(), protocol=None)
                return self._upstream(agent, server, session, OLDER_MESSAGE), None
            session = await open_session(self._pools, server)
            end = partial(end_session, self._pools, server, session)
            return self._upstream(agent, server, session, OLDER_MESSAGE), end

        return OnItsOwn(modern, is_spoken, older)

    def _reloaded(self, before: Rulebook, after: Rulebook) -> None:
        self._processes.drop_others()
        self._streams.reloaded(before, after)

    async def close(self) -> None:
        """Let go of sessions that were still to be ended, and of clients that were to be told."""
        await self._streams.close()
        tasks = list(self._ending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _upstream(
        self, agent: str, server: Server, session: Session, message: Message
    ) -> ServerSide:
        if isinstance(server, CommandServer):
            return StdioUpstream(
                server=server,
                agent=agent,
                session=session.id,
                message=message,
                processes=self._processes,
                catalogue=self._catalogue,
                timeout=self._upstream_timeout,
                is_current=lambda: self._is_current(server),
            )
        assert isinstance(server, HttpServer)  # noqa: S101 (there is no third kind)
        return HttpUpstream(
            server=server,
            session=session,
            message=message,
            pools=self._pools,
            catalogue=self._catalogue,
            busy=self._busy,
            timeout=self._upstream_timeout,
            is_current=lambda: self._is_current(server),
        )

    def _is_current(self, server: Server) -> bool:
        """Whether calls to a server of this name still go where they went when it was opened."""
        now = self._rules.current.servers.get(server.name)
        return now is not None and replace(now, policy=server.policy) == server

    def _server(self, scope: Scope, agent: AgentPrincipal) -> Server:
        """A server that the file gives to the agent. What a person wraps is started by that person:
        it is never reached here, with the credentials of the file. Raises NotFound."""
        name = scope["path_params"]["server"]
        rulebook = self._rules.current
        server = rulebook.servers.get(name)
        of_the_file = agent.name in rulebook.directory.agents
        if not of_the_file or rulebook.policy_of(agent.name, name) is None or server is None:
            raise NotFound("There is no such server for this agent.")
        return server

    def _session(self, scope: Scope, agent: AgentPrincipal, server: Server) -> Session:
        """Raises NotFound for a session that was not given to this agent: it then starts anew."""
        sealed = text_header(scope, b"mcp-session-id")
        protocol = text_header(scope, b"mcp-protocol-version")
        if sealed is None:
            return Session(id=None, protocol=protocol)
        opened = self._sessions.open(sealed, agent=agent.name, server=server.name)
        if opened is None:
            raise NotFound("This session is not known. Start a new one.")
        return Session(id=opened, protocol=protocol)


async def _unless_gone(
    work: Callable[[asyncio.Future[None]], Awaitable[None]], receive: Receive
) -> None:
    """Do `work` while the client is there. It is given a future that is done once it has left."""
    leaving = asyncio.ensure_future(gone(receive))
    working = asyncio.ensure_future(work(leaving))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


def _passed(scope: Scope, session: Session) -> Sequence[tuple[bytes, bytes]]:
    headers = [(name, value.strip(b" \t")) for name, value in scope["headers"] if name in _PASSED]
    if session.id is not None:
        headers.append((b"mcp-session-id", session.id.encode("latin-1")))
    return [*headers, (b"content-type", b"application/json")]


def _check_type(scope: Scope) -> None:
    """Only plain JSON: a server that decoded another charset would read another message."""
    if sum(key == b"content-type" for key, _ in scope["headers"]) > 1:
        raise BadMessage(messages.INVALID_REQUEST, "`Content-Type` appears twice.", status=415)
    given = (text_header(scope, b"content-type") or "").lower().replace(" ", "").replace('"', "")
    if given not in _JSON_TYPES:
        raise BadMessage(
            messages.INVALID_REQUEST, "Send `Content-Type: application/json`.", status=415
        )


def _check_headers(scope: Scope, message: Message) -> None:
    """What a proxy read in the headers must be what the body says (SEP-2243)."""
    routing = [key for key, _ in scope["headers"] if key in _ROUTING or key.startswith(_PARAM)]
    if len(routing) > len(set(routing)):
        raise BadMessage(messages.HEADER_MISMATCH, "A routing header appears twice.")
    method = text_header(scope, b"mcp-method")
    if method is not None and method != message.method:
        raise BadMessage(messages.HEADER_MISMATCH, "`Mcp-Method` is not the method of the body.")
    member = _NAMED_BY.get(message.method or "")
    name = text_header(scope, b"mcp-name")
    if member is None or (name is None and not _is_call(message)):
        return
    if name is None or decode_header_value(name) != message.params.get(member):
        raise BadMessage(messages.HEADER_MISMATCH, "`Mcp-Name` is not the name in the body.")


def _is_call(message: Message) -> bool:
    """A call of the 2026 era, whose name has to be in a header."""
    return message.is_modern and message.method == "tools/call"


def _said(scope: Scope) -> dict[str, str]:
    """The headers that repeat arguments of a call."""
    return {
        key.decode("latin-1"): value.decode("latin-1").strip(" \t")
        for key, value in scope["headers"]
        if key.startswith(_PARAM)
    }


def _status(error: ApprovalsError) -> int:
    if isinstance(error, InvalidInput):
        return 400
    return next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 400)


_NO_MESSAGE = Message(body={}, method=None, id=None, has_id=False, params={})
