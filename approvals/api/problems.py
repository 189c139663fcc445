"""Errors as problem+json (RFC 9457) with the stable `code`; values of a call are never repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from approvals import errors
from approvals.domain.strictjson import canonical
from approvals.wire import status_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send


def problem(error: errors.ApprovalsError) -> Response:
    """The response for an error."""
    status = status_of(error)
    headers = {}
    if status == 401:  # noqa: PLR2004
        headers["www-authenticate"] = "Bearer"
    if status == 503:  # noqa: PLR2004
        headers["retry-after"] = "2"
    if isinstance(error, errors.TooMuch):
        headers["retry-after"] = str(error.retry_after)
    return written(status, error.code, str(error), headers)


def written(status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    """A problem with these words."""
    body = {"type": f"/errors/{code}", "code": code, "status": status, "detail": detail}
    return Response(
        canonical(body),
        status_code=status,
        media_type="application/problem+json",
        headers={"cache-control": "no-store", **(headers or {})},
    )


class HttpProblems:
    """Pure ASGI middleware: what the router itself refuses is a problem too (no such route, or
    another method)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except HTTPException as error:
            await _refused(error.status_code)(scope, receive, send)


def _refused(status: int) -> Response:
    if status == 405:  # noqa: PLR2004
        return written(status, "method_not_allowed", "This route does not take this method.")
    return written(status, "not_found", "There is no such route.")


async def error_page(request: Request) -> Response:
    """`/errors/{code}`: what an error means, in the words of its class."""
    wanted = request.path_params["code"]
    known = {kind.code: kind for kind in _family(errors.ApprovalsError)}
    kind = known.get(wanted)
    if kind is None:
        return HTMLResponse("<p>There is no such error.</p>", status_code=404)
    return HTMLResponse(f"<h1>{kind.code}</h1><p>{kind.__doc__}</p>")


def _family(kind: type[errors.ApprovalsError]) -> list[type[errors.ApprovalsError]]:
    """Subclasses first, so that a base class names its own code."""
    return [found for sub in kind.__subclasses__() for found in _family(sub)] + [kind]
