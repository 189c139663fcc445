"""Requests made at random, from seeds that are named when one fails: what must not reach the server
does not, whatever surrounds it."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.inbound import encode_header_value

from tests.e2e.raw import MODERN
from tests.e2e.world import World, world

pytestmark = pytest.mark.anyio

SEEDS = range(150)
REACHES = {
    "accept",
    "connection",  # the gateway's own
    "content-length",
    "content-type",
    "host",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
}
"""All headers that a server may see of a request."""
NAMES = (
    "Authorization",
    "Proxy-Authorization",
    "Cookie",
    "X-Api-Key",
    "X-Forwarded-For",
    "Forwarded",
    "X-Original-URL",
    "X-HTTP-Method-Override",
    "Mcp-Param-What",
    "Mcp-Session-Id-2",
    "Connection",
    "TE",
    "Origin-2",
    "Last-Event-ID",
)
TOOLS = ("act", "look", "break_it", "hidden_act", "no_such_tool", "Look", "look ", "\u8f6c\u8d26")
METHODS = ("tools/call", "tools/list", "ping", "resources/read", "tools/Call", "TOOLS/CALL", "x/y")


async def test_the_key_and_headers_of_the_client_never_reach_the_server(tmp_path: Path) -> None:
    async with world(tmp_path, hold=timedelta(milliseconds=20)) as w:
        for seed in SEEDS:
            dice = random.Random(seed)
            key = w.keys["bot"]
            values = (key, f"Bearer {key}", "secret-of-the-client", f"a={key}")
            more = [
                (_case(dice, name), dice.choice(values))
                for name in dice.sample(NAMES, dice.randrange(len(NAMES)))
                if name != "Authorization"
            ]
            tool = dice.choice(("look", "act", "\u8f6c\u8d26"))
            arguments = {"what": f"{seed}", dice.choice(("a", "authorization")): 1}
            more.append(("Mcp-Name", encode_header_value(tool)))
            await send(w, _call(seed, tool, arguments), more)
        assert w.upstream.headers
        for headers in w.upstream.headers:
            assert set(headers) <= REACHES
            assert w.keys["bot"] not in str(headers)
            assert "secret-of-the-client" not in str(headers)
        assert not [body for body in w.upstream.said if w.keys["bot"] in body]


async def test_what_the_headers_say_of_a_request_is_what_its_body_says(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for seed in SEEDS:
            dice = random.Random(seed)
            said, meant = dice.sample(TOOLS[:6], 2)
            method = dice.choice(METHODS) if dice.random() < 0.5 else "tools/call"
            headers = [("Mcp-Method", method), (_case(dice, "Mcp-Name"), said)]
            if dice.random() < 0.3:
                headers.append(("Mcp-Name", meant))  # twice: which one counts?
            answer = await send(w, _call(seed, meant, {"what": "x"}), headers)
            assert answer.status_code == 400, seed
            assert answer.json()["error"]["code"] == -32020, seed
        assert w.upstream.calls == 0
        assert w.upstream.seen == []


async def test_no_batch_and_no_second_message_gets_through(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for seed in SEEDS:
            dice = random.Random(seed)
            calls = [_call(n, dice.choice(TOOLS), {"what": "x"}) for n in range(dice.randrange(4))]
            body: object = calls
            text = json.dumps(body)
            match dice.randrange(4):
                case 0:
                    text = "\n".join(map(json.dumps, [*calls, calls])) + "\n"
                case 1:
                    text = json.dumps({"jsonrpc": "2.0", "id": 1, "params": calls})
                case 2:
                    text = json.dumps(_call(1, "look", {})) + text
            answer = await send(w, text, [])
            assert answer.status_code == 400, seed
        assert w.upstream.seen == []


async def send(w: World, body: object, more: list[tuple[str, str]]) -> Any:
    """One POST of bot with exactly these headers beside those that it needs."""
    text = body if isinstance(body, str) else json.dumps(body)
    headers = [
        ("authorization", f"Bearer {w.keys['bot']}"),
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        *more,
    ]
    return await w.http.post(f"{w.url}/mcp/up", content=text.encode(), headers=headers)


def _call(id_: int, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments, "_meta": MODERN}
    return {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": params}


def _case(dice: random.Random, name: str) -> str:
    return "".join(dice.choice((c.upper(), c.lower())) for c in name)
