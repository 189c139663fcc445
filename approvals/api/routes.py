"""Thin endpoints that declare their OpenAPI operation beside the code.

FastAPI's own body handling accepts duplicate keys and NaN and costs most of a request's time, so
routes are plain Starlette; FastAPI serves them, and its document lists exactly what is mounted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from approvals.api.problems import problem
from approvals.domain.strictjson import Number, Written, canonical
from approvals.errors import ApprovalsError, Forbidden
from approvals.service.identity import AgentPrincipal, PersonPrincipal
from approvals.wire import bearer, cookie, header, place, services

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from pydantic import BaseModel
    from starlette.types import Receive, Scope, Send

    from approvals.service.identity import Principal


JSON = "application/json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One route and what the document says of it. `answers`: status → when."""

    method: str
    path: str
    summary: str
    handler: Callable[[Request], Awaitable[Response]]
    answers: Mapping[int, str]
    body: type[BaseModel] | None = None
    query: Sequence[str] = ()
    headers: Sequence[str] = ()
    secured: bool = True
    media_type: str = JSON
    tags: Sequence[str] = field(default_factory=lambda: ("approvals",))

    def route(self) -> Route:
        """The Starlette route."""
        endpoint = _Endpoint(self.handler)
        return Route(self.path, endpoint, methods=[self.method], name=self.handler.__name__)


class _Endpoint:
    """A handler as an ASGI application, with its errors shaped as problems: without the layers that
    Starlette puts around a function."""

    def __init__(self, handler: Callable[[Request], Awaitable[Response]]) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._handler(Request(scope, receive))
        except ApprovalsError as error:
            response = problem(error)
        await response(scope, receive, send)


async def principal(request: Request) -> Principal:
    """Who asks: by bearer key, or, to read only, by the session of a browser.

    Raises Unauthenticated.
    """
    reads = request.method == "GET" and header(request.scope, b"authorization") is None
    if reads and (session := cookie(request.scope, place(request).cookie)):
        return await services(request).sign_in.person(session)
    return await services(request).identity.principal(bearer(request.scope))


async def person(request: Request, otherwise: str) -> PersonPrincipal:
    """The person who asks. Raises Forbidden with these words for an agent."""
    by = await principal(request)
    if not isinstance(by, PersonPrincipal):
        raise Forbidden(otherwise)
    return by


async def agent(request: Request, otherwise: str) -> AgentPrincipal:
    """The agent that asks. Raises Forbidden with these words for a person."""
    by = await principal(request)
    if not isinstance(by, AgentPrincipal):
        raise Forbidden(otherwise)
    return by


def answer(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Exact JSON."""
    return Response(
        _exact(value),
        status_code=status,
        media_type=JSON,
        headers={"cache-control": "no-store", **(headers or {})},
    )


def _exact(value: object) -> bytes:
    """The canonical text. orjson is several times faster, and cannot write integers beyond 64 bits,
    which only arguments have: those are written already."""
    try:
        return orjson.dumps(value, default=_as_it_is, option=_AS_CANONICAL)
    except TypeError:
        return canonical(value).encode()


_AS_CANONICAL = (
    orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
)
"""What is no JSON is refused, and not written as orjson thinks best."""


def _as_it_is(value: object) -> orjson.Fragment:
    match value:
        case Written(text=text) | Number(lexeme=text):
            return orjson.Fragment(text)
    raise TypeError(f"{type(value).__name__} is not JSON")
