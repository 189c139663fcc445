"""The PostgreSQL engine keeps the contract, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from approvals.errors import Unavailable
from approvals.ports import ListFilter
from approvals.storage.clock import DatabaseClock
from approvals.storage.postgres import PostgresStore
from tests.contracts.suite import StoreContract, approving, do, parked
from tests.contracts.suite_audit import AuditContract, Execute
from tests.contracts.suite_counters import CounterContract
from tests.contracts.suite_definitions import DefinitionContract
from tests.contracts.suite_meter import Counted, MeterContract
from tests.contracts.suite_outbox import OutboxContract
from tests.contracts.suite_sessions import SessionContract

pytestmark = pytest.mark.anyio


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
async def store(postgres_url: str, counted: Counted) -> AsyncIterator[PostgresStore]:
    engine = await PostgresStore.open(postgres_url, DatabaseClock(), counted)
    yield engine
    await engine.close()


@pytest.fixture
async def execute(postgres_url: str) -> AsyncIterator[Execute]:
    engine = create_async_engine(postgres_url.replace("postgresql:", "postgresql+asyncpg:", 1))

    async def run(sql: str, values: Mapping[str, object]) -> list[dict[str, Any]]:
        async with engine.begin() as connection:
            await connection.execute(sa.text("set local session_replication_role = replica"))
            done = await connection.execute(sa.text(sql), dict(values))
            return [dict(row) for row in done.mappings()] if done.returns_rows else []

    yield run
    await engine.dispose()


class TestPostgres(
    StoreContract,
    CounterContract,
    DefinitionContract,
    SessionContract,
    OutboxContract,
    AuditContract,
    MeterContract,
):
    """The suites, unchanged."""


async def test_a_damaged_decision_fails_the_reader_of_its_approval_only(
    store: PostgresStore, execute: Execute
) -> None:
    decided = [approving(await parked(store)) for _ in range(5)]
    for step in decided:
        await do(store, step)
    damage = "update decisions set at = 'infinity' where approval_id = :id"
    await execute(damage, {"id": decided[2].after.id})
    asked = [store.latest([step.after.identity]) for step in decided]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found.pop(2), Unavailable)
    assert found == [step.after for n, step in enumerate(decided) if n != 2]
    listed = await store.page(ListFilter())
    assert len(listed.approvals) == 4
