"""`tools/call`: judged, held as its client can wait, released once, or refused in words."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp.shared.inbound import ERROR_CODE_HTTP_STATUS, validate_mcp_param_headers

from approvals.domain.call import Call, Executor, canonical_arguments
from approvals.domain.policy.model import Ruling
from approvals.domain.refused import (
    Refusal,
    answer_lost,
    invalid_arguments,
    unavailable,
)
from approvals.domain.strictjson import Json, canonical
from approvals.errors import InvalidArguments, Overloaded, StoreFailure, Unavailable
from approvals.gateway import gateway_tools, messages, schema, tasks
from approvals.gateway.catalogue import SessionLost
from approvals.gateway.hold import own_call
from approvals.gateway.messages import BadMessage
from approvals.gateway.own import can_be_asked
from approvals.gateway.request import Reply, Request, through
from approvals.gateway.upstream import AnswerLost, plainly
from approvals.gateway.waits import NOT_OURS
from approvals.service.fields import fields
from approvals.service.gate import Allowed, Held, Refused, Undelivered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from approvals.domain.states import Approval
    from approvals.gateway.cancelling import Cancelling, Waiting
    from approvals.gateway.catalogue import Tool
    from approvals.gateway.gateway_tools import GatewayTools
    from approvals.gateway.hold import Ended, Hold
    from approvals.gateway.response import Client
    from approvals.gateway.tasks import Tasks
    from approvals.gateway.waits import Answers, Wait, Waits
    from approvals.service.approvals import Approvals
    from approvals.service.definitions import Definitions
    from approvals.service.detached import Detached
    from approvals.service.gate import Arrival, Gate
    from approvals.service.release import Releases

logger = logging.getLogger(__name__)

HTTP_OK = 200
TRIES = 5
_GOES_ON = frozenset({Ruling.ALLOW, Ruling.REQUIRE_APPROVAL})
SENT_BEFORE = "SENT: the call was sent before. The answer cannot be passed on now; send it again."
NOT_WANTED = (messages.INVALID_REQUEST, "NOT EXECUTED: it was cancelled before it was sent.")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Misfit:
    """The arguments do not fit the tool's schema."""

    refusal: Refusal


