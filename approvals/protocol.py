"""HTTP/1.1 as uvicorn parses it with httptools, with bounds on what one request may bring.

h11 has such bounds; httptools takes half its time and has none: a head or trailers without an end
would be kept in memory for as long as somebody sends them.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024
MAX_MESSAGE = 32 * 1024 * 1024
"""Far more than any body that is accepted, so that who sends too much still gets its answer."""


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection when a request's head does not end within 64 KiB, or the request within
    32 MiB."""

    _in_head = True
    _size = 0

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        super().data_received(data)
        if self._size > (MAX_HEAD if self._in_head else MAX_MESSAGE):
            self.transport.abort()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head = False

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._size = True, 0
