"""Slack is told from one process and from two replicas; clicks come over HTTP and Socket Mode."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import replicas

__all__ = ["replicas", "socket"]


@pytest.fixture(params=["http", "http, two replicas", "socket"])
def socket(request: pytest.FixtureRequest) -> bool:
    """Whether clicks come over Socket Mode."""
    way: str = request.param
    if way == "http, two replicas":
        request.getfixturevalue("replicas")
    return way == "socket"
