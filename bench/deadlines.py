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
from tests.servers import DURABLE, postgres

if TYPE_CHECKING:
    from approvals.domain.states import Parking
    from approvals.ports import Store

WITHIN = timedelta(seconds=60)
AT_ONCE = 2000
MOST = 1_000_000
WAITING = 100_000
DUE = 10_000
FILLED_WITHIN = timedelta(seconds=120)
SETTLED_WITHIN = timedelta(seconds=10)


async def fill(url: str, *, waiting: int, due: int, at: datetime) -> list[str]:
    """Park `waiting` calls with far deadlines and `due` within the second after `at`; the ids of
    those."""
    async with opened(url) as database:
        hours = timedelta(hours=5)
        await _park(
            database.store, [parking(lasts=hours, max_pending=MOST) for _ in range(waiting)]
        )
        now = datetime.now(UTC)  # noqa: TID251 (bench)
        lasting = [at - now + timedelta(seconds=n / due) for n in range(due)]
        soon = [parking(lasts=lasts, max_pending=MOST) for lasts in lasting]
        await _park(database.store, soon)
        return [one.approval.id for one in soon]


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
            at = datetime.now(UTC) + FILLED_WITHIN  # noqa: TID251 (bench)
            ids = asyncio.run(fill(url, waiting=WAITING, due=DUE, at=at))
            with service(url):
                left = at - datetime.now(UTC)  # noqa: TID251 (bench)
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
