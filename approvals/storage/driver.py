"""What of asyncpg, which has no types of its own, the engine uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Sequence
    from contextlib import AbstractAsyncContextManager

Record: TypeAlias = "dict[str, Any]"
"""A row: by name, and `items()`."""


class Connection(Protocol):
    """One session with the server."""

    async def fetch(self, sql: str, *values: object) -> Sequence[Record]: ...

    async def fetchrow(self, sql: str, *values: object) -> Record: ...

    async def fetchval(self, sql: str, *values: object) -> object: ...

    async def execute(self, sql: str, *values: object) -> str: ...

    def cursor(self, sql: str, *values: object, prefetch: int) -> AsyncIterable[Record]: ...

    def transaction(self, *, readonly: bool = False) -> AbstractAsyncContextManager[object]: ...

    def is_closed(self) -> bool: ...

    def terminate(self) -> None: ...

    async def close(self, *, timeout: float) -> None: ...  # noqa: ASYNC109 (asyncpg's own)


class Pool(Protocol):
    """Sessions that are lent."""

    def acquire(self) -> AbstractAsyncContextManager[Connection]: ...

    async def close(self) -> None: ...

    def terminate(self) -> None: ...
