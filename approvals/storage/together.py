"""Reading for many at once: what is asked for while a read is underway is one read together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

T = TypeVar("T")

MOST_AT_ONCE = 500


class Together(Generic[T]):
    """Each answer is from a read that began after it was asked for."""

    def __init__(
        self,
        read: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]],
        *,
        at_once: int = MOST_AT_ONCE,
    ) -> None:
        """`read` brings what there is under each of at most `at_once` names."""
        self._read = read
        self._at_once = at_once
        self._asked: dict[str, asyncio.Future[T | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def ask(self, name: str) -> T | None:
        """What there is under this name. Raises what `read` raises."""
        future = self._asked.get(name)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._asked[name] = future
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all())
        return await asyncio.shield(future)

    async def _read_all(self) -> None:
        try:
            while self._asked:
                names = list(self._asked)[: self._at_once]
                futures = {name: self._asked.pop(name) for name in names}
                await self._answer(futures)
        finally:
            self._reading = None

    async def _answer(self, futures: Mapping[str, asyncio.Future[T | None]]) -> None:
        try:
            found = await self._read(list(futures))
        except Exception as error:  # noqa: BLE001 (handed to everybody who asked)
            for future in futures.values():
                future.set_exception(error)
                future.exception()  # whoever asked may be gone
            return
        for name, future in futures.items():
            future.set_result(found.get(name))
