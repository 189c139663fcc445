"""Closed sets of labels, buckets, and durations as Prometheus wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from enum import StrEnum

    from prometheus_client import Counter

L = TypeVar("L", bound="StrEnum")

OTHER = "other"
MINUTE, HOUR = 60, 3600

MACHINES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""What computers do among themselves."""
NETWORK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, MINUTE, 5 * MINUTE, HOUR)
"""What may take as long as somebody else's server."""
LAGS = (0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, MINUTE, 5 * MINUTE, HOUR)
"""By how much something came late."""


def bound(counter: Counter, labels: Iterable[L]) -> dict[L, Counter]:
    """One counter for each label, found once and shown from the start: one that appears with its
    first event hides it from `increase()`."""
    return {label: counter.labels(label) for label in labels}


def seconds(since: datetime, until: datetime) -> float:
    """A duration; never negative, which a histogram would take for a restart."""
    return max(0.0, (until - since).total_seconds())
