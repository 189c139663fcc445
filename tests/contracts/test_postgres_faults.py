"""The PostgreSQL engine never answers from doubt: cut connections, restarts, poison, replicas."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest

from approvals.domain.states import Approval
from approvals.errors import Overloaded, Unavailable, Undetermined
from approvals.ports import Again, Answer, Applied, Conflict, Full, Reserve
from approvals.storage.clock import DatabaseClock
from approvals.storage.migrations import upgrade
from approvals.storage.postgres import PostgresStore
from approvals.storage.queue import MAX_WAITING
from tests.contracts.suite import approving, denying, do, is_whole, parked, parking
from tests.contracts.suite_counters import charge, freeze, run
from tests.contracts.suite_meter import Counted
from tests.domain.builders import call
from tests.faults.proxy import Proxy, proxy
from tests.servers import DURABLE, Postgres, postgres

if TYPE_CHECKING:
    from approvals.domain.states import Parking, Transition

pytestmark = pytest.mark.anyio
LONG = timedelta(seconds=30)
SECRET = "hunter2-very-secret"


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    """A durable server of this test alone, which it may kill."""
    with postgres(settings=DURABLE) as server:
        upgrade(server.url())
        yield server


@pytest.fixture
async def network(postgres_server: Postgres) -> AsyncIterator[Proxy]:
    async with proxy(postgres_server.port) as made:
        yield made


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
async def store(
    network: Proxy, postgres_server: Postgres, postgres_url: str, counted: Counted
) -> AsyncIterator[PostgresStore]:
    """A store whose connections all go through `network`."""
    url = postgres_url.replace(f":{postgres_server.port}/", f":{network.port}/")
    engine = await PostgresStore.open(url, DatabaseClock(), counted)
    yield engine
    network.go()
    network.lose_answers_to(None)
    await engine.close()


@pytest.fixture
async def replica(store: PostgresStore, postgres_url: str) -> AsyncIterator[PostgresStore]:
    """Another process on the same database, by the straight way."""
    engine = await PostgresStore.open(postgres_url, DatabaseClock())
    yield engine
    await engine.close()


async def test_a_write_whose_answer_was_lost_is_answered_from_what_the_database_has(
    store: PostgresStore, network: Proxy, counted: Counted
) -> None:
    asked = await parked(store)
    step = approving(asked)
    network.lose_answers_to(step.op_id.encode())
    prepared = asyncio.create_task(store.apply(step, within=LONG))
    await _until(lambda: network.answers_lost > 0)
    network.lose_answers_to(None)
    assert await prepared == Applied()
    assert await is_whole(store, step.after)
    assert counted.committed_ids.count(step.op_id) == 1
    assert set(counted.retries) == {Again.LOST}


async def test_connections_cut_at_any_moment_lose_and_double_nothing(
    store: PostgresStore, network: Proxy
) -> None:
    made = [parking() for _ in range(300)]
    steps = [approving(one.approval) for one in made]

    async def live(one: Parking, step: Transition) -> tuple[Answer, Answer]:
        return await store.apply(one, within=LONG), await store.apply(step, within=LONG)

    lives = asyncio.gather(*(live(*both) for both in zip(made, steps, strict=True)))
    for n in range(25):
        await asyncio.sleep(0.003 * n)
        network.cut()
    assert await lives == [(Applied(), Applied())] * 300
    for step in steps:
        assert await is_whole(store, step.after)


async def test_records_reservations_and_freezes_survive_cut_connections_once(
    store: PostgresStore, network: Proxy
) -> None:
    one = charge(max_=40)
    records = [run(one) for _ in range(60)]
    tasks = asyncio.gather(*(store.apply(record, within=LONG) for record in records))
    for _ in range(8):
        await asyncio.sleep(0.01)
        network.cut()
    answers = await tasks
    assert answers.count(Applied()) == 40
    assert answers.count(Full(charge=one)) == 20
    assert [event.seq for event in await store.events("prc_1")] == list(range(1, 41))
    assert await do(store, Reserve(holder="late", charges=(one,))) == Full(charge=one)
    made = freeze(agent="bot")
    freezing = asyncio.create_task(store.apply(made, within=LONG))
    network.cut()
    assert await freezing == Applied()
    assert await store.freezes() == [made.freeze]


async def test_an_abandoned_backend_cannot_commit_after_the_answer(
    store: PostgresStore, network: Proxy, postgres_url: str
) -> None:
    """The old session waits behind a lock when its connection breaks: it is ended first. Otherwise
    it would commit after the new session's statement began, which then sees nothing of it."""
    asked = await parked(store)
    blocker = await asyncpg.connect(postgres_url)
    blocking = blocker.transaction()
    await blocking.start()
    await blocker.execute("select 1 from approvals where id = $1 for update", asked.id)
    step = approving(asked)
    writing = asyncio.create_task(store.apply(step, within=LONG))
    watcher = await asyncpg.connect(postgres_url)
    first = await backend_behind_a_lock(watcher)
    network.cut()
    await backend_behind_a_lock(watcher, other_than=first)
    await blocking.rollback()
    assert await writing == Applied()
    assert await do(store, denying(asked)) == Conflict()
    assert await is_whole(store, step.after)
    await blocker.close()
    await watcher.close()


