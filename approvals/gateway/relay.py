"""Act on few methods, pass the rest through untouched.

`tools/call` meets the gate; `tools/list` loses what the policy hides; everything else goes to the
server as it came, where the policy's default lets it (GATEWAY.md, "The relay").
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain.call import Call, Executor, canonical_arguments
from approvals.domain.policy.model import Ruling
from approvals.domain.refused import (
    Refusal,
    answer_lost,
    blocked,
    frozen,
    invalid_arguments,
    unavailable,
)
from approvals.domain.strictjson import Json, canonical, parse
from approvals.errors import InvalidArguments, InvalidJson, Overloaded, StoreFailure, Unavailable
from approvals.gateway import messages, schema, sse
from approvals.gateway.catalogue import SessionLost
from approvals.gateway.messages import BadMessage, Message
from approvals.gateway.upstream import AnswerLost
from approvals.gateway.waits import is_ours
from approvals.outbound import AnswerTooLarge
from approvals.service.fields import fields
from approvals.service.gate import Allowed, Held, Refused, Undelivered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractContextManager

    from approvals.domain.rulebook import Server
    from approvals.domain.states import Approval
    from approvals.gateway.cancelling import Cancelling
    from approvals.gateway.catalogue import Tool
    from approvals.gateway.hold import Ended, Hold
    from approvals.gateway.response import Client
    from approvals.gateway.upstream import ServerSide
    from approvals.gateway.waits import Wait, Waits
    from approvals.outbound import Answer
    from approvals.service.gate import Arrival, Gate
    from approvals.service.identity import AgentPrincipal
    from approvals.service.release import Releases


logger = logging.getLogger(__name__)

TRIES = 5
MAX_NAME = 200
MAX_JUSTIFICATION = 2000
ASKED_BACK = "An approved call is running in this session: nobody approved input to it."

# What carries no action: the handshake, listings, notifications, answers to the server's questions.
_ALWAYS = frozenset(
    {
        "initialize",
        "server/discover",
        "ping",
        "tools/list",
        "resources/list",
        "resources/templates/list",
        "prompts/list",
        "completion/complete",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "subscriptions/listen",
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/roots/list_changed",
    }
)


_KNOWN = _ALWAYS | {"tools/call", "resources/read", "prompts/get"}
_FOLDED = frozenset(method.casefold() for method in _KNOWN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request of an agent to one server.

    `left` is done once the client has gone; `streams`: it takes events; `still` raises once its key
    is revoked; `passing` counts what takes a connection.
    """

    agent: AgentPrincipal
    server: Server
    message: Message
    upstream: ServerSide
    headers: Sequence[tuple[bytes, bytes]]
    session: str | None
    left: asyncio.Future[None]
    streams: bool
    still: Callable[[], Awaitable[object]]
    passing: Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A whole response."""

    body: bytes
    status: int = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class _Misfit:
    """The arguments do not fit the tool's schema."""

    refusal: Refusal