class Calls:
    """Takes one call through the gate and through its wait."""

    def __init__(
        self,
        *,
        gate: Gate,
        definitions: Definitions,
        hold: Hold,
        waits: Waits,
        tasks: Tasks,
        gateway_tools: GatewayTools,
        detached: Detached,
        cancelling: Cancelling,
        releases: Releases,
        approvals: Approvals,
    ) -> None:
        self._gate = gate
        self._approvals = approvals
        self._definitions = definitions
        self._hold = hold
        self._waits = waits
        self._tasks = tasks
        self._gateway_tools = gateway_tools
        self._detached = detached
        self._cancelling = cancelling
        self._releases = releases

    async def handle(self, request: Request, client: Client) -> Reply | None:
        """A Reply, or None when the server's own answer was passed on to the client."""
        name = request.message.tool
        with self._cancelling.known(request) as waiting:
            return await self._answered(request, name, client, waiting)

    async def _answered(
        self, request: Request, name: str, client: Client, waiting: Waiting
    ) -> Reply | None:
        try:
            if name in gateway_tools.NAMES and self._gateway_tools.offered_to(request.agent.name):
                return await self._gateway_tool(request, name, client)
            wait = self._wait(request)
            if wait.answers is not None:
                approval = await self._asked(request, wait.answers)
                await self._cancelling.held(request, waiting, approval)
                return await self._held(request, approval, wait, client)
            return await self._called(request, name, client, waiting, wait)
        except SessionLost:
            raise
        except (StoreFailure, InvalidArguments) as error:
            return _refusal(request, _cannot(error))

    async def _gateway_tool(self, request: Request, name: str, client: Client) -> Reply:
        agent, server = request.agent, request.server.name
        approval = await self._gateway_tools.approval(request.message.arguments, agent, server)
        if name == gateway_tools.WAIT:
            return await self._held(request, approval, self._wait(request), client)
        status = self._gateway_tools.status(approval)
        modern = {"resultType": "complete"} if request.message.is_modern else {}
        return Reply(body=messages.result(request.message, {**status, **modern}))

    def _wait(self, request: Request) -> Wait:
        return self._waits.of(
            request.message,
            agent=request.agent.name,
            server=request.server.name,
            streams=request.streams,
        )

    async def _called(
        self, request: Request, name: str, client: Client, waiting: Waiting, wait: Wait
    ) -> Reply | None:
        as_task = tasks.are_declared(request.message)
        for _ in range(TRIES):
            match await self._judged(request, name, detached=as_task):
                case Allowed() as allowed if waiting.unwanted:
                    await self._gate.not_sent(allowed)
                    return Reply(body=messages.error(request.message.id, *NOT_WANTED))
                case Allowed() as allowed:
                    return await self._run(request, name, allowed, client)
                case None:
                    return Reply(body=messages.unknown_tool(request.message, name))
                case Refused(refusal=refusal) | _Misfit(refusal=refusal):
                    return _refusal(request, refusal)
                case Held(approval=approval):
                    await self._cancelling.held(request, waiting, approval)
                    if as_task:
                        return await self._as_task(request, approval)
                    return await self._held(request, approval, wait, client)
                case Undelivered(approval=approval):
                    ended = await self._hold.outcome(approval)
                    if not ended.has_outcome or await self._is_first(request, approval):
                        return _ended(request, ended)
        raise Overloaded("The same call is asked by too many at once.")

    async def _asked(self, request: Request, answers: Answers) -> Approval:
        """The call whose server asked: who answers goes on with it, and nobody is asked anew."""
        try:
            approval = await own_call(
                self._approvals, request.agent, request.server.name, answers.approval_id
            )
        except StoreFailure as error:
            raise BadMessage(messages.INTERNAL_ERROR, SENT_BEFORE, status=503) from error
        if approval is None:
            raise BadMessage(messages.INVALID_PARAMS, NOT_OURS, status=200)
        return approval

    async def _as_task(self, request: Request, approval: Approval) -> Reply:
        """The client goes on without waiting."""
        approval = await self._detached.detach(approval)
        return Reply(body=await self._tasks.created(request.message, approval))

    async def _held(
        self, request: Request, approval: Approval, wait: Wait, client: Client
    ) -> Reply:
        async with self._waits.telling(wait, approval, client) as telling:
            if telling is not None:
                request.upstream.hear(telling)
            ended = await self._hold.until_ended(
                approval,
                request.upstream,
                within=wait.within,
                left=request.left,
                still=request.still,
                answers=wait.answers,
            )
        if ended.asks is not None and not can_be_asked(request.message):
            ended = await self._hold.outcome(ended.approval)
        if ended.asks is not None:
            server = request.server.name
            return Reply(
                body=self._waits.question(
                    request.message, wait, ended.approval, ended.asks, server=server
                )
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
            await through(request, client, await _routed(request, name))
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

    async def _judged(
        self, request: Request, name: str, *, detached: bool
    ) -> Arrival | _Misfit | None:
        """The gate's answer; None: for this agent there is no such tool, hidden or not."""
        agent, server = request.agent.name, request.server.name
        tool = None
        if not self._gate.hides(agent, server, name):
            tool = await request.upstream.tool(name)
        if tool is None:
            await self._gate.unknown_tool(agent, server, name)
            return None
        _check_said(request, tool)
        call = _call(request, name, tool=tool)
        verdict = self._gate.judge(call)
        if verdict.ruling in _GOES_ON and not await self._definitions.accepts(
            request.server, name, tool.definition.hash
        ):
            return await self._gate.not_accepted(call, verdict)
        if verdict.ruling is Ruling.REQUIRE_APPROVAL:
            why = schema.why_not(call.arguments, tool.input_schema)
            if why is not None:
                return _Misfit(refusal=invalid_arguments(why))
        return await self._gate.arrive(call, verdict, detached=detached)


async def _routed(request: Request, name: str) -> Sequence[tuple[bytes, bytes]]:
    """The headers of a call, those that repeat arguments made from the arguments themselves: what
    was judged is the body."""
    made = await request.upstream.tool_headers(name, canonical(request.message.arguments))
    kept = [(key, value) for key, value in request.headers if key.decode() not in made]
    return [*kept, *((key.encode(), value.encode("latin-1")) for key, value in made.items())]


def _check_said(request: Request, tool: Tool) -> None:
    """Raises BadMessage where a header does not say what its argument says (SEP-2243)."""
    if request.message.is_modern:
        plain = plainly(request.message.arguments)
        wrong = validate_mcp_param_headers(tool.input_schema, plain, request.said)
        if wrong is not None:
            raise BadMessage(wrong.code, wrong.message)


def _call(request: Request, name: str, *, tool: Tool) -> Call:
    arguments = request.message.arguments
    return Call(
        executor=Executor.GATEWAY,
        server=request.server.name,
        tool=name,
        arguments=canonical_arguments(arguments),
        agent=request.agent.name,
        owner=request.agent.owner,
        session=request.session,
        definition=tool.definition,
        justification=request.message.justification,
        argument_order=tuple(arguments),
    )


def _cannot(error: StoreFailure | InvalidArguments) -> Refusal:
    if isinstance(error, InvalidArguments):
        return invalid_arguments(str(error))
    return unavailable(str(error))


def _status(request: Request, error: Mapping[str, Json]) -> int:
    """The status with which a server of the 2026 era says such an error."""
    code = error.get("code")
    if not request.message.is_modern or not isinstance(code, int):
        return HTTP_OK
    return ERROR_CODE_HTTP_STATUS.get(code, HTTP_OK)


def _refusal(request: Request, refusal: Refusal) -> Reply:
    return Reply(body=messages.refused(request.message, refusal))


def _ended(request: Request, ended: Ended) -> Reply:
    answer = ended.answer
    if answer is not None and answer.error is not None:
        body = messages.error_body(request.message.id, answer.error)
        return Reply(body=body, status=_status(request, answer.error))
    if answer is not None:
        return Reply(body=messages.result(request.message, answer.result))
    assert ended.refusal is not None  # noqa: S101 (Ended carries one or the other)
    return Reply(body=messages.refused(request.message, ended.refusal))
