"""/v1/freezes: stop calls, let them go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from approvals.api import bodies
from approvals.api.resources import freeze_resource
from approvals.api.routes import Operation, answer, principal
from approvals.wire import services

if TYPE_CHECKING:
    from starlette.requests import Request


async def create_freeze(request: Request) -> Response:
    """Refuse new calls and releases in scope from now on; deadlines run on. The answer lists what
    is being sent at this moment and cannot be stopped any more."""
    by = await principal(request)
    body = await bodies.read(request, bodies.NewFreeze)
    freeze, sent = await services(request).freezes.freeze(
        by, server=body.server, agent=body.agent, reason=body.reason
    )
    return answer({**freeze_resource(freeze), "sent": [found.id for found in sent]}, status=201)


async def list_freezes(request: Request) -> Response:
    """The freezes in force."""
    by = await principal(request)
    freezes = await services(request).freezes.in_force(by)
    return answer({"freezes": [freeze_resource(freeze) for freeze in freezes]})


async def end_freeze(request: Request) -> Response:
    """Let calls go on."""
    by = await principal(request)
    await services(request).freezes.thaw(by, request.path_params["id"])
    return Response(status_code=204)


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/freezes",
        summary="Freeze calls",
        handler=create_freeze,
        body=bodies.NewFreeze,
        answers={201: "in force", 403: "forbidden", 422: "invalid_input"},
        tags=("freezes",),
    ),
    Operation(
        method="GET",
        path="/v1/freezes",
        summary="List freezes",
        handler=list_freezes,
        answers={200: "those in force", 403: "forbidden"},
        tags=("freezes",),
    ),
    Operation(
        method="DELETE",
        path="/v1/freezes/{id}",
        summary="Thaw",
        handler=end_freeze,
        answers={204: "ended", 403: "forbidden", 404: "no such freeze in force"},
        tags=("freezes",),
    ),
)
