"""Databases die, freeze and lose messages under load; afterwards every invariant is checked.

Agents are on one replica and people on the other. What counts is what was acknowledged, what the
database holds and what the upstream itself counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from approvals.domain.states import Approval, Outcome, Released, ReleaseStatus, Status
from approvals.ports import ListFilter
from approvals.storage.migrations import upgrade
from tests.contracts.suite import is_whole
from tests.e2e.deployment import deployed
from tests.e2e.world import World, text, world
from tests.faults.proxy import Proxy, proxy
from tests.servers import DURABLE, Postgres, Valkey, postgres, valkey

# asyncpg lets go of a socket without closing it when connecting to a frozen server takes too long.
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CALLS = 24
DENY_EVERY = 5
DENIED = "NOT EXECUTED: a person denied"
PATIENCE = 60


@dataclass
class Storm:
    """Calls in flight, and what people were told of their decisions."""

    w: World
    postgres: Postgres
    valkey: Valkey
    database: Proxy
    hints: Proxy
    acknowledged: dict[str, str] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)

    async def calls(self, numbers: range) -> None:
        """Agents ask, each until it has a final answer; people decide whatever they see."""
        deciding = asyncio.create_task(self._decide())
        asking = asyncio.gather(*(self._ask(f"call {n}") for n in numbers))
        running: set[asyncio.Future[Any]] = {deciding, asking}
        await asyncio.wait(running, timeout=PATIENCE, return_when="FIRST_COMPLETED")
        left = {f"call {n}" for n in numbers} - self.results.keys()
        assert not left, (left, [(a.id, str(a.status)) for a in await self._all()])
        deciding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await deciding
        await asking

    async def _ask(self, what: str) -> None:
        """As an agent does: a call that could not be asked now is asked again."""
        while what not in self.results:
            try:
                async with self.w.agent() as agent:
                    said = text(await agent.call_tool("act", {"what": what}))
            except Exception:  # noqa: BLE001 (a broken connection to a replica: ask again)
                said = ""
            if said.startswith(("did", DENIED, "OUTCOME UNKNOWN")):
                self.results[what] = said
            else:
                await asyncio.sleep(0.2)

    async def _decide(self) -> None:
        while True:
            try:
                found = await self.w.rest("GET", "/v1/approvals?status=pending", by="bob")
                for approval in found.json().get("approvals", []):
                    await self._answer(approval)
            except httpx2.HTTPError:
                pass
            await asyncio.sleep(0.02)

    async def _answer(self, approval: dict[str, Any]) -> None:
        number = int(approval["arguments"]["what"].split()[1])
        deny = number % DENY_EVERY == 0
        said = await (self.w.deny(approval) if deny else self.w.approve(approval))
        if said.status_code == 200:
            self.acknowledged[approval["id"]] = "denied" if deny else "approved"

    async def _all(self) -> Sequence[Approval]:
        return (await self.w.services.store.page(ListFilter(limit=1000))).approvals

    async def invariants(self) -> None:
        """Nothing acknowledged is lost, nothing ran twice, nothing ran without its people."""
        store = self.w.services.store
        found = await self._all()
        by_what: dict[str, list[Approval]] = {}
        for approval in found:
            assert await is_whole(store, approval)
            kinds = [event.fact.type for event in await store.events(approval.id)]
            assert kinds.count("sent") <= 1
            assert kinds.count("approved") + kinds.count("denied") <= 1
            what = str(approval.call.shown_arguments["what"])
            by_what.setdefault(what, []).append(approval)
        for approval_id, said in self.acknowledged.items():
            approval = next(a for a in found if a.id == approval_id)
            assert [decision.person for decision in approval.decisions] == ["bob"]
            assert (approval.status is Status.DENIED) is (said == "denied")
        for what, ran in self.w.upstream.ran.items():
            sent = [a for a in by_what[what] if reached_the_server(a)]
            assert ran == 1
            assert len(sent) == 1
            assert sent[0].decisions
        for what, said in self.results.items():
            if said.startswith("did"):
                assert self.w.upstream.ran[what] == 1
        assert not any(a.status is Status.PENDING for a in found)


def reached_the_server(approval: Approval) -> bool:
    """Released, and not known to have stayed here."""
    match approval.state:
        case Released(outcome=Outcome(status=ReleaseStatus.NOT_SENT)):
            return False
    return isinstance(approval.state, Released)


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    with postgres(settings=DURABLE) as server:
        upgrade(server.url())
        yield server


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with valkey() as server:
        yield server


@pytest.fixture
async def storm(tmp_path: Path, own_postgres: Postgres, own_valkey: Valkey) -> AsyncIterator[Storm]:
    async with _storm(tmp_path, own_postgres, own_valkey) as made:
        yield made
    gc.collect()  # here, and not in the middle of another test


@asynccontextmanager
async def _storm(folder: Path, server: Postgres, hints: Valkey) -> AsyncIterator[Storm]:
    async with proxy(server.port) as to_database, proxy(hints.port) as to_hints:
        deployed(
            folder,
            database_url=server.url(port=to_database.port),
            redis_url=f"redis://127.0.0.1:{to_hints.port}/0",
        )
        async with world(folder) as w:
            yield Storm(w, server, hints, to_database, to_hints)


async def postgres_restarts(storm: Storm) -> None:
    for _ in range(2):
        await asyncio.to_thread(storm.postgres.stop, "immediate")
        await asyncio.to_thread(storm.postgres.start)
        await asyncio.sleep(0.5)


async def postgres_freezes(storm: Storm) -> None:
    storm.postgres.freeze()
    await asyncio.sleep(10)
    storm.postgres.thaw()


async def connections_break(storm: Storm) -> None:
    for n in range(20):
        await asyncio.sleep(0.01 * n)
        storm.database.cut()


async def the_network_stops(storm: Storm) -> None:
    storm.database.stop()
    await asyncio.sleep(6)
    storm.database.go()


async def redis_dies(storm: Storm) -> None:
    await asyncio.to_thread(storm.valkey.kill)
    await asyncio.sleep(2)
    await asyncio.to_thread(storm.valkey.start)


async def redis_freezes(storm: Storm) -> None:
    storm.valkey.freeze()
    await asyncio.sleep(5)
    storm.valkey.thaw()


async def redis_loses_replies(storm: Storm) -> None:
    storm.hints.lose_answers_to(b"PUBLISH")
    await asyncio.sleep(3)
    storm.hints.lose_answers_to(None)


FAULTS = [
    postgres_restarts,
    pytest.param(postgres_freezes, marks=pytest.mark.long),
    connections_break,
    pytest.param(the_network_stops, marks=pytest.mark.long),
    redis_dies,
    redis_freezes,
    redis_loses_replies,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_under_load_nothing_acknowledged_is_lost_and_nothing_runs_twice(
    storm: Storm, fault: Callable[[Storm], Awaitable[None]]
) -> None:
    calling = asyncio.create_task(storm.calls(range(CALLS)))
    await asyncio.sleep(0.4)
    await fault(storm)
    await calling
    await storm.calls(range(CALLS, CALLS + 4))  # everything works again
    await storm.invariants()
    denied = sum(said.startswith(DENIED) for said in storm.results.values())
    assert denied == sum(n % DENY_EVERY == 0 for n in range(CALLS + 4))
