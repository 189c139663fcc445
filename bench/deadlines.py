"""P9: 10,000 deadlines in one second, among 100,000 calls that wait."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from approvals.ports import Applied
from approvals.storage.migrations import upgrade
from approvals.storage.opening import opened
from bench.row import Row
from bench.service import service
from tests.contracts.suite import parking
from tests.domain.builders import call
from tests.servers import DURABLE, postgres

if TYPE_CHECKING:
    from approvals.domain.states import Parking
    from approvals.ports import Store

WITHIN = timedelta(seconds=60)
AT_ONCE = 2000
MOST = 1_000_000
WAITING = 100_000
DUE = 10_000
AGENTS = 1000
PARKED_WITHIN = timedelta(seconds=60)
"""What is due is parked, and the service started, before its time comes."""
SETTLED_WITHIN = timedelta(seconds=10)


async def fill(url: str, *, waiting: int, due: int) -> tuple[list[str], datetime]:
    """Park `waiting` calls with far deadlines and `due` within one second; the ids of those, and
    when it begins."""
    async with opened(url) as database:
        await park_many(database.store, waiting)
        now = datetime.now(UTC)  # noqa: TID251 (bench)
        at = now + PARKED_WITHIN
        lasting = [at - now + timedelta(seconds=n / due) for n in range(due)]
        soon = [_parking(n, lasts) for n, lasts in enumerate(lasting)]
        await _park(database.store, soon)
        return [one.approval.id for one in soon], at


async def lags(url: str, ids: list[str]) -> list[float]:
    """Seconds from each deadline to its record; raises when one is missing or doubled."""
    found = []
    async with opened(url) as database:
        for id_ in ids:
            approval = await database.store.approval(id_)
            events = await database.store.events(id_)
            assert approval is not None
            assert [e.fact.type for e in events if e.fact.type != "reminded"] == [
                "parked",
                "expired",
            ]
            found.append((events[-1].fact.at - approval.expires_at).total_seconds())
    return sorted(found)


async def park_many(store: Store, count: int) -> None:
    """Park calls that nobody decides while this is measured."""
    hours = timedelta(hours=5)
    await _park(store, [_parking(n, hours) for n in range(count)])


def _parking(n: int, lasts: timedelta) -> Parking:
    """A call of one of many agents: how many calls of one agent wait is counted."""
    return parking(lasts=lasts, max_pending=MOST, call=call(agent=f"agent-{n % AGENTS}"))


async def _park(store: Store, makings: list[Parking]) -> None:
    for start in range(0, len(makings), AT_ONCE):
        some = makings[start : start + AT_ONCE]
        answers = await asyncio.gather(*(store.apply(one, within=WITHIN) for one in some))
        assert answers == [Applied()] * len(some)


def rows() -> list[Row]:
    """From each deadline to its record, on PostgreSQL and on SQLite."""
    found = []
    with postgres(settings=DURABLE) as server, TemporaryDirectory() as folder:
        for kind, url in (("PostgreSQL", server.url()), ("SQLite", f"sqlite:///{folder}/bench.db")):
            upgrade(url)
            ids, at = asyncio.run(fill(url, waiting=WAITING, due=DUE))
            with service(url):
                left = at - datetime.now(UTC)  # noqa: TID251 (bench)
                assert left > timedelta(0), "this machine is too slow for it"
                time.sleep((left + SETTLED_WITHIN).total_seconds())
            late = asyncio.run(lags(url, ids))
            found.append(
                Row(
                    name="P9",
                    workload=f"{DUE} deadlines in a second among {WAITING}, {kind}: the last one",
                    measured=f"{late[-1]:.2f} s",
                    must="<= 3 s",
                    note=f"p99 {late[len(late) * 99 // 100]:.2f} s",
                )
            )
    return found
