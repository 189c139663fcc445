"""The events of streams, kept so that a client can resume a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.server.streamable_http import EventMessage, EventStore

if TYPE_CHECKING:
    from mcp.server.streamable_http import EventCallback
    from mcp_types import JSONRPCMessage


class Events(EventStore):
    """Every event since the start; the id of an event is its position.

    The streams of two sessions can have the same id, so only one client may resume at a time.
    """

    def __init__(self) -> None:
        self._events: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self._events.append((stream_id, message))
        return str(len(self._events) - 1)

    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        if not last_event_id.isdecimal() or int(last_event_id) >= len(self._events):
            return None
        position = int(last_event_id)
        resumed, _ = self._events[position]
        later = list(enumerate(self._events))[position + 1 :]
        for number, (stream, message) in later:
            if stream == resumed and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return resumed
