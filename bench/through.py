"""P10 and P11: allowed calls that pass through the gateway, with its policy and its audit."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.gateway import META
from bench.load import Client, run
from bench.row import Row
from bench.service import cpu_of, service
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.load import Run

ROUNDS = 3
AT_ONCE = 16
SECONDS = 4
WARM = 300
MANY = 10**9
PROXY = Path(__file__).with_name("fastmcp_proxy.py")
PROXY_PYTHON = Path(__file__).parent.parent / ".venv-bench" / "bin" / "python"
HEADERS = (
    "MCP-Protocol-Version: 2026-07-28",
    "Mcp-Method: tools/call",
    "Mcp-Name: look",
)
STARTS_WITHIN = 30


def rows() -> Iterator[Row]:
    """Medians of interleaved rounds."""
    with _process(sys.executable, "-m", "bench.sdk_server") as (server, _):
        rounds = [_round(server, n) for n in range(ROUNDS)]
    middle = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    ours, theirs = middle["gateway ms"], middle["proxy ms"]
    yield Row(
        name="P10",
        workload="processor time of a call that passes / of a fastmcp proxy",
        measured=f"{ours / theirs:.2f}",
        must="<= 0.6",
        note=f"{ours:.2f} ms / {theirs:.2f} ms",
    )
    through, direct = middle["gateway"], middle["direct"]
    yield Row(
        name="P11",
        workload="calls that pass / direct to the server",
        measured=f"{through / direct:.2f}",
        must=">= 0.4",
        note=f"{through:.0f}/s / {direct:.0f}/s",
    )


def _round(server: str, n: int) -> dict[str, float]:
    found = {"direct": _calls(f"{server}/mcp").rate}
    with service(upstream=f"{server}/mcp") as ours:
        url = f"{ours.urls[0]}/mcp/exchange"
        found["gateway"], found["gateway ms"] = _measured(url, ours.pids[0], key=ours.agent)
    command = (str(PROXY_PYTHON), str(PROXY), f"{server}/mcp")
    with _process(*command) as (proxy, pid):
        found["proxy"], found["proxy ms"] = _measured(f"{proxy}/mcp", pid)
    told = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
    print(f"round {n + 1}: {told}", flush=True)
    return found


def _measured(url: str, pid: int, *, key: str | None = None) -> tuple[float, float]:
    """Calls a second, and milliseconds of the process for each."""
    _calls(url, key=key, count=WARM)
    before = cpu_of(pid)
    done = _calls(url, key=key)
    return done.rate, (cpu_of(pid) - before) / done.done * 1000


def _calls(url: str, *, key: str | None = None, count: int = MANY) -> Run:
    return asyncio.run(_run(url, key, count))


async def _run(url: str, key: str | None, count: int) -> Run:
    base, _, path = url.rpartition("/mcp")
    client = Client(base, key)

    async def one(n: int) -> None:
        params = {"name": "look", "arguments": {"quantity": n + 0.25}, "_meta": META}
        body = {"jsonrpc": "2.0", "id": n, "method": "tools/call", "params": params}
        status, content = await client.request("POST", f"/mcp{path}", body, HEADERS)
        if status != 200 or b"about" not in content:  # noqa: PLR2004 (HTTP)
            raise RuntimeError(f"{status} {content[:300]!r}")

    found = await run(one, count=count, at_once=AT_ONCE, seconds=SECONDS)
    client.close()
    if found.errors:
        raise RuntimeError(f"{len(found.errors)} errors, the first: {found.errors[0]}")
    return found


@contextmanager
def _process(*command: str) -> Iterator[tuple[str, int]]:
    """A server started with its port as the last argument: its address and its process."""
    port = free_port()
    process = subprocess.Popen([*command, str(port)], stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + STARTS_WITHIN
        while not asyncio.run(_answers(url)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(command)} does not start")
            time.sleep(0.1)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


async def _answers(url: str) -> bool:
    client = Client(url)
    try:
        await client.request("GET", "/")
    except OSError:
        return False
    finally:
        client.close()
    return True
