"""Hold calls in real time past the limit of every client: `python -m tests.e2e.held_long MINUTES`.

No test: it takes as long as it says. Each kind of client asks for a call of its own, again while it
is told that the call waits; after MINUTES everything is approved. Printed is what each got, and how
often each call ran.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.test_tasks import begun, got
from tests.e2e.test_typescript import behind, text_of
from tests.e2e.world import World, text, world

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PENDING = "NOT EXECUTED YET"


async def main(minutes: float) -> None:
    """One line for each client."""
    with tempfile.TemporaryDirectory() as name:
        async with world(Path(name), timeout="2h") as w:
            began = time.monotonic()
            asking = [asyncio.create_task(_line(w, who, began)) for who in CLIENTS]
            await asyncio.sleep(minutes * 60)
            for approval in await w.pending(len(CLIENTS)):
                await w.approve(approval)
            for line in asyncio.as_completed(asking):
                print(await line, flush=True)
            print("ran", dict(w.upstream.ran), flush=True)


async def _line(w: World, who: str, began: float) -> str:
    ask = CLIENTS[who]
    asked = 0
    said = PENDING
    while said.startswith(PENDING):
        asked += 1
        said = await ask(w, who)
    return f"{who:<28} {said!r} after {time.monotonic() - began:.0f} s, {asked} calls"


async def _python(w: World, who: str, *, mode: str, progress: bool = False) -> str:
    async def tell(progress: float, total: float | None = None, message: str | None = None) -> None:
        del progress, total, message

    async with w.agent(mode) as agent:
        more: dict[str, Any] = {"progress_callback": tell} if progress else {}
        return text(await agent.call_tool("act", {"what": who}, **more))


async def _typescript(w: World, who: str, *, mode: str, progress: bool = False) -> str:
    options = {"progress": True, "resetTimeoutOnProgress": True} if progress else {}
    call = ["callTool", {"name": "act", "arguments": {"what": who}}, options]
    return text_of(await behind(w, mode, [call], lasts=1000))


async def _task(w: World, who: str) -> str:
    task = await begun(w, what=who)
    while (found := await got(w, task))["status"] == "working":
        await asyncio.sleep(5)
    return str(found["result"]["content"][0]["text"])


CLIENTS: dict[str, Callable[[World, str], Awaitable[str]]] = {
    "python legacy": lambda w, who: _python(w, who, mode="legacy"),
    "python legacy, progress": lambda w, who: _python(w, who, mode="legacy", progress=True),
    "python 2026, legs": lambda w, who: _python(w, who, mode="auto"),
    "typescript legacy": lambda w, who: _typescript(w, who, mode="legacy"),
    "typescript legacy, progress": lambda w, who: _typescript(w, who, mode="legacy", progress=True),
    "typescript 2026, legs": lambda w, who: _typescript(w, who, mode="auto"),
    "task": _task,
}

if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
