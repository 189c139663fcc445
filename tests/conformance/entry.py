"""A tool of the fixture: what `tools/list` says about it and what `tools/call` runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolRequestParams,
    CallToolResult,
    ClientCapabilities,
    InputRequiredResult,
    Tool,
)

Context: TypeAlias = ServerRequestContext[Any, Any]
Answer: TypeAlias = CallToolResult | InputRequiredResult
Run: TypeAlias = Callable[[Context, CallToolRequestParams], Awaitable[Answer]]


@dataclass(frozen=True)
class Entry:
    """A tool and its function."""

    tool: Tool
    run: Run


def entry(name: str, description: str, run: Run, schema: dict[str, Any] | None = None) -> Entry:
    """A tool; without a schema it takes no arguments."""
    schema = schema or {"type": "object", "properties": {}}
    return Entry(Tool(name=name, description=description, input_schema=schema), run)


def strings(*names: str) -> dict[str, Any]:
    """The schema of an object in which these strings are required."""
    properties = {name: {"type": "string"} for name in names}
    return {"type": "object", "properties": properties, "required": list(names)}


def argument(params: CallToolRequestParams, name: str) -> str:
    return str((params.arguments or {}).get(name, ""))


def require(context: Context, *names: str) -> None:
    """Refuse the request of a client that has not declared these capabilities."""
    declared = context.session.client_capabilities or ClientCapabilities()
    missing = [name for name in names if getattr(declared, name) is None]
    if missing:
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"The client has to declare: {', '.join(missing)}",
            {"requiredCapabilities": {name: {} for name in missing}},
        )
