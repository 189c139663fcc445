"""`tools/call`: asked about over REST, held, released once, sent to the child once, reported."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from approvals.cli.say import say
from approvals.cli.wrap.server import NotWritten
from approvals.cli.wrap.service import Refused
from approvals.domain.call import canonical_arguments
from approvals.domain.directory import HOLD
from approvals.domain.refused import Code, Refusal, answer_lost, invalid_arguments
from approvals.domain.strictjson import Json, canonical
from approvals.errors import InvalidArguments
from approvals.gateway import messages, own, schema
from approvals.gateway.messages import Message
from approvals.gateway.telling import Telling
from approvals.ports import Answered
from approvals.service.waiting import Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from approvals.cli.wrap.server import Server
    from approvals.cli.wrap.service import Answer, Service
    from approvals.cli.wrap.streams import Client
    from approvals.gateway.catalogue import Tool
    from approvals.ports import SendOutcome

PATIENCE = Patience()
LONG_POLL = 25
GONE_FOR = 15.0
"""Seconds for which a service that does not answer is asked again, while a call is held."""
ASK_AGAIN = 0.5
LOOK_AGAIN = frozenset({"not_approved", "already_released", "lapsed", "cancelled"})
"""What a release is refused with where the approval itself says more by now."""

Reply = Callable[[Message], bytes]
T = TypeVar("T")


@dataclass(kw_only=True, slots=True, eq=False)
class Held:
    """A call that is asked about; `sent` is our own request while it is on its way."""

    approval_id: str = ""
    sent: str = ""
    cancelled: bool = False


class Calls:
    """Every call of this client; what is sent to the server is here and nowhere else."""

    def __init__(self, client: Client, server: Server, service: Service) -> None:
        self._client = client
        self._server = server
        self._service = service
        self._held: dict[str, Held] = {}
        self._closing = False
        self._sending: dict[str, asyncio.Task[Reply]] = {}

    @property
    def is_sending(self) -> bool:
        """Whether an approved call is on its way."""
        return bool(self._sending)

    async def leave(self, *, within: float) -> None:
        """Nobody waits any more: nothing more is sent. What was sent may still be answered, and its
        outcome told."""
        self._closing = True
        if self._sending:
            await asyncio.wait(set(self._sending.values()), timeout=within)

    async def cancel(self, about: str) -> None:
        """The client gives a call up: it is withdrawn, and if it was sent the server is told."""
        held = self._held.get(about)
        if held is None:
            return
        held.cancelled = True
        if held.sent:
            await self._server.write(own.cancellation(held.sent))
        else:
            await self._withdraw(held)

    async def _withdraw(self, held: Held) -> None:
        """The approval of a call that was given up; where it is not there yet, once it is."""
        if held.approval_id:
            with suppress(Refused):
                await self._service.cancel(held.approval_id)

    def expect(self, message: Message) -> Held:
        """From now on the client may give this call up."""
        held = self._held[canonical(message.id)] = Held()
        return held

    async def handle(self, message: Message, held: Held) -> bool:
        """Whether the call may pass as the client sent it; else the client is answered here."""
        try:
            reply = await self._judged(message, held)
        except InvalidArguments as error:
            reply = messages.refused(message, invalid_arguments(str(error)))
        except Refused as error:
            reply = messages.refused(message, _refusal(Code.UNAVAILABLE, f"NOT EXECUTED: {error}"))
        finally:
            del self._held[canonical(message.id)]
        if held.cancelled:
            if not held.sent:
                await self._withdraw(held)
            return False  # whoever cancels a request expects no answer to it
        if reply is None:
            return True
        await self._client.tell(reply)
        return False

    async def _judged(self, message: Message, held: Held) -> bytes | None:
        """The answer; None: the call may pass."""
        tool = await self._server.tool(message.tool, message)
        if tool is None:
            return messages.unknown_tool(message, message.tool)
        text = canonical_arguments(message.arguments)
        if why := schema.why_not(text, tool.input_schema):
            return messages.refused(message, invalid_arguments(why))
        arrived = await self._service.arrive(
            message.tool,
            message.arguments,
            definition=self._server.definition(tool),
            justification=message.justification,
        )
        match arrived:
            case {"verdict": "allow"}:
                return None
            case {"verdict": "require_approval", "approval": dict(approval)}:
                held.approval_id = str(approval.get("id"))
                async with self._telling(message, held):
                    return await self._decided(message, held, approval, tool, text)
            case {"refusal": dict(refusal)}:
                return messages.refused(message, _said(refusal))
        raise Refused("The service answered with something unexpected.")

    async def _decided(
        self, message: Message, held: Held, approval: Answer, tool: Tool, text: str
    ) -> bytes:
        """Wait as long as this client can, then answer with the result, or why there is none."""
        loop = asyncio.get_running_loop()
        waits = HOLD if message.progress_token is None else PATIENCE.with_progress
        deadline = loop.time() + waits.total_seconds()
        while (left := deadline - loop.time()) > 0 and not held.cancelled:
            if approval.get("status") == "approved":
                try:
                    return await self._released(message, held, approval, tool, text)
                except Refused as error:
                    if error.code not in LOOK_AGAIN:
                        raise
                    await asyncio.sleep(ASK_AGAIN)
            elif approval.get("status") != "pending":
                break
            wait = max(1, round(min(left, LONG_POLL)))
            approval = await _insisted(partial(self._service.approval, held.approval_id, wait=wait))
        told = _said(await self._service.refusal(held.approval_id))
        return messages.refused(message, told)

    async def _released(
        self, message: Message, held: Held, approval: Answer, tool: Tool, text: str
    ) -> bytes:
        """Take the release and send, in a task that outlives the wait of the client. Who asked the
        same waits for the same sending."""
        now = await self._server.tool(tool.shown.tool, message, fresh=True)
        if now is None or now.shown.hash != tool.shown.hash:
            with suppress(Refused):
                await self._service.cancel(held.approval_id)
            return messages.refused(message, _refusal(Code.DEFINITION_CHANGED, CHANGED))
        if held.cancelled or self._closing:
            raise Refused(GIVEN_UP)
        sending = self._sending.get(held.approval_id)
        if sending is None:
            sent = self._sent(message, held, str(approval.get("digest")), tool, text)
            sending = self._sending[held.approval_id] = asyncio.create_task(sent)
            sending.add_done_callback(lambda _: self._sending.pop(held.approval_id, None))
        return (await asyncio.shield(sending))(message)

    async def _sent(
        self, message: Message, held: Held, digest: str, tool: Tool, text: str
    ) -> Reply:
        """The one request to the child. What was approved is sent, and it is what was asked."""
        id_, token = held.approval_id, secrets.token_urlsafe(24)
        take = partial(self._service.release, id_, digest=digest, token=token)
        approved = await _insisted(take)
        if approved != text:
            await self._report(id_, token, "not_sent", "The arguments were not those asked about.")
            raise Refused("What was approved is not what was asked; it was not sent.")
        if held.cancelled or self._closing:
            await self._report(id_, token, "not_sent", GIVEN_UP)
            raise Refused(GIVEN_UP)
        request = own.call_request(tool.shown.tool, approved, message)
        held.sent = request.id
        try:
            outcome = await self._server.send(request)
        except NotWritten:
            await self._report(id_, token, "not_sent", "The server's process has ended.")
            return partial(_refused_as, _said(await self._service.refusal(id_)))
        return await self._ended(id_, token, outcome)

    async def _ended(self, id_: str, token: str, outcome: SendOutcome) -> Reply:
        """Tell the outcome to the service; what each client that waits is answered."""
        if not isinstance(outcome, Answered):  # not reported: the service says that it is unknown
            return partial(_refused_as, answer_lost())
        status = "failed" if outcome.is_error or outcome.error is not None else "succeeded"
        await self._report(id_, token, status, None)
        if outcome.error is None and outcome.result is None:
            return partial(_refused_as, _refusal(Code.FAILED, ASKED_BACK))
        return partial(_answered_as, outcome)

    async def _report(self, id_: str, token: str, status: str, detail: str | None) -> None:
        try:
            await _insisted(
                lambda: self._service.report(id_, token=token, status=status, detail=detail)
            )
        except Refused as error:
            say(f"approvals: the outcome of {id_} ({status}) was not taken: {error}", err=True)

    @asynccontextmanager
    async def _telling(self, message: Message, held: Held) -> AsyncIterator[None]:
        """Tell a client that asked for it, every few seconds, that its call is held."""
        telling = Telling(
            self._client,
            token=message.progress_token,
            note=lambda: f"Waiting for a person ({held.approval_id}).",
            every=PATIENCE.progress_every,
        )
        task = asyncio.create_task(telling.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _insisted(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer of a service that may be gone for a moment. What is asked is the same each time:
    a release with its token, an outcome, how a call stands."""
    loop = asyncio.get_running_loop()
    until = loop.time() + GONE_FOR
    while True:
        try:
            return await ask()
        except Refused as error:
            if not error.may_pass or loop.time() > until:
                raise
        await asyncio.sleep(ASK_AGAIN)


