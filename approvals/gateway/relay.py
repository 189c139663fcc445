"""Act on few methods, pass the rest through untouched.

`tools/call` meets the gate; `tools/list` loses what the policy hides; everything else goes to the
server as it came, where the policy's default lets it (GATEWAY.md, "The relay").
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain.call import Call, Executor, canonical_arguments
from approvals.domain.policy.model import Ruling
from approvals.domain.refusal import Refusal, blocked, invalid_arguments, unavailable
from approvals.domain.strictjson import Json, canonical, parse
from approvals.errors import InvalidArguments, InvalidJson, StoreFailure, Unavailable
from approvals.gateway import messages, schema, sse
from approvals.gateway.messages import BadMessage, Message
from approvals.outbound import AnswerTooLarge
from approvals.service.gate import Allowed, HandedOver, Held, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.domain.rulebook import Server
    from approvals.gateway.catalogue import Tool
    from approvals.gateway.hold import Ended, Hold
    from approvals.gateway.upstream_http import HttpUpstream
    from approvals.outbound import Answer
    from approvals.service.gate import Arrival, Gate
    from approvals.service.identity import AgentPrincipal


PassOn = Callable[["Answer"], Awaitable[None]]

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
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request of an agent to one server."""

    agent: AgentPrincipal
    server: Server
    message: Message
    upstream: HttpUpstream
    headers: Sequence[tuple[bytes, bytes]]
    session: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A whole response. `ended`: the approval whose outcome it hands over."""

    body: bytes
    status: int = 200
    ended: Ended | None = None


class Relay:
    """Decides what becomes of one message."""

    def __init__(self, *, gate: Gate, hold: Hold) -> None:
        self._gate = gate
        self._hold = hold

    async def handle(self, request: Request, pass_on: PassOn) -> Reply | None:
        """A Reply, or None when the server's own answer was given to `pass_on`."""
        message = request.message
        match message.method:
            case "tools/call" if message.has_id:
                return await self._tools_call(request, pass_on)
            case "tools/call":
                raise BadMessage(messages.INVALID_REQUEST, "A call needs an `id`.")
            case "tools/list" if self._hides_something(request):
                return await self._filtered_list(request)
        if not self._passes(request):
            return _not_allowed(message)
        await _through(request, pass_on)
        return None

    def _passes(self, request: Request) -> bool:
        method = request.message.method
        return (
            method is None
            or method in _ALWAYS
            or method.startswith("notifications/")
            or self._gate.other_methods(request.agent.name, request.server.name)
        )

    def _hides_something(self, request: Request) -> bool:
        return bool(request.server.policy.hide)

    async def _tools_call(self, request: Request, pass_on: PassOn) -> Reply | None:
        name = request.message.params.get("name")
        if not isinstance(name, str) or not name:
            raise BadMessage(messages.INVALID_PARAMS, "`params.name` must name a tool.", status=200)
        try:
            arrival = await self._judged(request, name)
        except (StoreFailure, InvalidArguments) as error:
            return _refusal(request, _cannot(error))
        match arrival:
            case Allowed():
                await _through(request, pass_on)
                return None
            case Refused(hidden=True) | None:
                return Reply(body=messages.unknown_tool(request.message, name))
            case Refused(refusal=refusal):
                return _refusal(request, refusal)
            case Refusal():
                return _refusal(request, arrival)
            case Held(approval=approval):
                ended = await self._hold.until_ended(approval, request.upstream)
            case HandedOver(approval=approval):
                ended = await self._hold.outcome(approval)
        return _ended(request, ended)

    async def _judged(self, request: Request, name: str) -> Arrival | Refusal | None:
        """The gate's answer; None: for this agent there is no such tool."""
        if self._gate.hides(request.agent.name, request.server.name, name):
            call = _call(request, name, tool=None)
            await self._gate.arrive(call, self._gate.judge(call))
            return None
        tool = await request.upstream.tool(name)
        if tool is None:
            return None
        call = _call(request, name, tool=tool)
        verdict = self._gate.judge(call)
        if verdict.ruling is Ruling.REQUIRE_APPROVAL:
            why = schema.why_not(_arguments(request), tool.input_schema)
            if why is not None:
                return invalid_arguments(why)
        return await self._gate.arrive(call, verdict)

    async def _filtered_list(self, request: Request) -> Reply:
        async with request.upstream.forward("POST", request.message.raw, request.headers) as answer:
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


async def _through(request: Request, pass_on: PassOn) -> None:
    async with request.upstream.forward("POST", request.message.raw, request.headers) as answer:
        await pass_on(answer)


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


def _call(request: Request, name: str, *, tool: Tool | None) -> Call:
    said = request.message.meta.get(messages.JUSTIFICATION)
    arguments = _arguments(request)
    return Call(
        executor=Executor.GATEWAY,
        server=request.server.name,
        tool=name,
        arguments=canonical_arguments(arguments),
        agent=request.agent.name,
        owner=request.agent.owner,
        session=request.session,
        definition=tool.definition if tool else None,
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
        return Reply(body=messages.error_body(request.message.id, answer.error), ended=ended)
    if answer is not None:
        return Reply(body=messages.result(request.message, answer.result), ended=ended)
    assert ended.refusal is not None  # noqa: S101 (Ended carries one or the other)
    return Reply(body=messages.refused(request.message, ended.refusal), ended=ended)
