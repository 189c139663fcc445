"""Lines of a stream, and one of a server process read as far as it takes to know whose it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY

from approvals.domain.strictjson import Json, parse
from approvals.errors import InvalidJson
from approvals.gateway import messages

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Mapping

    from approvals.gateway.stdio.inbox import Asked


CHUNK = 256 * 1024


async def whole_lines(stream: asyncio.StreamReader, *, most: int) -> AsyncIterator[bytes | None]:
    """Whole lines without their end; None for one of more than `most` bytes, which is not kept."""
    parts: list[bytes] = []
    size = 0
    while chunk := await stream.read(CHUNK):
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join([*parts, line]) if size + len(line) <= most else None
            parts, size = [], 0
        size += len(rest)
        if size <= most:
            parts.append(rest)
        else:
            parts = []


def read(line: bytes) -> object:
    """A line as far as it takes to know whose it is; what it carries is passed on unread."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(line)  # NaN, and numbers that the quick reader refuses
    except (ValueError, RecursionError):
        return None


def exactly(line: bytes) -> dict[str, Json] | None:
    """The same with every number as it stands; None: it is not JSON that everybody reads alike."""
    try:
        read = parse(line)
    except InvalidJson:
        return None
    return read if isinstance(read, dict) else None


def subscription_of(params: Mapping[str, Any]) -> Json:
    meta = params.get("_meta")
    return meta.get(SUBSCRIPTION_ID_META_KEY) if isinstance(meta, dict) else None


def renamed(line: bytes, asked: Asked, name: bytes) -> bytes:
    """The line with the client's own name where ours is, and nothing else touched."""
    ours = f'"{asked.id}"'.encode()
    if ours in line:
        return line.replace(ours, name)
    return messages.error_body(
        None, {"code": messages.INTERNAL_ERROR, "message": "The server's answer cannot be read."}
    )
