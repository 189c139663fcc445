"""The PostgreSQL engine keeps the contract, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from approvals.errors import Unavailable
from approvals.ports import Applied, ListFilter
from approvals.ports.telling import Receipt
from approvals.storage.clock import DatabaseClock
from approvals.storage.postgres import PostgresStore
from tests.contracts.suite import StoreContract, approving, do, parked, parking
from tests.contracts.suite_audit import AuditContract, Execute
from tests.contracts.suite_counters import CounterContract
from tests.contracts.suite_definitions import DefinitionContract
from tests.contracts.suite_meter import Counted, MeterContract
from tests.contracts.suite_outbox import OutboxContract
from tests.contracts.suite_sessions import SessionContract
from tests.domain.builders import MINUTE, call

WAITING, WRITES = 4000, 200

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


async def test_no_write_and_no_delivery_walks_through_a_table(
    postgres_url: str, execute: Execute
) -> None:
    """The server keeps the plans that it made while the tables were empty. One walk of each write
    through one of them would read two million rows here."""
    store = await PostgresStore.open(postgres_url, DatabaseClock())
    for _ in range(10):
        await _told_once(store)
    made = [parking(call=call(agent="crawler")) for _ in range(WAITING)]
    assert await asyncio.gather(*(do(store, one) for one in made)) == [Applied()] * WAITING
    for _ in range(WRITES):
        await _told_once(store)
    await store.close()
    [found] = await execute(
        "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) as n from pg_stat_user_tables"
        " where relname in ('approvals', 'events', 'outbox', 'decisions')",
        {},
    )
    assert found["n"] < WAITING * WRITES / 8


async def _told_once(store: PostgresStore) -> None:
    asked = await parked(store)
    await do(store, approving(asked))
    assert await store.outbox.due()
    [due] = await store.outbox.lease("log", lease=MINUTE, limit=1)
    await store.outbox.told(due.id, receipt=Receipt(asked.id))
