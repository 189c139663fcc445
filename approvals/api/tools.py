"""/v1/tools: what an agent may see of a server that its program runs itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.api import bodies
from approvals.api.routes import Operation, agent, answer
from approvals.wire import services

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

ONLY = "This says what an agent may see; ask with its key."


async def visible_tools(request: Request) -> Response:
    """Those of the named tools that the asker may see, and whether requests that are no tool calls
    may pass now (`resources/read`, `prompts/get`)."""
    by = await agent(request, ONLY)
    body = await bodies.read(request, bodies.VisibleTools)
    gate = services(request).gate
    seen = [tool for tool in body.tools if not gate.hides(by.name, body.server, tool)]
    others = gate.other_methods(by.name, body.server)
    frozen = others and await gate.freeze_of(by.name, body.server) is not None
    return answer({"tools": seen, "other_methods": others and not frozen})


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/tools",
        summary="What an agent may see",
        handler=visible_tools,
        body=bodies.VisibleTools,
        answers={200: "the names that are left", 403: "forbidden: for agents"},
    ),
)
