"""The few HTTP matters that the REST API, the web pages and the gateway share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from approvals import errors
from approvals.errors import BodyTooLarge, InvalidInput, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from approvals.service.services import Services

MAX_BODY = 2 * 1024 * 1024
"""Bytes of one request."""

JSON = b"application/json"


STATUS: dict[type[errors.ApprovalsError], int] = {
    errors.InvalidInput: 422,
    errors.InvalidJson: 400,
    errors.BodyTooLarge: 413,
    errors.NotFound: 404,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.Settled: 409,
    errors.DigestMismatch: 409,
    errors.Unreleasable: 409,
    errors.CallsFrozen: 409,
    errors.TooMuch: 429,
    errors.ConfigurationInvalid: 422,
    errors.IllegalTransition: 409,
    errors.ChannelFailed: 502,
    errors.Overloaded: 503,
    errors.Unavailable: 503,
    errors.Undetermined: 503,
    errors.StoreFailure: 503,
}


@dataclass(frozen=True, slots=True)
class Place:
    """How the pages are reached; a cookie of an https page is never sent without TLS."""

    public_url: str | None

    @property
    def is_secure(self) -> bool:
        return self.public_url is not None and self.public_url.startswith("https://")

    @property
    def cookie(self) -> str:
        return "__Host-approvals" if self.is_secure else "approvals"


def services(request: Request) -> Services:
    """The running service."""
    return cast("Services", request.app.state.services)


def place(request: Request) -> Place:
    """How the pages are reached."""
    return cast("Place", request.app.state.place)


def status_of(error: errors.ApprovalsError) -> int:
    """The HTTP status of an error: the nearest class in its family says it."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of this (lower-case) name."""
    return next((value for key, value in scope["headers"] if key == name), None)


def text_header(scope: Scope, name: bytes) -> str | None:
    """The header as text without blanks at its ends; bytes outside ASCII stay distinguishable."""
    value = header(scope, name)
    return None if value is None else value.decode("latin-1").strip(" \t")


def cookie(scope: Scope, name: str) -> str | None:
    """The cookie of this name. Of two nobody knows which is ours: then there is none."""
    said = (value for key, value in scope["headers"] if key == b"cookie")
    pairs = [pair.strip(" ") for line in said for pair in line.decode("latin-1").split(";")]
    found = [pair.partition("=")[2] for pair in pairs if pair.partition("=")[0] == name]
    return found[0] if len(found) == 1 else None


def bearer(scope: Scope) -> str:
    """The bearer token of a request. Raises Unauthenticated when there is none."""
    value = text_header(scope, b"authorization") or ""
    kind, _, token = value.partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Send a key: `Authorization: Bearer …`.")
    return token.strip()


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body, at most 2 MiB; a larger one is not read to its end.

    Raises BodyTooLarge, and InvalidInput for a compressed or interrupted body.
    """
    if (header(scope, b"content-encoding") or b"identity").lower() != b"identity":
        raise InvalidInput("A compressed body is not accepted.")
    declared = header(scope, b"content-length")
    if declared is not None and (not declared.isdigit() or int(declared[:20]) > MAX_BODY):
        raise BodyTooLarge(f"The body is larger than {MAX_BODY} bytes.")
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidInput("The client left before its request was complete.")
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY:
            raise BodyTooLarge(f"The body is larger than {MAX_BODY} bytes.")
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def gone(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def respond(
    send: Send,
    status: int,
    body: bytes,
    *,
    content_type: bytes = JSON,
    headers: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    """One whole response."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})
