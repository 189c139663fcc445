"""P1, P2, P3, P6, P7, P14: rates and waits, each beside its reference in interleaved rounds."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from approvals.storage.migrations import upgrade
from approvals.storage.opening import opened
from bench import pgbench
from bench.cycle import Cycle, cycles
from bench.deadlines import park_many
from bench.gateway import held_calls
from bench.load import Client, Run, run
from bench.peer import Peer
from bench.references import URL
from bench.row import Row
from bench.service import Service, service
from tests.servers import DURABLE, Postgres, Valkey, free_port, postgres, valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 3
AT_ONCE = 64
SECONDS = 4
WARM = 500
BACKGROUND = 100_000
MANY = 10**9
RATIOS = (
    ("P1", "cycles on PostgreSQL / pgbench", ("ours", "pgbench"), ">= 0.25"),
    ("P2", "cycles on SQLite / on PostgreSQL", ("sqlite", "ours"), ">= 0.8"),
    ("P3", "cycles on PostgreSQL / SQLModel sessions", ("ours", "orm"), ">= 4"),
    ("P14", "held calls of /mcp / FastAPI and batches", ("held", "batched"), ">= 1"),
)


def rows() -> Iterator[Row]:
    """Every figure is a ratio of medians."""
    peer = Peer.read(os.environ.get("PEER", ""))  # noqa: TID251 (bench)
    with postgres(settings=DURABLE) as server, valkey() as hints:
        rates = [_round(server, n, peer) for n in range(ROUNDS)]
        middle = {name: statistics.median(one[name] for one in rates) for name in rates[0]}
        for name, workload, pair, must in RATIOS:
            yield _ratio(name, workload, (middle[pair[0]], middle[pair[1]]), must)
        yield _beside(peer, middle)
        yield _across(server, hints)
        yield _background(server)


def _beside(peer: Peer | None, middle: dict[str, float]) -> Row:
    """Our cycles over REST beside another service's."""
    if peer is None:
        said = "no PEER=adapter.py,URL was given"
        return Row(
            name="PEER", workload="cycles / those of a peer", measured="-", must="-", note=said
        )
    pair = (middle["ours"], middle["peer"])
    return _ratio("PEER", f"cycles / those of {peer.name}", pair, "-")


def _round(server: Postgres, n: int, peer: Peer | None) -> dict[str, float]:
    """One of each, one after the other, on databases of their own."""
    database = _name(_database(server))
    found = {"pgbench": pgbench.rate(server, database, clients=AT_ONCE, seconds=SECONDS)}
    with service(_database(server)) as ours:
        found["ours"] = _cycles(ours)
    with service() as ours:
        found["sqlite"] = _cycles(ours)
    for kind in ("orm", "batched"):
        environment = {URL: _database(server)}
        with _uvicorn(f"bench.references:{kind}", environment, "--factory") as url:
            found[kind] = asyncio.run(_reference(url)).rate
    with (
        _uvicorn("bench.upstream:app", {}) as upstream,
        service(_database(server), upstream=f"{upstream}/mcp") as ours,
    ):
        asyncio.run(held_calls(ours, count=WARM, at_once=AT_ONCE, seconds=SECONDS))
        measured = held_calls(ours, count=MANY, at_once=AT_ONCE, seconds=SECONDS)
        found["held"] = asyncio.run(measured).rate
    if peer is not None:
        asyncio.run(peer.cycles(count=WARM, at_once=AT_ONCE, seconds=SECONDS))
        measured = peer.cycles(count=MANY, at_once=AT_ONCE, seconds=SECONDS)
        found["peer"] = asyncio.run(measured).rate
    told = ", ".join(f"{name} {rate:.0f}/s" for name, rate in found.items())
    print(f"round {n + 1}: {told}", flush=True)
    return found


