"""/v1/approvals/{id}/…: more time, more people, or the end of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from approvals.api import bodies
from approvals.api.approvals import one
from approvals.api.routes import Operation, principal
from approvals.errors import InvalidInput
from approvals.wire import services

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


async def cancel(request: Request) -> Response:
    """Withdraw a call that was not sent yet: its requester, its owner or an admin."""
    by = await principal(request)
    await bodies.read(request, bodies.Nothing)
    approval = await services(request).approvals.cancel(by, request.path_params["id"])
    return one(request, by, approval)


async def revoke(request: Request) -> Response:
    """Take an approval back, or end the asking: who may decide on the call, or an admin."""
    by = await principal(request)
    body = await bodies.read(request, bodies.Because)
    approval = await services(request).approvals.revoke(
        by, request.path_params["id"], reason=body.reason
    )
    return one(request, by, approval)


async def extend(request: Request) -> Response:
    """Give people more time, at most to `requirement.latest_deadline`."""
    by = await principal(request)
    body = await bodies.read(request, bodies.Extension)
    until = _moment(body.until)
    approval = await services(request).approvals.extend(by, request.path_params["id"], until=until)
    return one(request, by, approval)


async def escalate(request: Request) -> Response:
    """Ask the people of the rule's `escalate` now."""
    by = await principal(request)
    await bodies.read(request, bodies.Nothing)
    approval = await services(request).approvals.escalate(by, request.path_params["id"])
    return one(request, by, approval)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is None:
            raise ValueError
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(
            "`until` is a time with its zone, such as 2026-11-20T15:00:00Z."
        ) from None


_ANSWERS = {
    200: "the approval after it",
    403: "forbidden",
    404: "not there, or not yours to see",
    409: "already_decided, expired, cancelled; illegal_transition: nobody is left to ask",
    422: "invalid_input",
}

OPERATIONS = tuple(
    Operation(
        method="POST",
        path=f"/v1/approvals/{{id}}/{handler.__name__}",
        summary=summary,
        handler=handler,
        body=body,
        answers=_ANSWERS,
    )
    for handler, summary, body in (
        (cancel, "Withdraw a call", bodies.Nothing),
        (revoke, "Take an approval back", bodies.Because),
        (extend, "Give people more time", bodies.Extension),
        (escalate, "Ask more people now", bodies.Nothing),
    )
)