async def test_what_is_written_is_not_called_refused_because_somebody_locks_its_row_now(
    store: PostgresStore, network: Proxy, postgres_url: str
) -> None:
    """The answer is lost, and before the same write is submitted again its row is locked: the
    second try fails, and must not speak for the first."""
    asked = await parked(store)
    step = approving(asked)
    first, second = await asyncpg.connect(postgres_url), await asyncpg.connect(postgres_url)
    watcher = await asyncpg.connect(postgres_url)
    lock = "select 1 from approvals where id = $1 for update"
    before, after = first.transaction(), second.transaction()
    await before.start()
    await first.execute(lock, asked.id)
    network.lose_answers_to(step.op_id.encode())
    writing = asyncio.create_task(store.apply(step, within=LONG))
    own = await backend_behind_a_lock(watcher)
    await after.start()
    locking = asyncio.create_task(second.execute(lock, asked.id))
    await backend_behind_a_lock(watcher, other_than=own)
    await before.rollback()
    await locking
    async with asyncio.timeout(10):  # it is committed; its answer is on the way to be lost
        while not network.answers_lost:
            await asyncio.sleep(0.01)
    assert network.answers_lost == 1
    network.lose_answers_to(None)
    assert await writing == Applied()
    await after.rollback()
    assert await is_whole(store, step.after)
    for connection in (first, second, watcher):
        await connection.close()


async def backend_behind_a_lock(watcher: asyncpg.Connection, other_than: int = 0) -> int:
    """The process of the server whose statement waits for a row of approvals."""
    waiting = """
        select pid from pg_stat_activity where datname = current_database() and pid <> $1
          and wait_event_type = 'Lock' and query like '%approvals%'
    """
    async with asyncio.timeout(10):
        while (pid := await watcher.fetchval(waiting, other_than)) is None:
            await asyncio.sleep(0.01)
    return int(pid)


async def test_a_row_somebody_else_has_locked_harms_only_its_own_caller(
    store: PostgresStore, postgres_url: str
) -> None:
    stuck, free = await parked(store), [await parked(store) for _ in range(10)]
    blocker = await asyncpg.connect(postgres_url)
    async with blocker.transaction():
        await blocker.execute("select 1 from approvals where id = $1 for update", stuck.id)
        steps = [approving(one) for one in (*free[:5], stuck, *free[5:])]
        answers = await asyncio.gather(
            *(store.apply(step, within=LONG) for step in steps), return_exceptions=True
        )
        assert isinstance(answers.pop(5), Unavailable)
        assert answers == [Applied()] * 10
    await blocker.close()
    assert await is_whole(store, stuck)
    assert await do(store, approving(stuck)) == Applied()


async def test_a_server_that_does_not_answer_refuses_what_was_not_sent_and_settles_what_was(
    store: PostgresStore, network: Proxy, counted: Counted
) -> None:
    asked = await parked(store)
    network.stop()
    step = approving(asked)
    first = asyncio.create_task(store.apply(step, within=timedelta(seconds=0.5)))
    await asyncio.sleep(0.1)
    late = parking()
    with pytest.raises(Unavailable):
        await store.apply(late, within=timedelta(seconds=0.2))
    with pytest.raises(Undetermined):
        await first
    network.go()
    assert await store.apply(step, within=LONG) == Applied()
    assert await is_whole(store, step.after)
    assert await store.approval(late.approval.id) is None
    assert counted.committed_ids[1:] == [step.op_id]


