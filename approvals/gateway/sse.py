"""Messages as events of a `text/event-stream`, read and written.

Own code, because the client library's reader works on its own response type only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from approvals.outbound import MAX_ANSWER, AnswerTooLarge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def data_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The data of each event, as it arrives. Raises AnswerTooLarge for an event past 16 MiB."""
    async for data in parts_of(chunks):
        if data is not None:
            yield data


async def parts_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes | None]:
    """The same, and None for each comment: by those a server shows that it is still there."""
    lines: list[bytes] = []
    size = 0
    async for line in _lines(chunks):
        if not line:
            if lines:
                yield b"\n".join(lines)
            lines, size = [], 0
        elif line.startswith(b":"):
            yield None
        elif line.startswith(b"data:"):
            lines.append(line.removeprefix(b"data:").removeprefix(b" "))
            size += len(line)
            if size > MAX_ANSWER:
                raise AnswerTooLarge


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines as the standard ends them: CR LF, LF or CR. An unfinished last one is dropped."""
    parts: list[bytes] = []
    size = 0
    after_return = False
    async for chunk in chunks:
        fresh = chunk.removeprefix(b"\n") if after_return else chunk
        after_return = chunk.endswith(b"\r")
        *whole, rest = _END.split(fresh)
        for line in whole:
            yield b"".join([*parts, line])
            parts, size = [], 0
        parts.append(rest)
        size += len(rest)
        if size > MAX_ANSWER:
            raise AnswerTooLarge


def event(message: bytes) -> bytes:
    """One message as an event; where it has several lines, each is one of its data."""
    data = b"".join(b"data: " + line + b"\n" for line in _END.split(message))
    return b"event: message\n" + data + b"\n"


_END = re.compile(rb"\r\n|\n|\r")
