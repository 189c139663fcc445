"""Reading for many at once: what is asked for while a read is underway is one read together."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from approvals.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

T = TypeVar("T")


class Unreadable(Unavailable):
    """The database answers, and what it answers cannot be read."""


MOST_AT_ONCE = 500
PATIENCE = timedelta(milliseconds=250)
"""A read that takes longer, on a connection that is half dead, does not hold the next one up."""


class Together(Generic[T]):
    """Each answer is from a read that began after it was asked for."""

    def __init__(
        self,
        read: Callable[[Sequence[str]], Awaitable[Mapping[str, T]]],
        *,
        at_once: int = MOST_AT_ONCE,
    ) -> None:
        """`read` brings what there is under each of at most `at_once` names. Where it raises
        Unreadable for several, each of them is asked for alone."""
        self._read = read
        self._at_once = at_once
        self._asked: dict[str, asyncio.Future[T | None]] = {}
        self._underway = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, name: str) -> T | None:
        """What there is under this name. Raises what `read` raises."""
        future = self._asked.get(name)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            self._asked[name] = future
        if not self._underway:
            self._start()
        return await asyncio.shield(future)

    def _start(self) -> None:
        if self._asked:
            self._underway += 1
            task = asyncio.create_task(self._read_all())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _read_all(self) -> None:
        """Whoever asks after the last look at what was asked finds nothing underway: no callback
        may come between."""
        try:
            while self._asked:
                names = list(self._asked)[: self._at_once]
                await self._read_some({name: self._asked.pop(name) for name in names})
        finally:
            self._underway -= 1

    async def _read_some(self, futures: Mapping[str, asyncio.Future[T | None]]) -> None:
        loop = asyncio.get_running_loop()
        stuck = loop.call_later(PATIENCE.total_seconds(), self._start)
        try:
            await self._answer(futures)
        except BaseException:
            for future in futures.values():
                future.cancel()
            raise
        finally:
            stuck.cancel()

    async def _answer(self, futures: Mapping[str, asyncio.Future[T | None]]) -> None:
        try:
            found = await self._read(list(futures))
        except Unreadable as error:
            if len(futures) == 1:
                _fail(futures, error)
            else:
                for name, future in futures.items():
                    await self._answer({name: future})
        except Exception as error:  # noqa: BLE001 (handed to everybody who asked)
            _fail(futures, error)
        else:
            for name, future in futures.items():
                future.set_result(found.get(name))


def _fail(futures: Mapping[str, asyncio.Future[T | None]], error: Exception) -> None:
    for future in futures.values():
        future.set_exception(error)
        future.exception()  # whoever asked may be gone
