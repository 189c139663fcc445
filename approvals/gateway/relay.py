"""Act on few methods, pass the rest through untouched.

`tools/call` meets the gate; `tools/list` loses what the policy hides; everything else goes to the
server as it came, where the policy's default lets it (GATEWAY.md, "The relay").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.domain.refused import frozen
from approvals.domain.rulebook import HttpServer
from approvals.gateway import messages, tasks
from approvals.gateway.messages import BadMessage, Message
from approvals.gateway.request import Reply, Request, through

if TYPE_CHECKING:
    from approvals.gateway.calls import Calls
    from approvals.gateway.cancelling import Cancelling
    from approvals.gateway.listing import Lists
    from approvals.gateway.response import Client
    from approvals.gateway.tasks import Tasks
    from approvals.service.gate import Gate
    from approvals.service.release import Releases


HTTP_OK = 200

# What carries no action: the handshake, listings, notifications, answers to the server's questions.
ALWAYS = frozenset(
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


_KNOWN = ALWAYS | {"tools/call", "resources/read", "prompts/get"}
_FOLDED = frozenset(method.casefold() for method in _KNOWN)


class Relay:
    """Decides what becomes of one message."""

    def __init__(
        self,
        *,
        gate: Gate,
        releases: Releases,
        calls: Calls,
        tasks: Tasks,
        lists: Lists,
        cancelling: Cancelling,
    ) -> None:
        self._gate = gate
        self._releases = releases
        self._calls = calls
        self._tasks = tasks
        self._lists = lists
        self._cancelling = cancelling

    async def handle(self, request: Request, client: Client) -> Reply | None:
        """A Reply, or None when the server's own answer was passed on to the client."""
        message = request.message
        if message.method is None and await self._answers_approved_call(request):
            return Reply(body=b"", status=202)
        check_method(message)
        match message.method:
            case "tools/call" if message.has_id:
                return await self._calls.handle(request, client)
            case "tools/call":
                raise BadMessage(messages.INVALID_REQUEST, "A call needs an `id`.")
            case "notifications/cancelled" if await self._cancelling.cancelled(request):
                return Reply(body=b"", status=202)
            case "server/discover":
                return await self._lists.discovered(request, client)
            case "tasks/get" | "tasks/update" | "tasks/cancel" if tasks.is_ours(message):
                return Reply(
                    body=await self._tasks.answer(message, request.agent, request.server.name)
                )
            case "tools/list" if message.has_id:
                return await self._lists.tools(request, client)
        return await self._passed_on(request, client)

    async def _answers_approved_call(self, request: Request) -> bool:
        """Whether it was an answer to what the server asked during one, and was passed on there.

        Raises BadMessage for any other answer while one runs where it would reach it. Which session
        another process sends in is not known here, so there any of the agent's counts.
        """
        if await request.upstream.takes_answer(request.message):
            return True
        agent, server = request.agent.name, request.server
        is_running = request.upstream.is_sending or (
            isinstance(server, HttpServer)
            and await self._releases.is_sent_elsewhere(agent, server.name)
        )
        if is_running:
            raise BadMessage(messages.INVALID_REQUEST, messages.ASKED_BACK, status=409)
        return False

    async def _passed_on(self, request: Request, client: Client) -> Reply | None:
        message = request.message
        if not self._passes(request):
            return Reply(body=messages.not_offered(message))
        if message.method is not None and message.method not in ALWAYS:
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
            or method in ALWAYS
            or self._gate.other_methods(request.agent.name, request.server.name)
        )


def check_method(message: Message) -> None:
    """Raises BadMessage for a method that is nearly a known one: a server that reads methods
    loosely would run a call that was not judged as one."""
    method = message.method
    if method is not None and method not in _KNOWN and method.strip().casefold() in _FOLDED:
        raise BadMessage(messages.INVALID_REQUEST, "`method` differs only in case or blanks.")
