"""npm's server-everything: how it is started, and what it is asked."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests.npm import node, package
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

ALLOW = {"version": "1", "default": "allow"}
CALLS: dict[str, dict[str, Any]] = {
    "echo": {"message": "hi \u00e9 \U0001f600"},
    "get-sum": {"a": 1, "b": 2.5},
    "get-annotated-message": {"messageType": "error", "includeImage": True},
    "get-resource-links": {"count": 3},
    "get-resource-reference": {"resourceType": "Text", "resourceId": 1},
    "get-structured-content": {"location": "Chicago"},
    "get-tiny-image": {},
    "trigger-long-running-operation": {"duration": 0.4, "steps": 4},
    "trigger-sampling-request": {"prompt": "say", "maxTokens": 10},
    "trigger-elicitation-request": {},
    "get-roots-list": {},
}


def everything() -> Path:
    return package("@modelcontextprotocol/server-everything") / "dist" / "index.js"


def stable(said: Any) -> Any:
    """Without what changes from call to call: times, and weather that is made up."""
    if isinstance(said, dict):
        return {key: stable(value) for key, value in said.items() if key != "last_modified"}
    if isinstance(said, list):
        return [stable(value) for value in said]
    if isinstance(said, str) and (":" in said and ("T" in said or " " in said)):
        return " ".join(word for word in said.split() if ":" not in word)
    return said


@contextmanager
def serving(transport: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """The entry of approvals.yaml, and a transport straight to the server."""
    command, script = str(node()), str(everything())
    if transport == "stdio":
        parameters = StdioServerParameters(command=command, args=[script, "stdio"])
        yield {"command": command, "args": [script, "stdio"]}, stdio_client(parameters)
        return
    port = free_port()
    process = subprocess.Popen(
        [command, script, "streamableHttp"],
        env={"PORT": str(port), "PATH": os.defpath},
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/mcp"
    try:
        while not answers(url):
            time.sleep(0.1)
        yield {"url": url}, streamable_http_client(url)
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    """Whether somebody listens there."""
    try:
        urllib.request.urlopen(url, timeout=5)
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
