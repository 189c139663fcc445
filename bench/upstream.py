"""An MCP server that costs next to nothing: `uvicorn bench.upstream:app`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

TOOLS = [
    {
        "name": name,
        "description": "Place an order.",
        "inputSchema": {"type": "object", "properties": {"quantity": {"type": "number"}}},
    }
    for name in ("place_order", "look")
]
RESULTS = {
    "initialize": {
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "bench", "version": "1"},
    },
    "server/discover": {
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "bench", "version": "1"},
        "resultType": "complete",
    },
    "tools/list": {"tools": TOOLS, "resultType": "complete"},
    "tools/call": {"content": [{"type": "text", "text": "placed"}], "resultType": "complete"},
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer every request as if it had been done."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    read = json.loads(body) if body else {}
    answer = {
        "jsonrpc": "2.0",
        "id": read.get("id"),
        "result": RESULTS.get(str(read.get("method")), {}),
    }
    content = json.dumps(answer).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