async def test_too_many_waiting_writes_are_refused(store: PostgresStore, network: Proxy) -> None:
    await parked(store)
    network.stop()
    soon = timedelta(seconds=1)
    waiting = [
        asyncio.create_task(store.apply(parking(), within=soon)) for _ in range(MAX_WAITING + 256)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await store.apply(parking(), within=soon)
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_server_that_dies_and_comes_back_has_everything_it_acknowledged(
    own_server: Postgres,
) -> None:
    store = await PostgresStore.open(own_server.url(), DatabaseClock())
    kept: list[Approval] = []

    async def keep_on() -> None:
        while len(kept) < 400:
            made = parking()
            if await store.apply(made, within=LONG) == Applied():
                kept.append(made.approval)

    writers = [asyncio.create_task(keep_on()) for _ in range(20)]
    for _ in range(2):
        await _until(lambda: len(kept) >= 100)
        await asyncio.to_thread(own_server.stop, "immediate")
        await asyncio.to_thread(own_server.start)
    await asyncio.gather(*writers)
    for approval in kept:
        assert await is_whole(store, approval)
    await store.close()


async def test_two_replicas_deciding_the_same_calls_in_opposite_order_have_one_winner_each(
    store: PostgresStore, replica: PostgresStore
) -> None:
    asked = [await parked(store) for _ in range(100)]
    here = [store.apply(approving(one), within=LONG) for one in asked]
    there = [replica.apply(denying(one), within=LONG) for one in reversed(asked)]
    answers = await asyncio.gather(*here, *there)
    assert answers.count(Applied()) == 100
    assert answers.count(Conflict()) == 100
    for one in asked:
        found = await replica.approval(one.id)
        assert found is not None
        assert await is_whole(store, found)


async def test_ten_replicas_take_exactly_what_a_counter_has(
    store: PostgresStore, replica: PostgresStore
) -> None:
    one = charge(max_=10)
    answers = await asyncio.gather(
        *(
            (store, replica)[n % 2].apply(Reserve(holder=f"h{n}", charges=(one,)), within=LONG)
            for n in range(50)
        )
    )
    assert answers.count(Applied()) == 10
    assert answers.count(Full(charge=one)) == 40


async def test_the_same_call_asked_on_two_replicas_at_once_is_parked_once(
    store: PostgresStore, replica: PostgresStore
) -> None:
    made = [parking("k:same") for _ in range(20)]
    answers = await asyncio.gather(
        *((store, replica)[n % 2].apply(one, within=LONG) for n, one in enumerate(made))
    )
    assert answers.count(Applied()) == 1
    winner = made[answers.index(Applied())].approval.id
    assert {getattr(answer, "existing_id", winner) for answer in answers} == {winner}


async def test_a_freeze_on_one_replica_stops_the_next_write_on_the_other(
    store: PostgresStore, replica: PostgresStore
) -> None:
    racing = [asyncio.create_task(store.apply(parking(), within=LONG)) for _ in range(50)]
    made = freeze()
    assert await replica.apply(made, within=LONG) == Applied()
    await asyncio.gather(*racing)
    assert await do(store, parking()) != Applied()


async def test_a_unique_violation_in_the_middle_of_a_full_flush_harms_only_its_caller(
    store: PostgresStore, counted: Counted
) -> None:
    first = await parked(store)
    [event] = await store.events(first.id)
    made = [parking() for _ in range(200)]
    made[117] = replace(made[117], event=event)
    answers = await asyncio.gather(
        *(store.apply(one, within=LONG) for one in made), return_exceptions=True
    )
    assert isinstance(answers.pop(117), Unavailable)
    assert answers == [Applied()] * 199
    assert len(counted.operations) == sum(size for size, _ in counted.groups) == 200
    assert set(counted.retries) == {Again.SPLIT}


async def test_the_row_of_a_refused_write_is_in_no_log(
    store: PostgresStore, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The server's error tells the whole row, with the arguments that nobody is shown."""
    there = await asyncpg.connect(postgres_url)
    await there.execute("alter table approvals add constraint never check (server <> 'exchange')")
    await there.close()
    with pytest.raises(Unavailable) as refused:
        await do(store, parking(call=call({"api_key": SECRET})))
    assert 'violates check constraint "never"' in caplog.text
    said = "".join(traceback.format_exception(refused.value))
    assert 'violates check constraint "never"' in said
    assert SECRET not in caplog.text + said


async def test_a_deadlock_takes_the_flush_back_and_the_same_flush_succeeds(
    store: PostgresStore, postgres_url: str, counted: Counted
) -> None:
    """The server says so once, whoever collided with whom."""
    there = await asyncpg.connect(postgres_url)
    await there.execute(DEADLOCK_ONCE)
    await there.close()
    asked = await parked(store)
    assert await is_whole(store, asked)
    assert counted.retries == [Again.COLLIDED]
    assert len(counted.operations) == 1


DEADLOCK_ONCE = """
create sequence once;
create function collide() returns trigger language plpgsql as $$ begin
  if nextval('once') = 1 then raise exception 'deadlock' using errcode = '40P01'; end if;
  return new;
end $$;
create trigger collide before insert on approvals for each row execute function collide()
"""


async def test_rows_that_others_lock_hold_nobody_else_up(
    store: PostgresStore, postgres_url: str
) -> None:
    stuck, free = [await parked(store) for _ in range(30)], [await parked(store) for _ in range(50)]
    one = charge(max_=1000)
    assert await do(store, Reserve(holder="h", charges=(one,))) == Applied()
    blocker = await asyncpg.connect(postgres_url)
    async with blocker.transaction():
        ids = [approval.id for approval in stuck]
        await blocker.execute("select 1 from approvals where id = any($1) for update", ids)
        await blocker.execute("select 1 from counters for update")
        soon = timedelta(seconds=9)
        blocked = [store.apply(approving(approval), within=soon) for approval in stuck]
        blocked += [store.apply(run(one), within=soon) for _ in range(30)]
        open_ = [store.apply(approving(approval), within=soon) for approval in free]
        answers = await asyncio.gather(*blocked, *open_, return_exceptions=True)
        assert all(isinstance(answer, Unavailable) for answer in answers[: len(blocked)])
        assert answers[len(blocked) :] == [Applied()] * 50
    await blocker.close()
    assert await do(store, approving(stuck[0])) == Applied()


async def test_a_freeze_does_not_wait_for_who_only_reads(
    store: PostgresStore, postgres_url: str
) -> None:
    backup = await asyncpg.connect(postgres_url)
    async with backup.transaction():
        await backup.execute("lock table freezes in access share mode")
        assert await do(store, freeze()) == Applied()
        assert await do(store, parking()) != Applied()
    await backup.close()


async def test_a_column_that_a_newer_version_added_disturbs_nothing(
    store: PostgresStore, postgres_url: str
) -> None:
    newer = await asyncpg.connect(postgres_url)
    for table in ("approvals", "events", "freezes", "outbox", "decisions", "reservations"):
        await newer.execute(f"alter table {table} add column newer int not null default 0")
    await newer.close()
    asked = await parked(store)
    assert await do(store, approving(asked)) == Applied()
    made = freeze()
    assert await do(store, made) == Applied()
    assert await store.freezes() == [made.freeze]


async def test_large_writes_over_a_slow_network_end(store: PostgresStore, network: Proxy) -> None:
    network.slow_down(to_bytes_per_second=3_000_000)
    large = [parking(call=call({"x": "y" * 900_000, "n": n})) for n in range(24)]
    answers = await asyncio.gather(*(store.apply(one, within=LONG) for one in large))
    assert answers == [Applied()] * 24
    assert await do(store, parking()) == Applied()


async def test_who_only_renews_knows_the_servers_clock(
    store: PostgresStore, postgres_url: str
) -> None:
    clock = DatabaseClock()
    idle = await PostgresStore.open(postgres_url, clock)
    earlier = clock.now() + timedelta(seconds=30)
    clock.heard(earlier, asked=clock.elapsed())
    await idle.renew("prc_x", config_hash="h", lasts=timedelta(seconds=15))
    assert abs(clock.now() - (earlier - timedelta(seconds=30))) < timedelta(seconds=5)
    assert [p.id for p in await idle.processes(now=clock.now())] == ["prc_x"]
    await idle.close()


async def _until(so: object) -> None:
    assert callable(so)
    async with asyncio.timeout(20):
        while not so():
            await asyncio.sleep(0.005)
