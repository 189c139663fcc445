"""Another approval service beside ours in the same run: `make bench PEER=adapter.py,URL`.

The adapter is a Python file with three coroutines. `create(http, n)` asks, and returns what names
the request; `decide(http, asked)` approves it; `wait(http, asked, timeout)` returns once it is
approved. `http` has `get(path)` and `post(path, body)`, which bring JSON, and
`request(method, path, body)`, which brings status and bytes. Whoever compares starts the service.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.load import Client, Run, run

if TYPE_CHECKING:
    from types import ModuleType

WAITS = 60
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Peer:
    """An adapter, and the service's address."""

    adapter: ModuleType
    url: str

    @classmethod
    def read(cls, words: str) -> Peer | None:
        """From `adapter.py,URL`; None where nothing is given."""
        if not words:
            return None
        path, _, url = words.partition(",")
        if not url or not Path(path).is_file():
            raise SystemExit(f"PEER={words} is not a file and a URL: PEER=adapter.py,http://…")
        return cls(_loaded(Path(path)), url)

    @property
    def name(self) -> str:
        return self.adapter.__name__

    async def cycles(self, *, count: int, at_once: int, seconds: float) -> Run:
        """Ask, wait held, decide, be released."""
        adapter, http = self.adapter, Http(Client(self.url))

        async def one(n: int) -> None:
            asked = await adapter.create(http, n)
            waiting = asyncio.ensure_future(adapter.wait(http, asked, WAITS))
            await asyncio.sleep(0)
            await adapter.decide(http, asked)
            await waiting

        try:
            found = await run(one, count=count, at_once=at_once, seconds=seconds)
        finally:
            http.client.close()
        if found.errors:
            raise RuntimeError(found.errors[0])
        return found


@dataclass(frozen=True, slots=True)
class Http:
    """What an adapter speaks through."""

    client: Client

    async def get(self, path: str) -> Any:
        return await self.client.json("GET", path)

    async def post(self, path: str, body: object = None) -> Any:
        return await self.client.json("POST", path, {} if body is None else body)

    async def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        return await self.client.send(method, path, body)


def _loaded(path: Path) -> ModuleType:
    sys.path.insert(0, str(path.parent))  # an adapter may import the one beside it
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
