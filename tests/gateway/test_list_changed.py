"""A reload that changes what an agent is shown is told to the clients that listen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from approvals.domain.directory import Agent, Directory
from approvals.domain.rulebook import Rulebook
from approvals.gateway.response import Response
from approvals.gateway.streams import Streams
from approvals.outbound import Answer
from tests.e2e.test_stdio import started
from tests.e2e.world import World, world

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_a_client_of_the_older_era_learns_of_a_tool_that_is_hidden_now(
    tmp_path: Path, transport: str
) -> None:
    told: list[str] = []

    async def hear(message: object) -> None:
        told.append(type(message).__name__)

    more = started(tmp_path) if transport == "stdio" else None
    async with world(tmp_path, more=more) as w, _http(w) as http:
        connection = streamable_http_client(f"{w.url}/mcp/up", http_client=http)
        async with Client(connection, mode="legacy", message_handler=hear) as client:
            assert "look" in {tool.name for tool in (await client.list_tools()).tools}
            await asyncio.sleep(0.5)  # its stream is open now
            await hide(w, tmp_path, "break_it")
            await until(told)
            told.clear()
            await hide(w, tmp_path, "look")
            await until(told)
            assert "look" not in {tool.name for tool in (await client.list_tools()).tools}


async def test_a_client_of_the_2026_era_is_told_where_it_subscribed(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as client:
        async with client.listen(tools_list_changed=True) as events:
            await hide(w, tmp_path, "look")
            async with asyncio.timeout(10):
                event = await anext(aiter(events))
            assert "ToolsListChanged" in type(event).__name__
        assert "look" not in {tool.name for tool in (await client.list_tools()).tools}


async def test_who_is_shown_the_same_as_before_is_told_nothing(tmp_path: Path) -> None:
    told: list[str] = []

    async def hear(message: object) -> None:
        told.append(type(message).__name__)

    async with world(tmp_path) as w, _http(w) as http:
        connection = streamable_http_client(f"{w.url}/mcp/up", http_client=http)
        async with Client(connection, mode="legacy", message_handler=hear):
            await asyncio.sleep(0.5)
            path = tmp_path / "approvals.yaml"
            said = json.loads(path.read_text())
            said["servers"]["up"]["policy"]["tools"]["look"] = {"action": "deny"}
            path.write_text(json.dumps(said))
            assert (await w.rest("POST", "/v1/policies/reload", by="carol")).status_code == 200
            await asyncio.sleep(0.5)
    assert told == []


async def hide(w: World, folder: Path, tool: str) -> None:
    path = folder / "approvals.yaml"
    said: dict[str, Any] = json.loads(path.read_text())
    said["servers"]["up"]["policy"]["hide"] = [tool]
    said["servers"]["up"]["policy"]["tools"].pop(tool, None)
    path.write_text(json.dumps(said))
    answer = await w.rest("POST", "/v1/policies/reload", by="carol")
    assert answer.status_code == 200, answer.text


async def until(told: list[str]) -> None:
    async with asyncio.timeout(10):
        while "ToolListChangedNotification" not in told:
            await asyncio.sleep(0.02)


def _http(w: World) -> httpx2.AsyncClient:
    headers = {"authorization": f"Bearer {w.keys['bot']}"}
    return httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False)


async def test_a_client_that_does_not_read_holds_no_reload_up() -> None:
    """Its connection takes nothing more, and the reload goes on at once."""
    stuck = asyncio.Event()

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await stuck.wait()

    async def never() -> AsyncIterator[bytes]:
        yield b": hello\n\n"
        await stuck.wait()

    response = Response(send)
    answer = Answer(status=200, headers=((b"content-type", b"text/event-stream"),), chunks=never())
    passing = asyncio.create_task(response.pass_on(answer))
    streams = Streams()
    before = Rulebook(directory=Directory(agents={"bot": agent(gateway_tools=False)}))
    after = Rulebook(directory=Directory(agents={"bot": agent(gateway_tools=True)}))
    await asyncio.sleep(0.05)
    with streams.listening("bot", "up", response, None):
        streams.reloaded(before, after)
        await asyncio.sleep(0.05)
    async with asyncio.timeout(1):
        await streams.close()
    passing.cancel()
    await asyncio.gather(passing, return_exceptions=True)


def agent(*, gateway_tools: bool) -> Agent:
    return Agent(name="bot", owner="alice", servers=frozenset({"up"}), gateway_tools=gateway_tools)
