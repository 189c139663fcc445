"""The PostgreSQL engine keeps the contract, on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from approvals.storage.clock import DatabaseClock
from approvals.storage.postgres import PostgresStore
from tests.contracts.suite import StoreContract
from tests.contracts.suite_counters import CounterContract

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    engine = await PostgresStore.open(postgres_url, DatabaseClock())
    yield engine
    await engine.close()


class TestPostgres(StoreContract, CounterContract):
    """The suites, unchanged."""