class Relay:
    """Decides what becomes of one message."""

    def __init__(
        self,
        *,
        gate: Gate,
        hold: Hold,
        waits: Waits,
        cancelling: Cancelling,
        releases: Releases,
    ) -> None:
        self._gate = gate
        self._hold = hold
        self._waits = waits
        self._cancelling = cancelling
        self._releases = releases

    async def handle(self, request: Request, client: Client) -> Reply | None:
        """A Reply, or None when the server's own answer was passed on to the client."""
        message = request.message
        if message.method is None and request.upstream.is_sending:
            raise BadMessage(messages.INVALID_REQUEST, ASKED_BACK, status=409)
        _check_method(message)
        match message.method:
            case "tools/call" if message.has_id:
                return await self._tools_call(request, client)
            case "tools/call":
                raise BadMessage(messages.INVALID_REQUEST, "A call needs an `id`.")
            case "notifications/cancelled" if await self._cancelling.cancelled(request):
                return Reply(body=b"", status=202)
            case "tools/list" if self._hides_something(request):
                return await self._filtered_list(request)
        if not self._passes(request):
            return _not_allowed(message)
        if message.method is not None and message.method not in _ALWAYS:
            freeze = await self._gate.freeze_of(request.agent.name, request.server.name)
            if freeze is not None:
                text = frozen(freeze.reason).message
                return Reply(body=messages.error(message.id, messages.INVALID_REQUEST, text))
        await _through(request, client)
        return None

    def _passes(self, request: Request) -> bool:
        method = request.message.method
        return (
            method is None
            or method in _ALWAYS
            or self._gate.other_methods(request.agent.name, request.server.name)
        )

    def _hides_something(self, request: Request) -> bool:
        return self._gate.hides_something(request.agent.name, request.server.name)

    async def _tools_call(self, request: Request, client: Client) -> Reply | None:
        name = request.message.params.get("name")
        if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME:
            raise BadMessage(messages.INVALID_PARAMS, "`params.name` must name a tool.", status=200)
        try:
            return await self._called(request, name, client)
        except SessionLost:
            raise
        except (StoreFailure, InvalidArguments) as error:
            return _refusal(request, _cannot(error))

    async def _called(self, request: Request, name: str, client: Client) -> Reply | None:
        wait = self._waits.of(
            request.message,
            agent=request.agent.name,
            server=request.server.name,
            streams=request.streams,
        )
        for _ in range(TRIES):
            match await self._judged(request, name):
                case Allowed() as allowed:
                    return await self._run(request, name, allowed, client)
                case None:
                    return Reply(body=messages.unknown_tool(request.message, name))
                case Refused(refusal=refusal) | _Misfit(refusal=refusal):
                    return _refusal(request, refusal)
                case Held(approval=approval):
                    return await self._held(request, approval, wait, client)
                case Undelivered(approval=approval):
                    ended = await self._hold.outcome(approval)
                    if not ended.has_outcome or await self._is_first(request, approval):
                        return _ended(request, ended)
        raise Overloaded("The same call is asked by too many at once.")

    async def _held(
        self, request: Request, approval: Approval, wait: Wait, client: Client
    ) -> Reply:
        with self._cancelling.known(request, approval):
            async with self._waits.telling(wait, approval, client):
                ended = await self._hold.until_ended(
                    approval,
                    request.upstream,
                    within=wait.within,
                    left=request.left,
                    still=request.still,
                )
        if ended.time_is_over and wait.goes_on:
            agent, server = request.agent.name, request.server.name
            return Reply(
                body=self._waits.next_leg(request.message, wait, agent=agent, server=server)
            )
        await self._hand_over(request, ended)
        return _ended(request, ended)

    async def _run(
        self, request: Request, name: str, allowed: Allowed, client: Client
    ) -> Reply | None:
        """Pass an allowed call on. What it took of a limit is free again if it did not go out."""
        try:
            await _through(request, client, await _routed(request, name))
        except AnswerLost:
            return _refusal(request, answer_lost())
        except Unavailable:
            await self._gate.not_sent(allowed)
            raise
        return None

    async def _is_first(self, request: Request, approval: Approval) -> bool:
        """Whether this client is the one that gets the outcome; in doubt it is."""
        try:
            return await self._releases.hand_over(approval, request.left)
        except StoreFailure:
            logger.exception(
                "the outcome of %s may be given again", approval.id, extra=fields(approval)
            )
            return True

    async def _hand_over(self, request: Request, ended: Ended) -> None:
        """Whoever waited gets the outcome, whether or not it could be noted that it was given."""
        if ended.has_outcome:
            await self._is_first(request, ended.approval)

    async def _judged(self, request: Request, name: str) -> Arrival | _Misfit | None:
        """The gate's answer; None: for this agent there is no such tool, hidden or not."""
        agent, server = request.agent.name, request.server.name
        tool = None
        if not self._gate.hides(agent, server, name):
            tool = await request.upstream.tool(name)
        if tool is None:
            await self._gate.unknown_tool(agent, server, name)
            return None
        call = _call(request, name, tool=tool)
        verdict = self._gate.judge(call)
        if verdict.ruling is Ruling.REQUIRE_APPROVAL:
            why = schema.why_not(call.arguments, tool.input_schema)
            if why is not None:
                return _Misfit(refusal=invalid_arguments(why))
        return await self._gate.arrive(call, verdict)

    async def _filtered_list(self, request: Request) -> Reply:
        body = request.message.rewritten
        async with request.upstream.forward("POST", body, request.headers) as answer:
            request.upstream.check_session(answer)
            found = await _whole_response(answer)
        listed = found.get("result")
        if not isinstance(listed, dict) or not isinstance(tools := listed.get("tools"), list):
            return Reply(body=canonical({**found, "id": request.message.id}).encode())
        shown = [tool for tool in tools if not self._is_hidden(request, tool)]
        private = {"cacheScope": "private"} if request.message.is_modern else {}
        return Reply(body=messages.result(request.message, {**listed, "tools": shown, **private}))

    def _is_hidden(self, request: Request, tool: Json) -> bool:
        name = tool.get("name") if isinstance(tool, dict) else None
        return not isinstance(name, str) or self._gate.hides(
            request.agent.name, request.server.name, name
        )


