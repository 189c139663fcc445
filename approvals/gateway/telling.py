"""What a client is told before its answer: that it still waits, and what the server says."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from approvals.domain.strictjson import Json, Number, as_read
from approvals.gateway import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import timedelta

MAX_QUEUED = 1000
"""Messages that may wait for a client that does not read; what comes then is not told."""
MAX_BYTES = 16 * 1024 * 1024
READS_WITHIN = 5
"""Seconds that the answer waits for a client to take what was said before it."""


class Listener(Protocol):
    """A client that takes messages before its answer."""

    async def tell(self, message: bytes, /) -> None: ...


class Telling:
    """One client. Its reading is waited for here, and by nobody else.

    Progress must only ever rise, so the server's own follows the notes of the gateway, and once the
    server tells its progress the gateway tells none.
    """

    def __init__(
        self, client: Listener, *, token: Json, note: Callable[[], str], every: timedelta
    ) -> None:
        """`token` is the client's progress token, None where it has none; `note` says how its call
        stands, told `every` so often."""
        self._client = client
        self._token = token
        self._note = note
        self._every = every.total_seconds()
        self._said: asyncio.Queue[bytes] = asyncio.Queue(MAX_QUEUED)
        self._size = 0
        self._notes = 0
        self._server_tells = False
        self._closed = False

    def heard(self, said: Mapping[str, Json]) -> bool:
        """See `Hears`."""
        told = self._after_ours(said) if said.get("method") == messages.PROGRESS else said
        if self._closed or told is None or self._said.full():
            return False
        body = as_read(dict(told)).encode()
        if self._size + len(body) > MAX_BYTES:
            return False
        self._size += len(body)
        self._said.put_nowait(body)
        return True

    def close(self) -> None:
        """Nothing more reaches the client."""
        self._closed = True

    async def finish(self) -> None:
        """What was heard goes out before the answer does, unless the client does not read."""
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(READS_WITHIN):
                await self._said.join()

    async def run(self) -> None:
        """Until cancelled."""
        next_note = _now()
        while True:
            if self._tells_notes and _now() >= next_note:
                await self._tell_note()
                next_note = _now() + self._every
            try:
                left = next_note - _now() if self._tells_notes else None
                said = await asyncio.wait_for(self._said.get(), left)
            except TimeoutError:
                continue
            self._size -= len(said)
            await self._client.tell(said)
            self._said.task_done()

    def _after_ours(self, said: Mapping[str, Json]) -> Mapping[str, Json] | None:
        """The server's progress under the client's token, above what was told before it."""
        params = said.get("params")
        if self._token is None or not isinstance(params, dict):
            return None
        self._server_tells = True
        before = self._notes + 1 if self._notes else 0
        numbers: dict[str, Json] = {
            name: _above(before, params[name]) for name in ("progress", "total") if name in params
        }
        return {**said, "params": {**params, "progressToken": self._token, **numbers}}

    @property
    def _tells_notes(self) -> bool:
        return self._token is not None and not self._server_tells

    async def _tell_note(self) -> None:
        self._notes += 1
        params = {"progressToken": self._token, "progress": self._notes, "message": self._note()}
        note: Json = {"jsonrpc": "2.0", "method": messages.PROGRESS, "params": params}
        await self._client.tell(as_read(note).encode())


def _above(before: int, number: Json) -> Json:
    """The sum, exactly; what is no number stays what it is."""
    if not before or isinstance(number, bool):
        return number
    if isinstance(number, Number):
        return Number(format(number + before, "f"))
    return number + before if isinstance(number, int) else number


def _now() -> float:
    return asyncio.get_running_loop().time()
