"""Which version an approval is at: asked for many at once while the question before is underway."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

MOST_AT_ONCE = 500


class Heads:
    """Each answer is from a read that began after it was asked for."""

    def __init__(self, read: Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]) -> None:
        """`read` brings the hash of the newest event for each id there is."""
        self._read = read
        self._asked: dict[str, asyncio.Future[str | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def head(self, approval_id: str) -> str | None:
        """The hash of its newest event; None: there is no such approval. Raises Unavailable."""
        future = self._asked.get(approval_id)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._asked[approval_id] = future
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all())
        return await asyncio.shield(future)

    async def _read_all(self) -> None:
        try:
            while self._asked:
                ids = list(self._asked)[:MOST_AT_ONCE]
                futures = {id_: self._asked.pop(id_) for id_ in ids}
                await self._answer(futures)
        finally:
            self._reading = None

    async def _answer(self, futures: Mapping[str, asyncio.Future[str | None]]) -> None:
        try:
            heads = await self._read(list(futures))
        except Exception as error:  # noqa: BLE001 (handed to everybody who asked)
            for future in futures.values():
                future.set_exception(error)
                future.exception()  # whoever asked may be gone
            return
        for id_, future in futures.items():
            future.set_result(heads.get(id_))
