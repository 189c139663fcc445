"""Everything that is counted. Each service has its own registry: several run in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from approvals import __version__
from approvals.ports import Again
from approvals.telemetry.calls import Calls
from approvals.telemetry.gauges import gauges
from approvals.telemetry.labels import HOUR, MACHINES, MINUTE, OTHER, bound, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, timedelta

    from prometheus_client import Metric

    from approvals.ports import Operation, Standing
    from approvals.ports.telling import Delivery

CHANNELS = ("log", "slack", "webhook", OTHER)
"""Kinds of channels: the part of a channel's name before the colon."""
TOLD, FAILED = "told", "failed"
GROUPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LATE = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR)


class PrometheusMeter:
    """The Meter of one service."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._calls = Calls(registry)
        Gauge("approvals_build_info", "This version.", ["version"], registry=registry).labels(
            __version__
        ).set(1)
        self._deliveries = Counter(
            "approvals_deliveries",
            "Tries to tell a channel, and whether it was told.",
            ["channel_kind", "result"],
            registry=registry,
        )
        self._delivery_lag = Histogram(
            "approvals_delivery_lag_seconds",
            "From when something happened until a channel was told.",
            registry=registry,
            buckets=LATE,
        )
        self._flush_operations = Histogram(
            "approvals_flush_operations",
            "Writes in one commit.",
            registry=registry,
            buckets=GROUPS,
        )
        self._flush_seconds = Histogram(
            "approvals_flush_seconds",
            "How long a commit of grouped writes took.",
            registry=registry,
            buckets=MACHINES,
        )
        retries = Counter(
            "approvals_flush_retries",
            "Groups of writes submitted once more: the connection was lost, another replica's"
            " writes collided, or one of them failed and the group was split.",
            ["reason"],
            registry=registry,
        )
        self._retries = bound(retries, Again)
        self._job_failures = Counter(
            "approvals_job_failures", "Runs of a job that failed.", ["name"], registry=registry
        )
        self._told = {
            (kind, result): self._deliveries.labels(kind, result)
            for kind in CHANNELS
            for result in (TOLD, FAILED)
        }

    def committed(self, operation: Operation, *, at: datetime) -> None:
        self._calls.committed(operation, at=at)

    def flushed(self, *, operations: int, took: timedelta) -> None:
        self._flush_operations.observe(operations)
        self._flush_seconds.observe(took.total_seconds())

    def again(self, why: Again) -> None:
        self._retries[why].inc()

    def told(self, delivery: Delivery, *, at: datetime) -> None:
        self._told[_kind(delivery), TOLD].inc()
        self._delivery_lag.observe(seconds(delivery.at, at))

    def not_told(self, delivery: Delivery) -> None:
        self._told[_kind(delivery), FAILED].inc()

    def job(self, name: str) -> Callable[[], None]:
        return self._job_failures.labels(name).inc

    def exposition(self, standing: Standing) -> bytes:
        return generate_latest(_Now(self._registry, standing))


class _Now:
    """What is counted and how things stand, for one answer."""

    def __init__(self, registry: CollectorRegistry, standing: Standing) -> None:
        self._registry = registry
        self._standing = standing

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            # When each counter was made is a second series for each of them, and tells nobody much.
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric
        yield from gauges(self._standing)


def _kind(delivery: Delivery) -> str:
    kind = delivery.channel.partition(":")[0]
    return kind if kind in CHANNELS else OTHER
