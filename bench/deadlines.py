"""P9: 10,000 deadlines in one second, among 100,000 calls that wait."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from approvals.ports import Applied
from approvals.storage.opening import opened
from tests.contracts.suite import parking

if TYPE_CHECKING:
    from approvals.domain.states import Parking
    from approvals.ports import Store

WITHIN = timedelta(seconds=60)
AT_ONCE = 2000
MOST = 1_000_000


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
