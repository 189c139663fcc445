"""`/login`: a one-time link begins a session. GET shows a button and changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.errors import TooManyTries, Unauthenticated
from approvals.service.sign_in import SESSION_LASTS
from approvals.web import guard
from approvals.web.page import page, seen_elsewhere
from approvals.web.tries import Tries
from approvals.wire import cookie, place, services

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

NEXT = ("/a/",)
"""Where somebody may be sent after signing in: a call."""


class Login:
    """Signing in and out; who fails too often from one address is told so, and no more."""

    def __init__(self) -> None:
        self._failures = Tries()

    async def show(self, request: Request) -> Response:
        """The page with the button, or with how to come by a link."""
        link = request.query_params.get("link", "")
        return page("login.html", {"who": None, "link": link, "next": _next(request), "said": ""})

    async def sign_in(self, request: Request) -> Response:
        """Use the link up, and begin a new session whatever the browser held before."""
        guard.check_origin(request)
        fields = await guard.form(request)
        try:
            session, _ = await services(request).sign_in.sign_in(fields.get("link", ""))
        except Unauthenticated as error:
            self._count(request.client.host if request.client else "")
            said = {"who": None, "link": "", "next": "", "said": str(error)}
            return page("login.html", said, status=401)
        reached, base = place(request), guard.new_base(request, session)
        if old := cookie(request.scope, reached.cookie):
            await services(request).sign_in.sign_out(old)
        response = seen_elsewhere(base + (_safe(fields.get("next", "")) or "/"))
        lasts = round(SESSION_LASTS.total_seconds())
        guard.give(response, session, base, reached, lasts=lasts)
        return response

    def _count(self, address: str) -> None:
        """Raises TooManyTries. A link that works is taken all the same: nobody locks others out."""
        self._failures.failed(address)
        if wait := self._failures.wait(address):
            raise TooManyTries("Too many failed tries. Wait a moment.", retry_after=wait)

    async def sign_out(self, request: Request) -> Response:
        """End the session; its cookie is worth nothing afterwards, wherever it is."""
        who, _ = await guard.posted(request)
        await services(request).sign_in.sign_out(who.session)
        response = seen_elsewhere("/login")
        guard.take(response, who, place(request))
        return response


def _next(request: Request) -> str:
    return _safe(request.query_params.get("next", ""))


def _safe(path: str) -> str:
    """A path of ours, and no address elsewhere (`//`, `\\`)."""
    plain = path.isascii() and path.isprintable() and "\\" not in path and "//" not in path
    return path if plain and path.startswith(NEXT) and len(path) < 100 else ""  # noqa: PLR2004
