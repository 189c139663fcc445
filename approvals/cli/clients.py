"""Ready configuration of MCP clients for a server behind the gateway (docs/clients)."""

from __future__ import annotations

import json
from enum import StrEnum

import typer

from approvals.cli.connection import found
from approvals.cli.say import say, say_lines

KEY = "APPROVALS_AGENT_KEY"


class McpClient(StrEnum):
    """Clients whose configuration can be printed."""

    CLAUDE_CODE = "claude-code"
    CURSOR = "cursor"
    VSCODE = "vscode"
    CODEX = "codex"
    PYTHON = "python"


def connect(server: str, *, client: str, url: str | None, key: str | None) -> None:
    """Print it for the running service. The agent's key is named, and not in it."""
    if client not in list(McpClient):
        raise typer.BadParameter(f"--client is one of {', '.join(McpClient)}")
    service, _ = found(url, key)
    say(f"# The agent's key, of `approvals keys create --agent NAME`, is in {KEY}.", err=True)
    say_lines(snippet(McpClient(client), server, f"{service.rstrip('/')}/mcp/{server}"))


def snippet(client: McpClient, server: str, url: str) -> str:
    """The configuration, with the variable that holds the key as this client reads it."""
    match client:
        case McpClient.CLAUDE_CODE:
            bearer = f"Authorization: Bearer ${KEY}"
            return f'claude mcp add --transport http {server} {url} --header "{bearer}"'
        case McpClient.CURSOR:
            said = _bearer(f"${{env:{KEY}}}")
            return _json({"mcpServers": {server: {"url": url, "headers": said}}})
        case McpClient.VSCODE:
            entry = {"type": "http", "url": url, "headers": _bearer("${input:agent-key}")}
            return _json({"servers": {server: entry}, "inputs": [_ASKED]})
        case McpClient.CODEX:
            return "\n".join(
                (
                    f"[mcp_servers.{server}]",
                    f"url = {json.dumps(url)}",
                    f'bearer_token_env_var = "{KEY}"',
                    'default_tools_approval_mode = "approve"',
                )
            )
        case McpClient.PYTHON:
            return _PYTHON.format(url=url, key=f"os.environ['{KEY}']")


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _json(value: object) -> str:
    return json.dumps(value, indent=2)


_ASKED = {
    "id": "agent-key",
    "type": "promptString",
    "description": "Agent key",
    "password": True,
}
_PYTHON = """\
import asyncio
import os

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

URL = "{url}"


async def main() -> None:
    headers = {{"authorization": f"Bearer {{{key}}}"}}
    async with httpx2.AsyncClient(headers=headers, timeout=300) as http:
        async with Client(streamable_http_client(URL, http_client=http)) as client:
            print([tool.name for tool in (await client.list_tools()).tools])


asyncio.run(main())"""
