"""/v1/approvals/{id}/release: for programs that run an approved call themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.api import bodies
from approvals.api.approvals import one
from approvals.api.resources import viewed
from approvals.api.routes import Operation, agent, answer
from approvals.domain.states import ReleaseStatus
from approvals.domain.strictjson import parse
from approvals.wire import services

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

ONLY = "The program that asked releases its call, with its agent's key."


async def release(request: Request) -> Response:
    """Take the one release of a call. The answer has the exact approved arguments; from here on
    the call counts as sent, and its outcome is to be told by `report_by`."""
    by = await agent(request, ONLY)
    body = await bodies.read(request, bodies.TakeRelease)
    use = services(request)
    approval = await use.caller.release(
        by, request.path_params["id"], token=body.release_token, digest=body.digest
    )
    directory = use.rules.current.directory
    return answer(
        {
            "server": approval.call.server,
            "tool": approval.call.tool,
            "arguments": parse(approval.call.arguments.encode("utf-8")),
            "approval": viewed(approval, viewer=by, directory=directory),
        }
    )


async def report(request: Request) -> Response:
    """Tell how the sending ended; with the token of the release, and once."""
    by = await agent(request, ONLY)
    body = await bodies.read(request, bodies.ReleaseOutcome)
    approval = await services(request).caller.report(
        by,
        request.path_params["id"],
        token=body.release_token,
        status=ReleaseStatus(body.status),
        detail=body.detail,
    )
    return one(request, by, approval)


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/approvals/{id}/release",
        summary="Take the one release of an approved call",
        handler=release,
        body=bodies.TakeRelease,
        answers={
            200: "the exact arguments; the same token again: the same answer",
            403: "forbidden: the gateway sends this call, or a person asks",
            404: "not there, or not yours",
            409: "not_approved, lapsed, already_released, cancelled, frozen, digest_mismatch",
            422: "invalid_input",
            429: "rate_limited",
        },
    ),
    Operation(
        method="POST",
        path="/v1/approvals/{id}/release/outcome",
        summary="Report how a release ended",
        handler=report,
        body=bodies.ReleaseOutcome,
        answers={
            200: "the approval after it",
            403: "forbidden",
            404: "not there, or not yours",
            409: "not_approved, already_released, illegal_transition",
            422: "invalid_input",
        },
    ),
)
