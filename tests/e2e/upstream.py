"""A real MCP server whose tools count what reaches them; the only truth about what ran."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING

from mcp.server.mcpserver import MCPServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.applications import Starlette
    from starlette.types import Receive, Scope, Send


class Upstream:
    """`act` is what needs approval, `look` is harmless, `hidden_act` must not be seen.

    `seen` holds each `tools/call` body exactly as it came over the wire, `said` every body.
    """

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()
        self.seen: list[str] = []
        self.said: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.pause = asyncio.Event()
        self.pause.set()
        self.description = "Do something that cannot be undone."
        self.change_act: Callable[[str], None] = lambda _: None

    @property
    def calls(self) -> int:
        """How many calls of `act` reached the tool."""
        return self.ran.total()

    def app(self) -> Starlette:
        """The server over streamable HTTP, with a look at every request on its way in."""
        server = MCPServer("upstream", log_level="ERROR")

        async def act(what: str, n: int = 0) -> str:
            self.ran[what] += 1
            await self.pause.wait()
            return f"did {what} {n}"

        def change_act(description: str) -> None:
            server.remove_tool("act")
            server.add_tool(act, description=description, structured_output=False)

        server.add_tool(act, description=self.description, structured_output=False)
        self.change_act = change_act

        @server.tool(structured_output=False)
        def look(what: str) -> str:
            """See something."""
            return f"saw {what}"

        @server.tool(structured_output=False)
        def break_it(what: str) -> str:
            """Fail."""
            self.ran[what] += 1
            raise ValueError("broken on purpose")

        @server.tool(structured_output=False)
        def hidden_act(what: str) -> str:
            """Never to be seen."""
            self.ran[what] += 1
            return "oh no"

        @server.tool(name="\u8f6c\u8d26", structured_output=False)
        def pay(what: str) -> str:
            """Pay."""
            return f"paid {what}"

        @server.resource("note://one")
        def note() -> str:
            """A note."""
            return "noted"

        app = server.streamable_http_app(json_response=True)
        app.add_middleware(Recorder, upstream=self)
        return app


class Recorder:
    def __init__(self, app: object, *, upstream: Upstream) -> None:
        self._app = app
        self._upstream = upstream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)  # type: ignore[operator]
            return
        headers = {k.decode(): v.decode("latin-1") for k, v in scope["headers"]}
        self._upstream.headers.append(headers)

        async def recorded() -> object:
            message = await receive()
            raw = message.get("body", b"")
            if raw:
                self._upstream.said.append(raw.decode("utf-8", "replace"))
            if b'"tools/call"' in raw:
                self._upstream.seen.append(raw.decode())
            return message

        await self._app(scope, recorded, send)  # type: ignore[operator]


def arguments_in(body: str) -> str:
    """The text of `params.arguments` in a recorded body that the gateway wrote."""
    start = body.index('"arguments":') + len('"arguments":')
    depth, inside, escaped = 0, False, False
    for end, character in enumerate(body[start:], start):
        if inside:
            escaped, inside = character == "\\" and not escaped, character != '"' or escaped
        elif character == '"':
            inside = True
        elif character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
            if depth == 0:
                return body[start : end + 1]
    raise AssertionError(json.dumps(body))
