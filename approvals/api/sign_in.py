"""/v1/sign-in-links: a link with which a person signs in to the pages, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.api import bodies
from approvals.api.resources import link_resource
from approvals.api.routes import Operation, answer, person
from approvals.wire import place, services

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


ONLY = "Agents do not sign in."


async def make_link(request: Request) -> Response:
    """Make a link for oneself. It works once, for 15 minutes."""
    by = await person(request, ONLY)
    await bodies.read(request, bodies.Nothing)
    link, expires_at = await services(request).sign_in.link(by)
    base = place(request).public_url or str(request.base_url).rstrip("/")
    return answer(link_resource(f"{base}/login?link={link}", expires_at), status=201)


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/sign-in-links",
        summary="Make a sign-in link",
        handler=make_link,
        body=bodies.Nothing,
        answers={201: "the link, shown once", 403: "forbidden"},
        tags=("keys",),
    ),
)
