"""Stands in for `claude mcp add NAME -- COMMAND…`: notes the command, and starts it as a client does."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client


async def main(words: list[str]) -> None:
    """List the server's tools, and call the one that CALL names; what comes back is written down."""
    assert words[:2] == ["mcp", "add"], words
    command = words[words.index("--") + 1 :]
    record = Path(os.environ["CLAUDE_RECORD"])  # noqa: TID251 (a program of its own)
    record.write_text(json.dumps({"added": words}))
    environment = dict(os.environ)  # noqa: TID251
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=environment)
    async with Client(stdio_client(parameters)) as client:
        found: dict[str, object] = {"added": words}
        found["tools"] = [tool.name for tool in (await client.list_tools()).tools]
        if call := environment.get("CLAUDE_CALL"):
            asked = json.loads(call)
            result = await client.call_tool(asked["name"], asked["arguments"])
            found["error"] = result.is_error
            found["said"] = " ".join(getattr(part, "text", "") for part in result.content)
        record.write_text(json.dumps(found))


asyncio.run(main(sys.argv[1:]))
