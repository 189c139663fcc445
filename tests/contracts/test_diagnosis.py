"""What doctor says of a PostgreSQL database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import asyncpg
import pytest

from approvals.storage.clock import SystemClock
from approvals.storage.diagnosis import Severity
from approvals.storage.migrations import upgrade
from approvals.storage.postgres_diagnosis import diagnosed
from tests.servers import DURABLE, Postgres, postgres, standby


@pytest.fixture(scope="module")
def durable() -> Iterator[Postgres]:
    with postgres(settings=DURABLE) as server:
        yield server


class Late:
    """A machine whose clock is behind."""

    def now(self) -> datetime:
        return SystemClock().now() - timedelta(seconds=90)


def said(url: str, clock: SystemClock | Late | None = None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in diagnosed(url, clock or SystemClock()):
        found.setdefault(str(finding.severity), []).append(finding.what)
    return found


def test_a_database_without_the_schema_needs_an_upgrade(durable: Postgres) -> None:
    assert "db upgrade" in said(durable.url("template1"))[Severity.FAIL][0]


def test_a_durable_database_with_a_clock_that_agrees_is_well(durable: Postgres) -> None:
    upgrade(durable.url())
    found = said(durable.url())
    assert set(found) == {Severity.OK}
    assert len(found[Severity.OK]) == 2


def test_a_database_that_forgets_at_a_power_cut_fails(postgres_url: str) -> None:
    assert "fsync off" in said(postgres_url)[Severity.FAIL][0]


def test_clocks_that_differ_are_said(durable: Postgres) -> None:
    upgrade(durable.url())
    assert "+90" in said(durable.url(), Late())[Severity.WARN][0]


def test_a_clock_behind_what_is_written_fails(durable: Postgres) -> None:
    upgrade(durable.url())

    async def future() -> None:
        connection = await asyncpg.connect(durable.url())
        await connection.execute(
            "insert into events (id, stream, seq, previous, protected, hash, type, actor, detail,"
            " at)"
            " values ('evt_x', 's', 1, '', '', 'h', 't', 'a', '{}', now() + interval '1 hour')"
        )
        await connection.close()

    asyncio.run(future())
    assert "behind what the database has already seen" in said(durable.url())[Severity.FAIL][0]


def test_a_database_that_is_not_there_fails_in_a_sentence(durable: Postgres) -> None:
    assert "cannot be reached" in said(durable.url("nowhere"))[Severity.FAIL][0]


def test_a_standby_must_be_synchronous_and_is_not_written_to(durable: Postgres) -> None:
    upgrade(durable.url())
    with standby(durable) as other:
        assert one_said(durable, Severity.WARN).startswith("standbys: none is synchronous")
        asyncio.run(configured(durable, "set synchronous_standby_names = '*'"))
        try:
            assert "standbys: at least one is synchronous" in one_said(durable, Severity.OK)
            assert "this is a standby" in said(other.url())[Severity.FAIL][0]
        finally:
            asyncio.run(configured(durable, "reset synchronous_standby_names"))


def one_said(server: Postgres, severity: Severity) -> str:
    """What is said of standbys, once the server knows of one."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for sentence in said(server.url()).get(severity, []):
            if sentence.startswith("standbys"):
                return sentence
        time.sleep(0.1)
    raise AssertionError("nothing is said of standbys")


async def configured(server: Postgres, change: str) -> None:
    connection = await asyncpg.connect(server.url())
    await connection.execute(f"alter system {change}")
    await connection.execute("select pg_reload_conf()")
    await connection.close()
