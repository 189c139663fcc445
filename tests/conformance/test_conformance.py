"""What fails through the gateway fails without it: the official suite, every check of both eras.

In `make conformance` and `make test-all`: it needs Node.js. The gateway wants a key, which the
suite cannot send, so a proxy of the test puts it into each request.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from approvals.demo.stage import served
from tests.conformance.suite import REVISIONS, failures
from tests.e2e.everything import answers
from tests.e2e.world import World, world
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

pytestmark = [pytest.mark.anyio, pytest.mark.long]
SERVER = Path(__file__).with_name("server.py")
ALLOW = {"version": "1", "default": "allow"}
PARK = {
    **ALLOW,
    "tools": {
        "*": {"require_approval_if": [{"conditions": [], "approval": {"allow_input": True}}]}
    },
}


@pytest.mark.parametrize("parked", [False, True])
@pytest.mark.parametrize("revision", REVISIONS)
async def test_nothing_fails_through_the_gateway_that_does_not_fail_without(
    tmp_path: Path, revision: str, parked: bool
) -> None:
    """With every call allowed, and with every call parked and somebody who approves it."""
    with fixture_server() as url:
        direct, checks = await failures(url, revision, tmp_path / "direct")
    with fixture_server() as url:
        more = {"servers": {"up": {"url": url, "policy": PARK if parked else ALLOW}}}
        async with (
            world(tmp_path, more=more) as w,
            served(WithKey(w.app, w.keys["bot"])) as proxy,
            approving(w) as approved,
        ):
            through, same = await failures(f"{proxy}/mcp/up", revision, tmp_path / "through")
    failed = f"failed direct {len(direct)}, through {len(through)}"
    print(f"{revision}: {checks} checks; {failed}; {len(approved)} held")
    assert through - direct == set()
    assert checks > 80
    assert same > 80
    assert (len(approved) > 10) is parked


@asynccontextmanager
async def approving(w: World) -> AsyncIterator[set[str]]:
    """Somebody who approves everything at once; the ids of what was approved."""
    approved: set[str] = set()

    async def approve() -> None:
        while True:
            for approval in await w.pending(0):
                await w.approve(approval)
                approved.add(approval["id"])
            await asyncio.sleep(0.02)

    task = asyncio.create_task(approve())
    try:
        yield approved
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class WithKey:
    """The gateway, with an agent's key in every request."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._key = (b"authorization", f"Bearer {key}".encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._app({**scope, "headers": [*scope["headers"], self._key]}, receive, send)
            return
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})


@contextmanager
def fixture_server() -> Iterator[str]:
    """A fresh server: the suite changes its lists."""
    port = free_port()
    process = subprocess.Popen([sys.executable, str(SERVER), str(port)], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/mcp"
    try:
        while not answers(url):
            time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()
