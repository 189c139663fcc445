"""Every page, and every form that a page sends."""

from __future__ import annotations

from starlette.routing import Route

from approvals.web import calls, inbox
from approvals.web.guard import BELOW
from approvals.web.login import Login
from approvals.web.page import Page, static


def routes() -> list[Route]:
    """The routes of one service."""
    login = Login()
    gets = {
        "/": inbox.inbox,
        "/live": inbox.live,
        "/login": login.show,
        "/a/{id}": calls.show,
        "/a/{id}/live": calls.live,
        "/static/{name}": static,
    }
    posts = {
        "/login": login.sign_in,
        "/logout": login.sign_out,
        "/a/{id}/approve": calls.approve,
        "/a/{id}/deny": calls.deny,
        "/a/{id}/reveal": calls.reveal,
    }
    return [
        Route(below + path, Page(handler), methods=[method])
        for method, handlers in (("GET", gets), ("POST", posts))
        for path, handler in handlers.items()
        for below in ("", f"{BELOW}{{session}}")
    ]
