"""Act on few methods, pass the rest through untouched.

`tools/call` meets the gate; `tools/list` loses what the policy hides; everything else goes to the
server as it came, where the policy's default lets it (GATEWAY.md, "The relay").
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from approvals.domain.refused import blocked, frozen
from approvals.domain.strictjson import Json, as_read, parse
from approvals.errors import InvalidJson, Unavailable
from approvals.gateway import gateway_tools, messages, sse, tasks
from approvals.gateway.messages import BadMessage, Message
from approvals.gateway.request import Reply, Request, through
from approvals.outbound import AnswerTooLarge

if TYPE_CHECKING:
    from collections.abc import Collection

    from approvals.gateway.calls import Calls
    from approvals.gateway.cancelling import Cancelling
    from approvals.gateway.gateway_tools import GatewayTools
    from approvals.gateway.response import Client
    from approvals.gateway.tasks import Tasks
    from approvals.outbound import Answer
    from approvals.service.gate import Gate


HTTP_OK = 200
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
        "tasks/get",
        "tasks/update",
        "tasks/cancel",
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/roots/list_changed",
    }
)


_KNOWN = _ALWAYS | {"tools/call", "resources/read", "prompts/get"}
_FOLDED = frozenset(method.casefold() for method in _KNOWN)


class Relay:
    """Decides what becomes of one message."""

    def __init__(
        self,
        *,
        gate: Gate,
        calls: Calls,
        tasks: Tasks,
        gateway_tools: GatewayTools,
        cancelling: Cancelling,
    ) -> None:
        self._gate = gate
        self._calls = calls
        self._tasks = tasks
        self._gateway_tools = gateway_tools
        self._cancelling = cancelling

    async def handle(self, request: Request, client: Client) -> Reply | None:
        """A Reply, or None when the server's own answer was passed on to the client."""
        message = request.message
        if message.method is None and request.upstream.is_sending:
            raise BadMessage(messages.INVALID_REQUEST, ASKED_BACK, status=409)
        _check_method(message)
        match message.method:
            case "tools/call" if message.has_id:
                return await self._calls.handle(request, client)
            case "tools/call":
                raise BadMessage(messages.INVALID_REQUEST, "A call needs an `id`.")
            case "notifications/cancelled" if await self._cancelling.cancelled(request):
                return Reply(body=b"", status=202)
            case "server/discover":
                return await self._discovered(request, client)
            case "tasks/get" | "tasks/update" | "tasks/cancel" if tasks.is_ours(message):
                return Reply(
                    body=await self._tasks.answer(message, request.agent, request.server.name)
                )
            case "tools/list" if self._changes_lists(request):
                return await self._filtered_list(request)
        return await self._passed_on(request, client)

    async def _passed_on(self, request: Request, client: Client) -> Reply | None:
        message = request.message
        if not self._passes(request):
            return _not_allowed(message)
        if message.method is not None and message.method not in _ALWAYS:
            freeze = await self._gate.freeze_of(request.agent.name, request.server.name)
            if freeze is not None:
                text = frozen(freeze.reason).message
                return Reply(body=messages.error(message.id, messages.INVALID_REQUEST, text))
        await through(request, client)
        return None

    def _passes(self, request: Request) -> bool:
        method = request.message.method
        return (
            method is None
            or method in _ALWAYS
            or self._gate.other_methods(request.agent.name, request.server.name)
        )

    def _changes_lists(self, request: Request) -> bool:
        agent = request.agent.name
        hides = self._gate.hides_something(agent, request.server.name)
        return hides or self._gateway_tools.offered_to(agent)

    async def _discovered(self, request: Request, client: Client) -> Reply | None:
        """What the server can do, and what is offered here."""
        body = request.message.rewritten
        forwarded = request.upstream.forward("POST", body, request.headers)
        with request.passing():
            async with forwarded as answer:
                if answer.status != HTTP_OK:
                    await client.pass_on(answer)
                    return None
                found = await _whole_response(answer)
        found = {**found, "id": request.message.id}
        listed = found.get("result")
        if isinstance(listed, dict):
            found["result"] = tasks.offered(listed)
        return Reply(body=as_read(found).encode())

    async def _filtered_list(self, request: Request) -> Reply:
        body = request.message.rewritten
        async with request.upstream.forward("POST", body, request.headers) as answer:
            request.upstream.check_session(answer)
            found = await _whole_response(answer)
        listed = found.get("result")
        if not isinstance(listed, dict) or not isinstance(tools := listed.get("tools"), list):
            return Reply(body=as_read({**found, "id": request.message.id}).encode())
        shown = [tool for tool in tools if not self._is_hidden(request, tool)]
        if self._gateway_tools.offered_to(request.agent.name):
            shown = [tool for tool in shown if not _is_named(tool, gateway_tools.NAMES)]
            shown += [] if "cursor" in request.message.params else gateway_tools.TOOLS
        private = {"cacheScope": "private"} if request.message.is_modern else {}
        return Reply(body=messages.result(request.message, {**listed, "tools": shown, **private}))

    def _is_hidden(self, request: Request, tool: Json) -> bool:
        name = tool.get("name") if isinstance(tool, dict) else None
        return not isinstance(name, str) or self._gate.hides(
            request.agent.name, request.server.name, name
        )


def _is_named(tool: Json, names: Collection[str]) -> bool:
    return isinstance(tool, dict) and tool.get("name") in names


def _check_method(message: Message) -> None:
    """A server that reads methods loosely would run a call that was not judged as one."""
    method = message.method
    if method is not None and method not in _KNOWN and method.strip().casefold() in _FOLDED:
        raise BadMessage(messages.INVALID_REQUEST, "`method` differs only in case or blanks.")


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
        raise Unavailable("The server's answer cannot be read.") from error
    raise Unavailable("The server did not answer.")


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise Unavailable("The server did not answer with a JSON-RPC message.")
    return value


def _not_allowed(message: Message) -> Reply:
    text = blocked(f"{message.method} is not offered through it", "(default deny)").message
    return Reply(body=messages.error(message.id, messages.INVALID_REQUEST, text))
