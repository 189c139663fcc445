"""Between one client and one server on their streams: calls are decided on, lists lose what is
hidden, the rest passes as it does through the gateway.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from approvals.cli.wrap.calls import Calls, Held
from approvals.cli.wrap.server import Server
from approvals.cli.wrap.service import NotRunning, Refused
from approvals.domain.call import MAX_NAME
from approvals.domain.strictjson import Json, as_read, canonical, parse
from approvals.errors import ApprovalsError, InvalidJson
from approvals.gateway import messages
from approvals.gateway.messages import BadMessage, Message
from approvals.gateway.relay import ALWAYS, check_method
from approvals.gateway.stdio import lines

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from approvals.cli.wrap.service import Service
    from approvals.cli.wrap.streams import Child, Client

logger = logging.getLogger(__name__)

AT_MOST = 1000
"""Requests of a client that are worked on at once."""
LAST_WORDS = 0.2
LEAVING = 10.0
"""Seconds that a sent call has to be answered, so that its outcome is known, once the client has
left."""


class Relay:
    """Owns the two directions until one side ends."""

    def __init__(
        self, client: Client, child: Child, service: Service, *, command: Sequence[str]
    ) -> None:
        self._client = client
        self._service = service
        self._server = Server(child, service.server, command)
        self._calls = Calls(client, self._server, service)
        self._passing: dict[str, str] = {}
        self._asked: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until the client has left or the child has ended."""
        sides = {
            asyncio.create_task(self._hear_client()),
            asyncio.create_task(self._hear_server()),
        }
        try:
            await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
            await self._calls.leave(within=LEAVING)
            if self._tasks:  # who waited for what was sent is answered
                await asyncio.wait(set(self._tasks.values()), timeout=LAST_WORDS)
            for key in list(self._passing):
                await self._say(messages.error(parse(key.encode()), *ENDED))
        finally:
            working = [*sides, *self._tasks.values()]
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)

    async def _hear_client(self) -> None:
        async for line in self._client.lines():
            if line is None:
                await self._say(messages.error(None, messages.PARSE_ERROR, "The line is too long."))
            elif line.strip():
                await self._from_client(line)

    async def _from_client(self, line: bytes) -> None:
        try:
            message = messages.read(line)
            check_method(message)
            await self._take(message)
        except InvalidJson as error:
            await self._say(messages.error(None, messages.PARSE_ERROR, str(error)))
        except BadMessage as error:
            await self._say(messages.error(_id_of(line), error.number, str(error)))

    async def _take(self, message: Message) -> None:
        match message.method:
            case None:
                await self._answer(message)
            case "tools/call" if message.has_id:
                self._check_free(message)
                self._work(message, self._call(message, self._calls.expect(message)))
            case "tools/call":
                raise BadMessage(messages.INVALID_REQUEST, "A call needs an `id`.")
            case "notifications/cancelled":
                await self._cancelled(message)
            case method if method in ALWAYS:
                await self._pass_on(message)
            case _ if message.has_id:
                self._check_free(message)
                self._work(message, self._other(message))
            case _:  # a note that nobody knows: nothing waits for it
                pass

    async def _answer(self, message: Message) -> None:
        """An answer to the server, where it has asked."""
        key = canonical(message.id)
        if key not in self._asked:
            return
        self._asked.discard(key)
        if self._calls.is_sending:  # it would be input to a call that was approved without any
            await self._reply(message.id, {"error": messages.NOT_ANSWERED})
        else:
            await self._server.write(message.rewritten)

    async def _call(self, message: Message, held: Held) -> None:
        if await self._calls.handle(message, held):
            await self._pass_on(message, working=True)

    async def _other(self, message: Message) -> None:
        """What is no call and no listing: only where the policy allows by default."""
        try:
            seen = await self._service.seen([])
        except Refused as error:
            text = f"NOT EXECUTED: {error}"
            await self._say(messages.error(message.id, messages.INVALID_REQUEST, text))
            return
        if seen.other_methods:
            await self._pass_on(message, working=True)
        else:
            await self._say(messages.not_offered(message))

    async def _pass_on(self, message: Message, *, working: bool = False) -> None:
        """`working`: it was decided on first, under its own id."""
        key = canonical(message.id)
        if message.has_id:
            if key in self._passing or (key in self._tasks and not working):
                raise BadMessage(messages.INVALID_REQUEST, "This `id` is in use.")
            self._passing[key] = message.method or ""
        if not await self._server.write(message.rewritten) and message.has_id:
            self._passing.pop(key, None)
            await self._say(messages.error(message.id, *ENDED))

    async def _cancelled(self, message: Message) -> None:
        """Of a held call the approval is withdrawn; of any other the server is told."""
        about = canonical(message.params.get("requestId"))
        if self._passing.pop(about, None):  # whatever comes of it, nobody waits for it
            await self._server.write(message.rewritten)
        else:
            await self._calls.cancel(about)

    def _work(self, message: Message, work: Coroutine[Any, Any, None]) -> None:
        key = canonical(message.id)
        task = asyncio.create_task(self._guarded(message, work))
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    def _check_free(self, message: Message) -> None:
        """Raises BadMessage for an id that is in use, and for one request too many."""
        key = canonical(message.id)
        if key in self._tasks or key in self._passing:
            raise BadMessage(messages.INVALID_REQUEST, "The `id` is missing or in use.")
        if len(self._tasks) >= AT_MOST:
            raise BadMessage(messages.INVALID_REQUEST, "Too many requests at once.")

    async def _guarded(self, message: Message, work: Coroutine[Any, Any, None]) -> None:
        """Whatever goes wrong with a request, its client is answered, and nothing was sent."""
        try:
            await work
        except BadMessage as error:
            await self._say(messages.error(message.id, error.number, str(error)))
        except ApprovalsError as error:
            text = f"NOT EXECUTED: {error}"
            await self._say(messages.error(message.id, messages.INTERNAL_ERROR, text))
        except Exception:
            logger.exception("a request failed")
            await self._say(messages.error(message.id, messages.INTERNAL_ERROR, FAILED))

    async def _hear_server(self) -> None:
        try:
            async for line in self._server.lines():
                if line is None:
                    logger.warning("a line of the server beyond 16 MiB is dropped")
                elif isinstance(said := lines.read(line), dict):
                    await self._from_server(line, said)
        finally:
            self._server.gone()

    async def _from_server(self, line: bytes, said: Mapping[str, Json]) -> None:
        is_plain = lines.exactly(line) is not None  # else two readers may see two messages
        if isinstance(said.get("method"), str):
            if is_plain:
                await self._server_said(line, said)
            return
        if self._server.takes(said.get("id"), line):
            return
        key = _key_of(said.get("id"))
        method = self._passing.pop(key, None)
        if method is None:
            return  # it answers nothing that was asked here
        if not is_plain:
            line = messages.error(parse(key.encode()), messages.INTERNAL_ERROR, UNREADABLE)
        elif method == "tools/list":
            line = await self._shown(line)
        await self._say(line)

    async def _server_said(self, line: bytes, said: Mapping[str, Json]) -> None:
        """A note goes on. A question goes on while no approved call runs: nobody approved input."""
        if "id" not in said:
            if said["method"] == "notifications/tools/list_changed":
                self._server.list_changed()
            await self._say(line)
        elif said["method"] == "ping":
            await self._reply(said["id"], {"result": {}})
        elif self._calls.is_sending or len(self._asked) >= MOST_QUESTIONS:
            await self._reply(said["id"], {"error": messages.NOT_ANSWERED})
        else:
            self._asked.add(_key_of(said["id"]))
            await self._say(line)

    async def _reply(self, id_: Json, said: Mapping[str, Json]) -> None:
        await self._server.write(as_read({"jsonrpc": "2.0", "id": id_, **said}).encode())

    async def _shown(self, line: bytes) -> bytes:
        """A list without what the agent must not see. While no service answers it is the server's:
        a call of any of them is refused, in the words that say what to start."""
        found = lines.exactly(line) or {}
        result = found.get("result")
        tools = result.get("tools") if isinstance(result, dict) else None
        if not isinstance(result, dict) or not isinstance(tools, list):
            return line if "error" in found else _unreadable(found)
        names = Counter(map(_name_of, tools))
        named = {
            name: tool
            for tool in tools
            if (name := _name_of(tool)) is not None and names[name] == 1  # else which is meant?
        }
        try:
            seen = await self._service.seen(list(named))
        except NotRunning:
            return line
        except Refused as error:
            return messages.error(found.get("id"), messages.INTERNAL_ERROR, str(error))
        shown = [tool for name, tool in named.items() if name in seen.tools]
        return as_read({**found, "result": {**result, "tools": shown}}).encode()

    async def _say(self, line: bytes) -> None:
        await self._client.tell(line)


ENDED = (messages.INTERNAL_ERROR, "The server's process has ended. It may have run before that.")
FAILED = "approvals failed. Of a call it is not known whether it ran. Ask your user to check."
UNREADABLE = "The server's answer cannot be read."
MOST_QUESTIONS = 1000


def _name_of(tool: Json) -> str | None:
    """By which it can be called, if it can."""
    name = tool.get("name") if isinstance(tool, dict) else None
    return name if isinstance(name, str) and len(name) <= MAX_NAME else None


def _key_of(id_: object) -> str:
    """An id as it is looked up; empty for what is none."""
    is_id = isinstance(id_, str | int) and not isinstance(id_, bool)
    return canonical(id_) if is_id else ""


def _unreadable(found: Mapping[str, Json]) -> bytes:
    text = "The server's list cannot be read."
    return messages.error(found.get("id"), messages.INTERNAL_ERROR, text)


def _id_of(line: bytes) -> Json:
    """The id to answer to, of a message that cannot be relayed."""
    with suppress(InvalidJson):
        said = lines.exactly(line)
        id_ = said.get("id") if said else None
        if isinstance(id_, str | int) and not isinstance(id_, bool):
            return id_
    return None
