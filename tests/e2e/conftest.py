"""Where the worlds run: one process on SQLite, or two replicas on PostgreSQL and Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.deployment import deployed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Valkey


@pytest.fixture(params=["sqlite", "replicas"])
def deployment(request: pytest.FixtureRequest) -> str:
    """Run the test twice; `replicas`: agents are on one of two, people on the other."""
    kind: str = request.param
    if kind == "replicas":
        request.getfixturevalue("replicas")
    return kind


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.long)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Run the test with processes on SQLite, and in `make test-all` on PostgreSQL as well."""
    kind: str = request.param
    if kind == "postgres":
        url = request.getfixturevalue("postgres_url")
        deployed(tmp_path, database_url=url, redis_url=None)
    return kind


@pytest.fixture
def replicas(tmp_path: Path, postgres_url: str, valkey_server: Valkey) -> None:
    """The worlds of this test are two replicas."""
    deployed(tmp_path, database_url=postgres_url, redis_url=valkey_server.url)
