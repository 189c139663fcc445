"""Reading for many at once: nobody gets an older answer, nor somebody else's failure."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from approvals.errors import Unavailable
from approvals.storage.together import Together, Unreadable

pytestmark = pytest.mark.anyio


class Database:
    """Knows everything under its own name; each read waits until it is let go."""

    def __init__(self) -> None:
        self.reads: list[list[str]] = []
        self.go = asyncio.Semaphore(0)
        self.bad: set[str] = set()
        self.error: Exception | None = None

    async def read(self, names: Sequence[str]) -> Mapping[str, str]:
        self.reads.append(list(names))
        await self.go.acquire()
        if self.error:
            raise self.error
        if self.bad & set(names):
            raise Unreadable("no")
        return {name: f"{name}!" for name in names if name != "nothing"}


@pytest.fixture
def database() -> Database:
    return Database()


def asking(together: Together[str], *names: str) -> list[asyncio.Task[str | None]]:
    return [asyncio.create_task(together.ask(name)) for name in names]


async def test_what_comes_during_a_read_is_in_the_next_one(database: Database) -> None:
    together = Together(database.read)
    first = asking(together, "a")
    await asyncio.sleep(0.01)
    later = asking(together, "a", "b", "nothing")
    database.go.release()
    assert await asyncio.gather(*first) == ["a!"]
    database.go.release()
    assert await asyncio.gather(*later) == ["a!", "b!", None]
    assert database.reads == [["a"], ["a", "b", "nothing"]]


async def test_no_more_are_read_at_once_than_may(database: Database) -> None:
    together = Together(database.read, at_once=2)
    asked = asking(together, "a", "b", "c")
    database.go.release()
    database.go.release()
    assert await asyncio.gather(*asked) == ["a!", "b!", "c!"]
    assert database.reads == [["a", "b"], ["c"]]


async def test_of_several_the_unreadable_one_fails_alone(database: Database) -> None:
    database.bad = {"b"}
    together = Together(database.read)
    asked = asking(together, "a", "b", "c")
    for _ in range(4):
        database.go.release()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [found[0], found[2]] == ["a!", "c!"]
    assert isinstance(found[1], Unreadable)


async def test_a_lost_database_fails_everybody_at_once(database: Database) -> None:
    database.error = Unavailable("gone")
    asked = asking(Together(database.read), "a", "b")
    database.go.release()
    assert await asyncio.gather(*asked, return_exceptions=True) == [database.error] * 2
    assert len(database.reads) == 1


async def test_a_read_that_hangs_does_not_hold_the_next_one_up(database: Database) -> None:
    together = Together(database.read)
    stuck = asking(together, "a")
    await asyncio.sleep(0.01)
    later = asking(together, "b")
    async with asyncio.timeout(5):
        while len(database.reads) < 2:
            await asyncio.sleep(0.01)
    database.go.release()
    database.go.release()
    assert await asyncio.gather(*stuck, *later) == ["a!", "b!"]


async def test_whoever_leaves_takes_nobody_along(database: Database) -> None:
    together = Together(database.read)
    leaving, staying = asking(together, "a", "b")
    await asyncio.sleep(0.01)
    leaving.cancel()
    database.go.release()
    database.go.release()
    assert await staying == "b!"


async def test_who_asks_just_as_the_last_read_ends_is_answered() -> None:
    """The question comes after the reading task has ended, and before its callbacks run."""
    reads: list[list[str]] = []
    waiting: list[object] = []

    async def read(names: Sequence[str]) -> Mapping[str, str]:
        reads.append(list(names))
        if names == ["a"]:
            loop.call_soon(lambda: waiting.append(together.ask("b").send(None)))
        return {}

    loop, together = asyncio.get_running_loop(), Together(read)
    await together.ask("a")
    await asyncio.sleep(0.05)
    assert reads == [["a"], ["b"]]
    assert len(waiting) == 1
