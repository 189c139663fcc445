"""Find the JSON-RPC response in a `text/event-stream` answer.

Own code, because the client library's reader works on its own response type only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.outbound import MAX_ANSWER, AnswerTooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def data_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of each event, as it arrives. Raises AnswerTooLarge for an event past 16 MiB."""
    lines: list[bytes] = []
    async for line in _lines(chunks):
        if not line and lines:
            yield b"\n".join(lines)
            lines = []
        elif line.startswith(b"data:"):
            lines.append(line.removeprefix(b"data:").removeprefix(b" "))
            if sum(map(len, lines)) > MAX_ANSWER:
                raise AnswerTooLarge


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    buffer = b""
    async for chunk in chunks:
        buffer += chunk
        if len(buffer) > MAX_ANSWER:
            raise AnswerTooLarge
        *whole, buffer = buffer.replace(b"\r\n", b"\n").split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r")
