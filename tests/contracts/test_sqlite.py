"""The SQLite engine keeps the contract, also with a full disk, an I/O error and a lost commit."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from approvals.domain.states import Approval
from approvals.errors import ApprovalsError, Overloaded, Unavailable, Undetermined
from approvals.ports import Again, Applied, WriteMeter
from approvals.storage.clock import SystemClock
from approvals.storage.commits import UNMETERED
from approvals.storage.migrations import upgrade
from approvals.storage.queue import MAX_WAITING
from approvals.storage.sqlite import SqliteStore
from tests.contracts.suite import StoreContract, approving, do, is_whole, parked, parking
from tests.contracts.suite_audit import AuditContract, Execute
from tests.contracts.suite_counters import CounterContract
from tests.contracts.suite_definitions import DefinitionContract
from tests.contracts.suite_meter import Counted, MeterContract
from tests.contracts.suite_outbox import OutboxContract
from tests.contracts.suite_sessions import SessionContract

pytestmark = pytest.mark.anyio


def opened(path: Path, meter: WriteMeter = UNMETERED) -> SqliteStore:
    return SqliteStore(
        path, SystemClock(), prepare=lambda: upgrade(f"sqlite:///{path}"), meter=meter
    )


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
async def store(tmp_path: Path, counted: Counted) -> AsyncIterator[SqliteStore]:
    engine = opened(tmp_path / "test.db", counted)
    yield engine
    await engine.close()


@pytest.fixture
async def execute(store: SqliteStore, tmp_path: Path) -> AsyncIterator[Execute]:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/test.db", poolclass=sa.NullPool)

    async def run(sql: str, values: Mapping[str, object]) -> list[dict[str, Any]]:
        with engine.begin() as connection:
            done = connection.execute(sa.text(sql), dict(values))
            return [dict(row) for row in done.mappings()] if done.returns_rows else []

    yield run
    engine.dispose()


class TestSqlite(
    StoreContract,
    CounterContract,
    DefinitionContract,
    SessionContract,
    OutboxContract,
    AuditContract,
    MeterContract,
):
    """The suites, unchanged."""


async def test_a_second_server_on_the_same_database_is_refused(
    store: SqliteStore, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match="Another approvals server"):
        opened(tmp_path / "test.db")


async def test_a_link_to_the_database_is_the_same_database(
    store: SqliteStore, tmp_path: Path
) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "test.db")
    with pytest.raises(Unavailable, match="Another approvals server"):
        opened(tmp_path / "link.db")


async def test_what_was_acknowledged_is_there_after_reopening(tmp_path: Path) -> None:
    first = opened(tmp_path / "test.db")
    asked = await parked(first)
    await first.close()
    again = opened(tmp_path / "test.db")
    assert await is_whole(again, asked)
    await again.close()


async def test_a_full_disk_in_the_middle_of_a_group_loses_nothing_acknowledged(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", kilobytes=900) as disk:
        await _fill_and_recover(disk, free=lambda: (disk / "ballast").unlink())


async def test_a_failing_write_in_the_middle_of_a_group_loses_nothing_acknowledged(
    tmp_path: Path,
) -> None:
    with limited_file_size(1_200_000) as lift:
        await _fill_and_recover(tmp_path, free=lift)


async def _fill_and_recover(folder: Path, *, free: Callable[[], None]) -> None:
    """Write groups until the disk says no, then make room: what was answered is true."""
    (folder / "ballast").write_bytes(b"x" * 200_000)
    engine = opened(folder / "test.db")
    kept: list[Approval] = []
    refused: list[Approval] = []
    for _ in range(40):
        made = [parking() for _ in range(20)]
        answers = await asyncio.gather(*(do(engine, one) for one in made), return_exceptions=True)
        for one, answer in zip(made, answers, strict=True):
            assert answer == Applied() or isinstance(answer, Unavailable)
            (kept if answer == Applied() else refused).append(one.approval)
        if len(refused) > 30:
            break
    assert refused, "the disk never filled"
    free()
    for approval in kept:
        assert await is_whole(engine, approval)
    for approval in refused:
        assert await engine.approval(approval.id) is None
        assert await engine.events(approval.id) == []
    recovered = await parked(engine)
    assert await is_whole(engine, recovered)
    await engine.close()
    connection = sqlite3.connect(folder / "test.db")
    assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    assert connection.execute("select count(*) from events").fetchone() == (len(kept) + 1,)
    connection.close()


async def test_too_many_waiting_writes_are_refused_and_not_applied(
    store: SqliteStore, tmp_path: Path
) -> None:
    blocker = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    blocker.execute("begin immediate")
    minute = timedelta(minutes=1)
    first = asyncio.ensure_future(store.apply(parking(), within=minute))
    await asyncio.sleep(0.05)  # the writer now waits for the blocker
    more = [
        asyncio.ensure_future(store.apply(parking(), within=minute)) for _ in range(MAX_WAITING)
    ]
    await asyncio.sleep(0)
    one_too_many = parking()
    with pytest.raises(Overloaded):
        await do(store, one_too_many)
    blocker.execute("rollback")
    blocker.close()
    assert await asyncio.gather(first, *more) == [Applied()] * (MAX_WAITING + 1)
    assert await store.approval(one_too_many.approval.id) is None


async def test_past_the_callers_deadline_the_answer_is_undetermined_and_the_write_goes_on(
    store: SqliteStore, tmp_path: Path
) -> None:
    blocker = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
    blocker.execute("begin immediate")
    made = parking()
    with pytest.raises(Undetermined):
        await store.apply(made, within=timedelta(milliseconds=50))
    blocker.execute("rollback")
    blocker.close()
    assert await do(store, made) == Applied()
    assert await is_whole(store, made.approval)


async def test_an_operation_whose_commit_answer_was_lost_is_applied_once(tmp_path: Path) -> None:
    """COMMIT happens, and the answer to it does not: submitting again finds the event."""
    engine = LosingStore(tmp_path / "test.db")
    made = parking()
    assert await do(engine.store, made) == Applied()
    engine.lose_next_commit()
    step = approving(made.approval)
    assert await do(engine.store, step) == Applied()
    assert engine.lost == 1
    assert await is_whole(engine.store, step.after)
    assert engine.counted.committed_ids == [made.op_id, step.op_id]
    assert engine.counted.retries == [Again.SPLIT]
    await engine.store.close()


async def test_after_closing_every_write_is_refused(tmp_path: Path) -> None:
    engine = opened(tmp_path / "test.db")
    await engine.close()
    with pytest.raises(ApprovalsError):
        await do(engine, parking())


class LosingStore:
    """A store whose connection can lose the answer of a COMMIT that was done."""

    def __init__(self, path: Path) -> None:
        self.lost = 0
        self.counted = Counted()
        self._armed = False
        losing = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
                cursor = super().execute(sql, *values)  # type: ignore[arg-type]
                if sql == "COMMIT" and losing._armed:
                    losing._armed = False
                    losing.lost += 1
                    raise sqlite3.OperationalError("disk I/O error")
                return cursor

        self.store = SqliteStore(
            path,
            SystemClock(),
            prepare=lambda: upgrade(f"sqlite:///{path}"),
            factory=Connection,
            meter=self.counted,
        )

    def lose_next_commit(self) -> None:
        self._armed = True


@contextmanager
def small_disk(path: Path, *, kilobytes: int) -> Iterator[Path]:
    """A file system of this size; where mounting is not allowed, one inside a user namespace."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        with limited_file_size(kilobytes * 1000) as lift:
            yield path
            lift()
        return
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@contextmanager
def limited_file_size(size: int) -> Iterator[Callable[[], None]]:
    """No file of this process may grow past `size` bytes: writes beyond it fail (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield lift
    finally:
        lift()


async def test_a_damaged_row_fails_its_own_reader_only(
    store: SqliteStore, execute: Execute
) -> None:
    made = [parking() for _ in range(5)]
    for one in made:
        await do(store, one)
    damage = "update approvals set summary = cast(x'ff' as text) where id = :id"
    await execute(damage, {"id": made[2].approval.id})
    asked = [store.latest([one.approval.identity]) for one in made]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found.pop(2), Unavailable)
    assert found == [one.approval for n, one in enumerate(made) if n != 2]