GIVEN_UP = "The call was given up before it was sent."
CHANGED = (
    "NOT EXECUTED: the server changed the tool's definition while the call waited. What was "
    "approved is no longer what would run. Read the tool list again first."
)
ASKED_BACK = (
    "FAILED: the call was approved and sent, and the server asked for input nobody approved. It "
    "may have acted. Do not repeat it. Ask your user to check."
)


def _refused_as(refusal: Refusal, message: Message) -> bytes:
    return messages.refused(message, refusal)


def _answered_as(outcome: Answered, message: Message) -> bytes:
    if outcome.error is not None:
        return messages.error_body(message.id, outcome.error)
    return messages.result(message, outcome.result)


def _said(told: Mapping[str, Json]) -> Refusal:
    """A refusal as the service said it."""
    retry, rule = told.get("retry_after"), told.get("rule")
    return Refusal(
        code=Code(str(told.get("code"))),
        message=str(told.get("message")),
        rule=rule if isinstance(rule, str) else None,
        retry_after=retry if isinstance(retry, int) else None,
        approval_id=_text(told.get("approval_id")),
        retry_allowed=told.get("retry_allowed") is True,
    )


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _refusal(code: Code, text: str) -> Refusal:
    return Refusal(code=code, message=text, retry_allowed=code is Code.UNAVAILABLE)
