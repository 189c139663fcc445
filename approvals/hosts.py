"""On loopback only this machine's names are answered to: a web page elsewhere cannot reach in.

A page can point its own name at 127.0.0.1 and then talk to what listens there; the Host and Origin
headers still tell its name (SECURITY.md 22).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from approvals.wire import respond, text_header

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


class HostCheck:
    """Pure ASGI middleware: 403 for a Host or Origin that is not ours."""

    def __init__(self, app: ASGIApp, *, public_url: str | None) -> None:
        self._app = app
        public = urlsplit(public_url).hostname if public_url else None
        self._known = LOCAL | ({public} if public else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._is_known(scope):
            await self._app(scope, receive, send)
            return
        await respond(
            send,
            403,
            b'{"type":"/errors/forbidden","code":"forbidden","status":403,'
            b'"detail":"This Host or Origin is not known here; set APPROVALS_PUBLIC_URL."}',
            content_type=b"application/problem+json",
        )

    def _is_known(self, scope: Scope) -> bool:
        origin = text_header(scope, b"origin")
        host = f"//{text_header(scope, b'host') or ''}"
        return self._names_us(host) and (origin is None or self._names_us(origin))

    def _names_us(self, url: str) -> bool:
        return _name(url) in self._known


@lru_cache(maxsize=64)
def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