def _check_method(message: Message) -> None:
    """A server that reads methods loosely would run a call that was not judged as one."""
    method = message.method
    if method is not None and method not in _KNOWN and method.strip().casefold() in _FOLDED:
        raise BadMessage(messages.INVALID_REQUEST, "`method` differs only in case or blanks.")


async def _routed(request: Request, name: str) -> Sequence[tuple[bytes, bytes]]:
    """The headers of a call, those that repeat arguments made from the arguments themselves: what
    was judged is the body."""
    made = await request.upstream.tool_headers(name, canonical(_arguments(request)))
    kept = [(key, value) for key, value in request.headers if key.decode() not in made]
    return [*kept, *((key.encode(), value.encode("latin-1")) for key, value in made.items())]


async def _through(
    request: Request,
    client: Client,
    headers: Sequence[tuple[bytes, bytes]] | None = None,
) -> None:
    message = request.message
    body = (message.without("requestState") if is_ours(message) else message).rewritten
    with request.passing():
        async with request.upstream.forward("POST", body, headers or request.headers) as answer:
            await client.pass_on(answer)


async def _whole_response(answer: Answer) -> dict[str, Json]:
    try:
        async with asyncio.timeout(30):
            kind = (answer.header(b"content-type") or b"").partition(b";")[0].strip().lower()
            if kind != b"text/event-stream":
                return _object(parse(await answer.body()))
            async for data in sse.data_of(answer.chunks):
                body = _object(parse(data)) if data.strip() else {}
                if "result" in body or "error" in body:
                    return body
    except (InvalidJson, AnswerTooLarge, TimeoutError) as error:
        raise Unavailable("The server's tool list cannot be read.") from error
    raise Unavailable("The server did not give its tool list.")


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise Unavailable("The server did not answer with a JSON-RPC message.")
    return value


def _call(request: Request, name: str, *, tool: Tool) -> Call:
    said = request.message.meta.get(messages.JUSTIFICATION)
    if isinstance(said, str) and (len(said) > MAX_JUSTIFICATION or "\0" in said):
        raise InvalidArguments(f"A justification has at most {MAX_JUSTIFICATION} characters.")
    arguments = _arguments(request)
    return Call(
        executor=Executor.GATEWAY,
        server=request.server.name,
        tool=name,
        arguments=canonical_arguments(arguments),
        agent=request.agent.name,
        owner=request.agent.owner,
        session=request.session,
        definition=tool.definition,
        justification=said if isinstance(said, str) else None,
        argument_order=tuple(arguments),
    )


def _arguments(request: Request) -> dict[str, Json]:
    arguments = request.message.params.get("arguments", {})
    if arguments is None:
        return {}
    if not isinstance(arguments, dict):
        raise InvalidArguments("The arguments of a call are a JSON object.")
    return arguments


def _cannot(error: StoreFailure | InvalidArguments) -> Refusal:
    if isinstance(error, InvalidArguments):
        return invalid_arguments(str(error))
    return unavailable(str(error))


def _refusal(request: Request, refusal: Refusal) -> Reply:
    return Reply(body=messages.refused(request.message, refusal))


def _not_allowed(message: Message) -> Reply:
    text = blocked(f"{message.method} is not offered through it", "(default deny)").message
    return Reply(body=messages.error(message.id, messages.INVALID_REQUEST, text))


def _ended(request: Request, ended: Ended) -> Reply:
    answer = ended.answer
    if answer is not None and answer.error is not None:
        return Reply(body=messages.error_body(request.message.id, answer.error))
    if answer is not None:
        return Reply(body=messages.result(request.message, answer.result))
    assert ended.refusal is not None  # noqa: S101 (Ended carries one or the other)
    return Reply(body=messages.refused(request.message, ended.refusal))
