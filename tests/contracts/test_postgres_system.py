"""The contract on the PostgreSQL that the system's packages brought, where there is one."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator

import pytest

from approvals.storage.clock import DatabaseClock
from approvals.storage.migrations import upgrade
from approvals.storage.postgres import PostgresStore
from tests.contracts.suite import StoreContract
from tests.contracts.suite_counters import CounterContract
from tests.contracts.suite_definitions import DefinitionContract
from tests.servers import Postgres, postgres, system_binaries

pytestmark = [pytest.mark.anyio, pytest.mark.long]


@pytest.fixture(scope="module")
def system_server() -> Iterator[Postgres]:
    with postgres(system_binaries(), settings={"fsync": "off"}) as server:
        upgrade(server.url("template1"))
        yield server


@pytest.fixture
async def store(system_server: Postgres) -> AsyncIterator[PostgresStore]:
    name = f"test_{secrets.token_hex(6)}"
    there = ("-U", "postgres", "-h", "127.0.0.1", "-p", str(system_server.port), name)
    system_server.run("createdb", *there)
    engine = await PostgresStore.open(system_server.url(name), DatabaseClock())
    yield engine
    await engine.close()
    system_server.run("dropdb", "--force", *there)


class TestSystemPostgres(StoreContract, CounterContract, DefinitionContract):
    """The suites, unchanged."""
