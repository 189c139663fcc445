"""The two sides of a wrapped server: the client on this process's own streams, and the child."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import TYPE_CHECKING

from approvals.config.settings import environment
from approvals.gateway.stdio.lines import whole_lines
from approvals.outbound import MAX_ANSWER
from approvals.wire import MAX_BODY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXIT = 2.0
"""Seconds a child may take to end once its stdin is closed, and again after SIGTERM."""
OURS = "APPROVALS_"


class Client:
    """The MCP client that started this process: lines on stdin and stdout."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def opened(cls) -> Client:
        """Take stdin and stdout; nothing else may write there."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        transport, protocol = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(os.dup(1), "wb")
        )
        return cls(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    def lines(self) -> AsyncIterator[bytes | None]:
        """What it says; None for a line of more than 2 MiB."""
        return whole_lines(self._reader, most=MAX_BODY)

    async def tell(self, line: bytes) -> None:
        """Say something to it; a client that is gone is not told."""
        with suppress(ConnectionError):
            self._writer.write(line + b"\n")
            await self._writer.drain()


class Child:
    """The server, with the client's own folder and environment, but for our keys."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None  # noqa: S101 (started with pipes)
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout

    @classmethod
    async def started(cls, command: list[str]) -> Child:
        """Start it. Raises OSError when that does not work."""
        kept = {k: v for k, v in environment().items() if not k.startswith(OURS)}
        return cls(
            await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=kept)
        )

    def lines(self) -> AsyncIterator[bytes | None]:
        """What it says; None for a line of more than 16 MiB."""
        return whole_lines(self._stdout, most=MAX_ANSWER)

    async def write(self, line: bytes) -> bool:
        """Say something to it; False: not one byte of it was written, the child is gone."""
        if self._process.returncode is not None or self._stdin.is_closing():
            return False
        self._stdin.write(line + b"\n")
        with suppress(ConnectionError):
            await self._stdin.drain()
        return True

    async def stop(self) -> int:
        """Close its stdin, then SIGTERM, then SIGKILL; how it ended."""
        self._stdin.close()
        for end in (self._process.terminate, self._process.kill):
            with suppress(TimeoutError):
                async with asyncio.timeout(EXIT):
                    return await self._process.wait()
            with suppress(ProcessLookupError):
                end()
        return await self._process.wait()
