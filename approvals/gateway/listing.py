"""`tools/list` and `server/discover`: what a server shows, less what an agent must not see.

Not seen by anybody: a tool in a definition that no admin has accepted, since agents act by what
they read (SECURITY.md, 19). A list of which nothing is hidden goes on byte by byte.
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
                kept = _Kept(answer.chunks)
                found = await _whole_response(answer, kept)
                tools = _tools(found)
                unaccepted = await self._unaccepted(request, tools)
                if not rewrites and not unaccepted:
                    await client.pass_on(
                        Answer(status=answer.status, headers=answer.headers, chunks=kept.again())
                    )
                    return None
        return self._rewritten(request, found, tools, unaccepted)

    async def discovered(self, request: Request, client: Client) -> Reply | None:
        """What the server can do, and what is offered here."""
        forwarded = request.upstream.forward("POST", request.message.rewritten, request.headers)
        with request.passing():
            async with forwarded as answer:
                if answer.status != HTTP_OK:
                    await client.pass_on(answer)
                    return None
                found = await _whole_response(answer, answer.chunks)
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

    async def _unaccepted(self, request: Request, tools: Sequence[Json]) -> set[tuple[str, str]]:
        """Names and hashes of the definitions that calls must not be made by."""
        entries = [tool for tool in tools if isinstance(tool, dict)]
        shown = [one for tool in entries if (one := shown_of(tool, request.server.place))]
        await self._definitions.see(request.server, shown)
        return {
            (one.tool, one.hash)
            for one in shown
            if not await self._definitions.accepts(request.server, one.tool, one.hash)
        }

    def _rewritten(
        self,
        request: Request,
        found: dict[str, Json],
        tools: Sequence[Json],
        unaccepted: Collection[tuple[str, str]],
    ) -> Reply:
        listed = found.get("result")
        if not isinstance(listed, dict) or not isinstance(listed.get("tools"), list):
            return Reply(body=as_read({**found, "id": request.message.id}).encode())
        shown = [tool for tool in tools if not self._is_hidden(request, tool, unaccepted)]
        if self._gateway_tools.offered_to(request.agent.name):
            shown = [tool for tool in shown if not _is_named(tool, gateway_tools.NAMES)]
            shown += [] if "cursor" in request.message.params else gateway_tools.TOOLS
        private = {"cacheScope": "private"} if request.message.is_modern else {}
        return Reply(body=messages.result(request.message, {**listed, "tools": shown, **private}))

    def _is_hidden(
        self, request: Request, tool: Json, unaccepted: Collection[tuple[str, str]]
    ) -> bool:
        name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(tool, dict) or not isinstance(name, str):
            return True
        if self._gate.hides(request.agent.name, request.server.name, name):
            return True
        shown = shown_of(tool, request.server.place)
        return shown is not None and (shown.tool, shown.hash) in unaccepted


class _Kept:
    """Chunks that can be gone through once more after some were read."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._kept: list[bytes] = []
        self._size = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self._size += len(chunk)
        if self._size > MAX_ANSWER:
            raise AnswerTooLarge
        self._kept.append(chunk)
        return chunk

    async def again(self) -> AsyncIterator[bytes]:
        """All of them, from the first on."""
        for chunk in self._kept:
            yield chunk
        async for chunk in self._chunks:
            yield chunk


def _tools(found: dict[str, Json]) -> list[Json]:
    listed = found.get("result")
    tools = listed.get("tools") if isinstance(listed, dict) else None
    return tools if isinstance(tools, list) else []


def _is_named(tool: Json, names: Collection[str]) -> bool:
    return isinstance(tool, dict) and tool.get("name") in names


async def _whole_response(answer: Answer, chunks: AsyncIterator[bytes]) -> dict[str, Json]:
    try:
        async with asyncio.timeout(WITHIN):
            kind = (answer.header(b"content-type") or b"").partition(b";")[0].strip().lower()
            if kind != b"text/event-stream":
                whole = Answer(status=answer.status, headers=answer.headers, chunks=chunks)
                return _object(parse(await whole.body()))
            async for data in sse.data_of(chunks):
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
