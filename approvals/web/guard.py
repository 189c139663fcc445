"""Who sends a request of a browser, and whether it was meant: session, origin and form token.

A cookie goes with every request, also with one that another site makes the browser send. So a
request that changes something comes from a page of ours (Origin, Sec-Fetch-Site) and has the token
that only a page of this session holds (SECURITY.md 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from approvals.errors import Forbidden, InvalidInput, Unauthenticated
from approvals.wire import cookie, header, place, read_body, services, text_header

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Scope

    from approvals.service.identity import PersonPrincipal
    from approvals.wire import Place

BELOW = "/s/"
MAX_FIELDS = 20
FORM = b"application/x-www-form-urlencoded"
ELSEWHERE = "This was not sent from a page of this service, so nothing was done."
OLD_PAGE = "This page is of another sign-in. Open the call again and decide there."


PATH, TOKEN = "web path", "web form"
"""What words of a session are for."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person and the session: where its pages are, and what every form of them carries."""

    person: PersonPrincipal
    session: str
    base: str
    form_token: str


async def signed_in(request: Request) -> SignedIn:
    """Who is signed in. Raises Unauthenticated."""
    reached, use = place(request), services(request).sign_in
    session = cookie(request.scope, reached.cookie)
    if not session:
        raise Unauthenticated("Sign in first.")
    base = base_of(request)
    if not reached.is_secure and not use.is_word(PATH, session, base.removeprefix(BELOW)):
        raise Unauthenticated("This is another session's page.")
    return SignedIn(await use.person(session), session, base, use.word(TOKEN, session))


def base_of(request: Request) -> str:
    """Below which path the page is that was asked for."""
    word = request.path_params.get("session")
    return "" if word is None else BELOW + word


def new_base(request: Request, session: str) -> str:
    """Below which path the pages of a session are.

    A browser sends a cookie to every port of its host. Without TLS that may be anybody's, such as a
    page of the agent's own, so there the pages of a session, and its cookie, are below a path
    that nobody else knows (decision 20).
    """
    if place(request).is_secure:
        return ""
    return BELOW + services(request).sign_in.word(PATH, session)


async def posted(request: Request) -> tuple[SignedIn, Mapping[str, str]]:
    """Who sent a form, and its fields. Raises Forbidden where it is no form of this session."""
    check_origin(request)
    who = await signed_in(request)
    fields = await form(request)
    given = fields.get("form_token", "")
    if not services(request).sign_in.is_word(TOKEN, who.session, given):
        raise Forbidden(OLD_PAGE)
    return who, fields


async def form(request: Request) -> Mapping[str, str]:
    """The fields of a form. Raises InvalidInput for anything else."""
    kind = (header(request.scope, b"content-type") or b"").split(b";")[0].strip().lower()
    if kind != FORM:
        raise InvalidInput("This route takes a form.")
    raw = await read_body(request.scope, request.receive)
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(raw),
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise InvalidInput("This is no form.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs) or any("\0" in value for value in fields.values()):
        raise InvalidInput("A field stands there twice, or holds a NUL.")
    return fields


def check_origin(request: Request) -> None:
    """Raises Forbidden unless the browser says that a page of ours sent this."""
    scope = request.scope
    site = text_header(scope, b"sec-fetch-site")
    origin = text_header(scope, b"origin")
    if site not in {None, "same-origin"} or (site is None and origin is None):
        raise Forbidden(ELSEWHERE)
    if origin is not None and not _is_ours(origin, scope, place(request)):
        raise Forbidden(ELSEWHERE)


def _is_ours(origin: str, scope: Scope, reached: Place) -> bool:
    try:
        parts, public = urlsplit(origin), urlsplit(reached.public_url or "").netloc.lower()
    except ValueError:
        return False
    host, named = (text_header(scope, b"host") or "").lower(), parts.netloc.lower()
    if reached.is_secure and parts.scheme != "https":
        return False
    return bool(named) and named in {host, public}


def give(response: Response, session: str, base: str, reached: Place, *, lasts: int) -> None:
    """Put the session's cookie into an answer."""
    response.set_cookie(
        reached.cookie,
        session,
        max_age=lasts,
        path=base or "/",
        secure=reached.is_secure,
        httponly=True,
        samesite="lax",
    )


def take(response: Response, who: SignedIn, reached: Place) -> None:
    """Take the cookie back."""
    response.delete_cookie(
        reached.cookie,
        path=who.base or "/",
        secure=reached.is_secure,
        httponly=True,
        samesite="lax",
    )
