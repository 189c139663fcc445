"""A network between the service and its database, which can fail in the ways networks do."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Proxy:
    """Forwards TCP to a port of loopback."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = free_port()
        self._open: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.answers_lost = 0
        self._pace = 0
        self._lose_answers_to: bytes | None = None

    def cut(self) -> None:
        """Break every connection there is."""
        for writer in list(self._open):
            writer.transport.abort()

    def stop(self) -> None:
        """Nothing flows in either direction; connections stay open."""
        self._flowing.clear()

    def go(self) -> None:
        self._flowing.set()

    def lose_answers_to(self, words: bytes | None) -> None:
        """What contains `words` reaches the server; instead of its answer the connection breaks."""
        self._lose_answers_to = words

    def slow_down(self, *, to_bytes_per_second: int) -> None:
        """What goes to the server takes its time."""
        self._pace = to_bytes_per_second

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self._open |= both
        doomed = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._there(reader, far_writer, doomed))
                group.create_task(self._back(far_reader, writer, doomed))
        finally:
            self._open -= both
            for one in both:
                one.transport.abort()

    async def _there(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                if self._lose_answers_to is not None and self._lose_answers_to in data:
                    doomed.set()
                if self._pace:
                    await asyncio.sleep(len(data) / self._pace)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async def _back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                if doomed.is_set():
                    self.answers_lost += 1
                    break
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@asynccontextmanager
async def proxy(target: int) -> AsyncIterator[Proxy]:
    """A running proxy in front of `target`."""
    made = Proxy(target)
    server = await asyncio.start_server(made.serve, "127.0.0.1", made.port)
    try:
        yield made
    finally:
        made.go()
        server.close()
        made.cut()
        await server.wait_closed()
