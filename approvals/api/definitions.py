"""/v1/definitions: what servers changed about their tools, and accepting it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.api import bodies
from approvals.api.resources import definition_resource
from approvals.api.routes import Operation, answer, principal
from approvals.wire import services

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def list_definitions(request: Request) -> Response:
    """The tools whose definition is not the accepted one, with everything that differs. Their calls
    are refused. `before` and `after` are missing where there is nothing."""
    by = await principal(request)
    waiting = await services(request).definitions.waiting(by)
    return answer({"definitions": [definition_resource(found) for found in waiting]})


async def accept_definition(request: Request) -> Response:
    """Let calls go on with the definition of this hash: the one that was shown."""
    by = await principal(request)
    body = await bodies.read(request, bodies.AcceptDefinition)
    await services(request).definitions.accept(
        by, server=body.server, tool=body.tool, hash_=body.hash
    )
    return answer({"server": body.server, "tool": body.tool, "hash": body.hash})


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/definitions",
        summary="List changed definitions",
        handler=list_definitions,
        answers={200: "those that wait", 403: "forbidden"},
        tags=("definitions",),
    ),
    Operation(
        method="POST",
        path="/v1/definitions/accept",
        summary="Accept a changed definition",
        handler=accept_definition,
        body=bodies.AcceptDefinition,
        answers={
            200: "accepted",
            403: "forbidden",
            404: "no such definition waits",
            422: "invalid_input",
        },
        tags=("definitions",),
    ),
)
