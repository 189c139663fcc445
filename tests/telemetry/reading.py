"""What Prometheus reads of an exposition."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from approvals.ports import Standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from approvals.telemetry.meter import PrometheusMeter
    from tests.e2e.world import World

NOTHING_KNOWN = Standing(kept=None, file_loads=True, unreadable=0, listening=None, hints_lost=0)


def samples(text: str) -> dict[str, float]:
    """Each sample as it is written in a query: `name{label="value"}`."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def counted(meter: PrometheusMeter) -> dict[str, float]:
    """What is not zero, buckets and build information left out."""
    return {
        name: value
        for name, value in samples(meter.exposition(NOTHING_KNOWN).decode()).items()
        if value and "_bucket" not in name and name.startswith("approvals_") and not _always(name)
    }


def _always(name: str) -> bool:
    names = ("approvals_build_info", "approvals_configuration_loaded")
    return name.startswith(names)


async def scraped(w: World) -> dict[str, float]:
    """What Prometheus reads of this world, counters and gauges summed over its replicas."""
    total: defaultdict[str, float] = defaultdict(float)
    for url in {w.url, w.people_url}:
        answer = await w.http.get(f"{url}/metrics")
        assert answer.status_code == 200
        for name, value in samples(answer.text).items():
            total[name] += value
    return total


async def scraped_until(w: World, so: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """What Prometheus reads once it is `so`."""
    async with asyncio.timeout(20):
        while not so(found := await scraped(w)):
            await asyncio.sleep(0.1)
    return found
