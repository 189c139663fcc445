"""`tools/list` and `server/discover`: what a server shows, less what an agent must not see.

Not seen by anybody: a tool in a definition that no admin has accepted, since agents act by what
they read (SECURITY.md, 19). A list of which nothing is hidden goes on as it came.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from approvals.domain.strictjson import Json, as_read, parse
from approvals.errors import InvalidJson, Unavailable
from approvals.gateway import gateway_tools, messages, sse, tasks
from approvals.gateway.catalogue import shown_of
from approvals.gateway.request import Reply, Request
from approvals.outbound import MAX_ANSWER, Answer, AnswerTooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from approvals.gateway.gateway_tools import GatewayTools
    from approvals.gateway.response import Client
    from approvals.service.definitions import Definitions
    from approvals.service.gate import Gate

EVENTS = b"text/event-stream"
HTTP_OK = 200
HTTP_ERROR = 400
WITHIN = 30
"""Seconds for one list."""


class Lists:
    """Answers with the server's own answer, changed where something must not be seen."""

    def __init__(
        self, *, gate: Gate, gateway_tools: GatewayTools, definitions: Definitions
    ) -> None:
        self._gate = gate
        self._gateway_tools = gateway_tools
        self._definitions = definitions

    async def tools(self, request: Request, client: Client) -> Reply | None:
        """The tools that this agent may see. None: the server's own answer was passed on."""
        forwarded = request.upstream.forward("POST", request.message.rewritten, request.headers)
        with request.passing():
            async with forwarded as answer:
                request.upstream.check_session(answer)
                rewrites = self._rewrites(request)
                if answer.status >= HTTP_ERROR and not rewrites:
                    await client.pass_on(answer)
                    return None
                found, said = await _said(answer, request.message.id)
                shown = await self._shown(request, _tools(found))
                if not rewrites and len(shown) == len(_tools(found)):
                    await client.pass_on(_again(answer, said))
                    return None
        return self._rewritten(request, found, shown)

    async def discovered(self, request: Request, client: Client) -> Reply | None:
        """What the server can do, and what is offered here."""
        forwarded = request.upstream.forward("POST", request.message.rewritten, request.headers)
        with request.passing():
            async with forwarded as answer:
                if answer.status != HTTP_OK:
                    await client.pass_on(answer)
                    return None
                found, _ = await _said(answer, request.message.id)
        found = {**found, "id": request.message.id}
        listed = found.get("result")
        if isinstance(listed, dict):
            found["result"] = tasks.offered(listed)
        return Reply(body=as_read(found).encode())

    def _rewrites(self, request: Request) -> bool:
        """Whether this agent sees another list than the server's, whatever is in it."""
        agent = request.agent.name
        hides = self._gate.hides_something(agent, request.server.name)
        return hides or self._gateway_tools.offered_to(agent)

    async def _shown(self, request: Request, tools: Sequence[Json]) -> list[Json]:
        """The tools that this agent may see; each is compared with what was accepted."""
        place = request.server.place
        known = [
            (tool, shown_of(tool, place) if isinstance(tool, dict) else None) for tool in tools
        ]
        unaccepted = await self._definitions.see(
            request.server, [shown for _, shown in known if shown]
        )
        return [
            tool
            for tool, shown in known
            if shown is not None
            and shown not in unaccepted
            and not self._gate.hides(request.agent.name, request.server.name, shown.tool)
        ]

    def _rewritten(self, request: Request, found: dict[str, Json], shown: Sequence[Json]) -> Reply:
        listed = found.get("result")
        if not isinstance(listed, dict) or not isinstance(listed.get("tools"), list):
            return Reply(body=as_read({**found, "id": request.message.id}).encode())
        tools = list(shown)
        if self._gateway_tools.offered_to(request.agent.name):
            tools = [tool for tool in tools if not _is_named(tool, gateway_tools.NAMES)]
            tools += [] if "cursor" in request.message.params else gateway_tools.TOOLS
        private = {"cacheScope": "private"} if request.message.is_modern else {}
        return Reply(body=messages.result(request.message, {**listed, "tools": tools, **private}))


def _tools(found: dict[str, Json]) -> list[Json]:
    listed = found.get("result")
    tools = listed.get("tools") if isinstance(listed, dict) else None
    return tools if isinstance(tools, list) else []


def _is_named(tool: Json, names: Collection[str]) -> bool:
    return isinstance(tool, dict) and tool.get("name") in names


async def _said(answer: Answer, id_: Json) -> tuple[dict[str, Json], list[bytes]]:
    """The message that answers the request `id_`, and it as it came after the notes before it."""
    said: list[bytes] = []
    try:
        async with asyncio.timeout(WITHIN):
            if answer.kind != EVENTS:
                body = await answer.body()
                return _object(parse(body)), [body]
            async for data in sse.data_of(answer.chunks):
                if not data.strip():
                    continue
                found = _object(parse(data))
                if "method" not in found and found.get("id") != id_:
                    continue  # it answers nothing that was asked here
                said.append(data)
                if sum(map(len, said)) > MAX_ANSWER:
                    raise AnswerTooLarge
                if "method" not in found:
                    return found, said
    except (InvalidJson, AnswerTooLarge, TimeoutError) as error:
        raise Unavailable("The server's answer cannot be read.") from error
    raise Unavailable("The server did not answer.")


def _again(answer: Answer, said: Sequence[bytes]) -> Answer:
    """The answer with these messages and no others: whoever reads events otherwise than we do finds
    nothing else in it."""

    async def chunks() -> AsyncIterator[bytes]:
        for message in said:
            yield sse.event(message) if answer.kind == EVENTS else message

    return Answer(status=answer.status, headers=answer.headers, chunks=chunks())


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise Unavailable("The server did not answer with a JSON-RPC message.")
    return value
