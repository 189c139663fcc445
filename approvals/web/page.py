"""Pages: Jinja templates that escape everything, and the headers of every answer to a browser."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from approvals.errors import ApprovalsError, NotFound, TooMuch, Unauthenticated
from approvals.web.guard import base_of
from approvals.wire import status_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import Receive, Scope, Send

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # with no-referrer a form's Origin would be null
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
STATIC = {
    "style.css": "text/css; charset=utf-8",
    "htmx-4.0.1.min.js": "text/javascript; charset=utf-8",
    "hx-sse-4.0.1.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
FOR_GOOD = "public, max-age=31536000, immutable"


def page(
    template: str, values: Mapping[str, object], *, status: int = 200, **headers: str
) -> Response:
    """A whole page."""
    return Response(
        part(template, values),
        status_code=status,
        media_type="text/html",
        headers={**HEADERS, **headers},
    )


def part(template: str, values: Mapping[str, object]) -> str:
    """A template as text."""
    return _templates().get_template(template).render(values)


def seen_elsewhere(path: str) -> Response:
    """After a form: look at `path`."""
    return RedirectResponse(path, status_code=303, headers=HEADERS)


class Page:
    """A handler as an ASGI application, with its errors shaped as pages."""

    def __init__(self, handler: Callable[[Request], Awaitable[Response]]) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._handler(request)
        except Unauthenticated:
            response = _to_sign_in(request)
        except ApprovalsError as error:
            response = wrong(error)
        await response(scope, receive, send)


def wrong(error: ApprovalsError) -> Response:
    """A page that says what is wrong."""
    said = "There is no such call." if isinstance(error, NotFound) else str(error)
    wait = {"retry-after": str(error.retry_after)} if isinstance(error, TooMuch) else {}
    return page("wrong.html", {"said": said, "who": None}, status=status_of(error), **wait)


async def static(request: Request) -> Response:
    """A style sheet or script, each version for good."""
    name = request.path_params["name"]
    if name not in STATIC:
        return wrong(NotFound("There is no such file."))
    content, _ = _static(name)
    headers = {**HEADERS, "cache-control": FOR_GOOD}
    return Response(content, media_type=STATIC[name], headers=headers)


def _to_sign_in(request: Request) -> Response:
    path = request.url.path.removeprefix(base_of(request))
    if request.method == "GET" and path.startswith("/a/"):
        return seen_elsewhere(f"/login?next={quote(path, safe='/')}")
    return seen_elsewhere("/login")


@cache
def _static(name: str) -> tuple[bytes, str]:
    content = files("approvals.web").joinpath("static", name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


def _asset(name: str) -> str:
    """Where a file is; another content is another address."""
    return f"/static/{name}?v={_static(name)[1]}"


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("approvals.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["asset"] = _asset
    return made
