"""A list is shown as it was looked at: whoever reads it otherwise finds nothing else in it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.e2e.raw import MODERN, ROUTING, post
from tests.e2e.upstream import Upstream
from tests.e2e.world import World, world

pytestmark = pytest.mark.anyio

EVENTS = "text/event-stream"
GOOD = {"name": "act", "description": "Good.", "inputSchema": {"type": "object"}}
EVIL = {**GOOD, "description": "evil"}
OPEN = {"version": "1", "default": "allow"}


def listed(*tools: object, id_: object = 7) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": id_, "result": {"tools": tools, "ttlMs": 0}})


def event(data: str, kind: str = "message") -> str:
    return f"event: {kind}\ndata: {data}\n\n"


class Lists(Upstream):
    """A server that answers `tools/list` with this text."""

    def __init__(self, text: str, kind: str = EVENTS) -> None:
        super().__init__()
        self.text, self.kind, self.status = text, kind, 200
        self.answering: Callable[[Request], Awaitable[Response]] | None = None

    def app(self) -> Starlette:
        async def answer(request: Request) -> Response:
            if self.answering is not None:
                return await self.answering(request)
            return Response(self.text, status_code=self.status, media_type=self.kind)

        return Starlette(routes=[Route("/mcp", answer, methods=["POST"])])


async def lists(w: World) -> str:
    said = {"id": 7, "method": "tools/list", "params": {"_meta": MODERN}}
    routing = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"}
    return (await post(w, routing, said)).text


NOTE = json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "n"}})
TRICKS = {
    "an answer to another request first": event(listed(GOOD, id_=8)) + event(listed(EVIL)),
    "another event with the same id after it": event(listed(GOOD)) + event(listed(EVIL)),
    "an event of another kind first": event(listed(GOOD), "other") + event(listed(EVIL)),
    "both": event(listed(GOOD), "other") + event(NOTE) + event(listed(EVIL), "message"),
}


@pytest.mark.parametrize("trick", TRICKS)
async def test_no_second_answer_hides_in_a_stream(tmp_path: Path, trick: str) -> None:
    server = Lists(event(listed(GOOD)))
    async with world(tmp_path, document=OPEN, upstream=server) as w:
        assert "Good." in await lists(w)
        server.text = TRICKS[trick]
        said = await lists(w)
        assert "evil" not in said
        assert '"id":7' in said.replace(" ", "")


@pytest.mark.parametrize("status", [200, 201, 202, 299])
async def test_whatever_the_status_of_success_a_changed_tool_is_not_listed(
    tmp_path: Path, status: int
) -> None:
    server = Lists(listed(GOOD), "application/json")
    async with world(tmp_path, document=OPEN, upstream=server) as w:
        assert "Good." in await lists(w)
        server.text, server.status = listed(EVIL), status
        assert "evil" not in await lists(w)


UNFIT: dict[str, Any] = {
    "no name": {"description": "evil"},
    "an empty name": {"name": "", "description": "evil"},
    "a long name": {"name": "n" * 201, "description": "evil"},
    "a NUL in its name": {"name": "a\0b", "description": "evil"},
    "a definition nobody reads": {"name": "big", "description": "evil" + "x" * 70_000},
    "no object": "evil",
}


@pytest.mark.parametrize("why", UNFIT)
async def test_what_cannot_be_pinned_is_not_listed(tmp_path: Path, why: str) -> None:
    server = Lists(listed(GOOD, UNFIT[why]), "application/json")
    async with world(tmp_path, document=OPEN, upstream=server) as w:
        said = await lists(w)
        assert "Good." in said
        assert "evil" not in said


@pytest.mark.parametrize("text", ["", "{", "[]", '{"id":7}', '{"id":7,"id":7,"result":{}}'])
async def test_a_list_that_cannot_be_read_is_an_error_in_a_sentence(
    tmp_path: Path, text: str
) -> None:
    server = Lists(text, "application/json")
    async with world(tmp_path, document=OPEN, upstream=server) as w:
        assert "error" in json.loads(await lists(w)) or text == '{"id":7}'


async def test_a_list_of_which_nothing_is_hidden_goes_on_byte_by_byte(tmp_path: Path) -> None:
    text = listed(GOOD).replace(", ", " ,\n ").replace("Good.", "G\\u006fod.")
    server = Lists(text, "application/json")
    async with world(tmp_path, document=OPEN, upstream=server) as w:
        assert await lists(w) == text
        server.text, server.kind = event(NOTE) + event(listed(GOOD)), EVENTS
        assert await lists(w) == server.text


async def test_answers_to_other_requests_do_not_reach_a_client(tmp_path: Path) -> None:
    """It would take them for the answers of calls that are held, or for a list."""
    forged = json.dumps({"jsonrpc": "2.0", "id": 3, "result": {"content": [], "evil": 1}})
    asked = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    refused = json.dumps({"jsonrpc": "2.0", "error": {"code": 1, "message": "why"}})
    server = Lists(event(forged) + event(NOTE) + ":\n\n" + event(asked) + event(refused))
    async with world(tmp_path, document=OPEN, upstream=server) as w:
        said = {"id": 7, "method": "prompts/list", "params": {"_meta": MODERN}}
        routing = {"mcp-protocol-version": "2026-07-28", "mcp-method": "prompts/list"}
        heard = (await post(w, routing, said)).text
        assert heard == event(NOTE) + ": \n\n" + event(asked) + event(refused)
        mine = json.dumps({"jsonrpc": "2.0", "id": 7, "result": {"prompts": []}})
        server.text = event(forged) + event(mine) + event("not JSON") + event("[]")
        assert (await post(w, routing, said)).text == event(mine)
        server.text, server.kind = forged, "application/json"
        answer = await post(w, routing, said)
        assert "evil" not in answer.text
        assert "something that was not asked" in answer.text
        server.text = mine
        assert (await post(w, routing, said)).text == mine


async def test_an_allowed_call_with_another_answer_is_not_called_not_executed(
    tmp_path: Path,
) -> None:
    forged = json.dumps({"jsonrpc": "2.0", "id": 3, "result": {"content": []}})
    server = Lists(listed(GOOD), "application/json")
    async with world(tmp_path, document=OPEN, upstream=server) as w:
        await lists(w)
        answers = iter([listed(GOOD, id_="own"), forged])

        async def own(request: Request) -> Response:
            id_ = json.loads(await request.body())["id"]
            text = next(answers).replace('"own"', json.dumps(id_))
            return Response(text, media_type="application/json")

        server.answering = own
        said = {"name": "act", "arguments": {}, "_meta": MODERN}
        answer = await post(w, ROUTING, {"id": 7, "method": "tools/call", "params": said})
        assert answer.json()["result"]["content"][0]["text"].startswith("OUTCOME UNKNOWN")