def _cycles(ours: Service) -> float:
    asyncio.run(cycles(ours, count=WARM, at_once=AT_ONCE, seconds=SECONDS))
    return asyncio.run(cycles(ours, count=MANY, at_once=AT_ONCE, seconds=SECONDS)).rate


async def _reference(url: str) -> Run:
    client = Client(url)

    async def one(n: int) -> None:
        asked = {
            "server": "exchange",
            "tool": "place_order",
            "arguments": {"symbol": "BTCUSDT", "quantity": 0.25, "clientOrderId": f"x{n}"},
            "agent": "bot",
        }
        made = await client.json("POST", "/asks", asked)
        waiting = asyncio.ensure_future(client.json("GET", f"/asks/{made['id']}/wait"))
        await asyncio.sleep(0)
        said = {"answer": "approved", "person": "bob"}
        await client.json("POST", f"/asks/{made['id']}/decision", said)
        await waiting

    await run(one, count=WARM, at_once=AT_ONCE, seconds=SECONDS)
    found = await run(one, count=MANY, at_once=AT_ONCE, seconds=SECONDS)
    client.close()
    if found.errors:
        raise RuntimeError(found.errors[0])
    return found


def _across(server: Postgres, hints: Valkey) -> Row:
    """P6: from a decision to the release of what is held, here and on another replica."""
    with service(_database(server), redis_url=hints.url, replicas=2) as ours:
        within, across = [], []
        for _ in range(ROUNDS):
            within.append(asyncio.run(_released(ours, people_on=0)))
            across.append(asyncio.run(_released(ours, people_on=1)))
    ratio = statistics.median(across) / statistics.median(within)
    note = f"{statistics.median(across) * 1e3:.1f} ms / {statistics.median(within) * 1e3:.1f} ms"
    return Row(
        name="P6",
        workload="decision to release, other replica / same replica, p50",
        measured=f"{ratio:.2f}",
        must="<= 2",
        note=note,
    )


async def _released(ours: Service, *, people_on: int) -> float:
    cycle = Cycle(ours, people_on=people_on)
    found = await run(cycle.release, count=100, at_once=1, seconds=30)
    cycle.close()
    if found.errors:
        raise RuntimeError(found.errors[0])
    return found.quantile(0.5)


def _background(server: Postgres) -> Row:
    """P7: cycles of one agent while 100,000 calls of others wait."""
    waiting = _database(server)
    upgrade(waiting)
    asyncio.run(_filled(waiting))
    with service(_database(server)) as empty, service(waiting) as full:
        rates = [(_cycles(full), _cycles(empty)) for _ in range(ROUNDS)]
    ratio = statistics.median(a for a, _ in rates) / statistics.median(b for _, b in rates)
    return Row(
        name="P7",
        workload=f"cycles beside {BACKGROUND} that wait / beside none",
        measured=f"{ratio:.2f}",
        must=">= 0.9",
    )


async def _filled(url: str) -> None:
    async with opened(url) as database:
        await park_many(database.store, BACKGROUND)


def _ratio(name: str, workload: str, rates: tuple[float, float], must: str) -> Row:
    ours, reference = rates
    return Row(
        name=name,
        workload=f"{workload}, {AT_ONCE} at once",
        measured=f"{ours / reference:.2f}",
        must=must,
        note=f"{ours:.0f}/s / {reference:.0f}/s",
    )


def _database(server: Postgres) -> str:
    """The URL of a new, empty database."""
    name = f"bench_{time.monotonic_ns()}"
    server.run("createdb", "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", name)
    return server.url(name)


def _name(url: str) -> str:
    return url.rsplit("/", 1)[1]


@contextmanager
def _uvicorn(app: str, environment: dict[str, str], *options: str) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "error"]
    process = subprocess.Popen(
        [*command, *options],
        env={**os.environ, **environment},  # noqa: TID251 (bench)
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(url)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _await(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{url}/docs", timeout=2).close()  # noqa: S310 (loopback)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{url} does not start")
