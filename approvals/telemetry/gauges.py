"""How things stand, made anew each time Prometheus asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from approvals.telemetry.labels import seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric

    from approvals.ports import Kept, Standing


def gauges(standing: Standing) -> Iterator[Metric]:
    """What the database says is left out while it does not answer: nobody then knows it."""
    yield _gauge(
        "approvals_database_up",
        "1 while the database answers within two seconds.",
        standing.kept is not None,
    )
    if standing.kept is not None:
        yield from _kept(standing.kept)
    yield _gauge(
        "approvals_configuration_loaded",
        "1 if the configuration file loads, 0 if it does not and the older one is used.",
        standing.file_loads,
    )
    yield _gauge(
        "approvals_unreadable",
        "Approvals that could not be read since the start, and are left out of lists.",
        standing.unreadable,
    )
    if standing.listening is not None:
        yield _gauge(
            "approvals_hints_listening",
            "1 while hints of other replicas come in over Redis; 0: the database is asked once a"
            " second. Not shown without Redis.",
            standing.listening,
        )
    yield CounterMetricFamily(
        "approvals_hints_lost",
        "Hints that other replicas were not sent; who waits there waits up to a second longer.",
        standing.hints_lost,
    )


def _kept(kept: Kept) -> Iterator[Metric]:
    oldest = kept.backlog.oldest
    yield _gauge(
        "approvals_pending",
        "Calls that wait for people; every replica says the same.",
        kept.backlog.pending,
    )
    yield _gauge(
        "approvals_pending_oldest_seconds",
        "How long the call that was parked first of them has waited; 0 without any.",
        seconds(oldest, kept.at) if oldest else 0,
    )
    yield _gauge("approvals_frozen", "Freezes in force.", kept.freezes)
    yield _gauge("approvals_processes", "Processes that live, on this database.", kept.processes)
    yield _gauge(
        "approvals_configurations",
        "Different configurations that they have loaded; more than 1: a replica has an older one.",
        kept.configurations,
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
