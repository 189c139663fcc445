"""The few HTTP matters that the REST API and the gateway share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.errors import BodyTooLarge, InvalidInput, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Receive, Scope, Send

MAX_BODY = 2 * 1024 * 1024
"""Bytes of one request."""

JSON = b"application/json"


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of this (lower-case) name."""
    return next((value for key, value in scope["headers"] if key == name), None)


def text_header(scope: Scope, name: bytes) -> str | None:
    """The header as text without blanks at its ends; bytes outside ASCII stay distinguishable."""
    value = header(scope, name)
    return None if value is None else value.decode("latin-1").strip(" \t")


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
