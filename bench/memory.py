"""P8: memory of one held request, beside a plain ASGI application that waits on a future."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cycle import Cycle
from bench.load import Client
from bench.row import Row
from bench.service import Service, service
from tests.servers import free_port

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

HELD = 2000
PIECE = 200


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    """`uvicorn bench.memory:plain`: `/held` waits for as long as it is asked to."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/held":
        await asyncio.get_running_loop().create_future()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def rows() -> list[Row]:
    """KiB for each request that is held."""
    reference = asyncio.run(_plain())
    with service() as ours:
        held = asyncio.run(_ours(ours))
    return [
        Row(
            name="P8",
            workload="memory of a held request / of a plain ASGI one",
            measured=f"{held / reference:.2f}",
            must="<= 2.5",
            note=f"{held:.1f} KiB / {reference:.1f} KiB",
        )
    ]


async def _plain() -> float:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "bench.memory:plain", "--port", str(port)]
    process = subprocess.Popen([*command, "--log-level", "error"])  # noqa: ASYNC220 (bench)
    client = Client(f"http://127.0.0.1:{port}")
    try:
        for _ in range(200):
            with suppress(OSError):
                await client.request("GET", "/")
                break
            await asyncio.sleep(0.05)
        before = _rss(process.pid)
        waiting = await _hold(client, ["/held"] * HELD)
        return (_rss(process.pid) - before) / len(waiting)
    finally:
        process.kill()
        process.wait()


async def _ours(ours: Service) -> float:
    cycle = Cycle(ours)
    made = [await cycle.create(n) for n in range(HELD)]
    client = Client(ours.urls[0], ours.agent)
    await _hold(client, [f"/v1/approvals/{made[0][0]}?wait=1"])
    await asyncio.sleep(2)
    before = ours.rss()
    waiting = await _hold(client, [f"/v1/approvals/{id_}?wait=55" for id_, _ in made])
    found = (ours.rss() - before) / len(waiting)
    cycle.close()
    return found


async def _hold(client: Client, paths: list[str]) -> list[asyncio.Future[tuple[int, bytes]]]:
    waiting: list[asyncio.Future[tuple[int, bytes]]] = []
    for start in range(0, len(paths), PIECE):
        some = paths[start : start + PIECE]
        waiting += [asyncio.ensure_future(client.request("GET", path)) for path in some]
        await asyncio.sleep(0.1)
    await asyncio.sleep(1.5)
    return waiting


def _rss(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


if __name__ == "__main__":
    began = time.monotonic()
    for row in rows():
        print(row, f"{time.monotonic() - began:.0f} s")
