"""What a group does at once is what its writes do one by one, and a failure takes nothing along."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from approvals.domain.states import Approval, Parking, Released, ReleaseStatus, Transition
from approvals.ports import Applied, Conflict, Duplicate, Frozen, Reserve, TooLate, TooMany
from approvals.storage.clock import SystemClock
from approvals.storage.migrations import upgrade
from approvals.storage.sqlite import SqliteStore
from approvals.storage.sqlite_many import at_once
from approvals.storage.sqlite_operations import work_of
from approvals.storage.sqlite_rows import MOST_AT_ONCE
from tests.contracts.suite import (
    approving,
    denying,
    do,
    finishing,
    is_whole,
    now,
    parked,
    parking,
    sending,
)
from tests.contracts.suite_counters import charge, freeze, run
from tests.domain.builders import call

TABLES = ("approvals", "decisions", "events", "outbox", "results")
AGENTS = ("bot", "crawler", "trader")
Step = Parking | Transition

pytestmark = pytest.mark.anyio


class Database:
    """A database file, written by the engine's own works."""

    def __init__(self, path: Path) -> None:
        upgrade(f"sqlite:///{path}")
        self.connection = sqlite3.connect(path, isolation_level=None)

    def one_by_one(self, steps: Sequence[Step], at: datetime) -> list[object]:
        return [work_of(step).run(self.connection, at) for step in steps]

    def together(self, steps: Sequence[Step], at: datetime) -> list[object]:
        works = [work_of(step) for step in steps]
        answers = at_once(self.connection, works, at)
        self.at_once = sum(answer is not None for answer in answers)
        left = ((work, answer) for work, answer in zip(works, answers, strict=True))
        return [a if a is not None else work.run(self.connection, at) for work, a in left]

    def content(self) -> dict[str, list[tuple[object, ...]]]:
        return {
            table: sorted(self.connection.execute(f"select * from {table}"), key=repr)
            for table in TABLES
        }


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Database, Database]]:
    made = Database(tmp_path / "one.db"), Database(tmp_path / "many.db")
    yield made
    for database in made:
        database.connection.close()


def some_parking(dice: random.Random, open_: Sequence[Approval], known: Sequence[Parking]) -> Step:
    kind = dice.randrange(8)
    if kind == 0 and known:
        return dice.choice(known)
    identity = None
    if kind == 1 and open_:
        identity = dice.choice(open_).identity
    elif kind == 2:
        identity = f"k:shared-{dice.randrange(3)}"
    agent = dice.choice(AGENTS)
    channels = tuple(dice.sample(["log", "slack", "web"], dice.randrange(4)))
    most = dice.choice([4, 6, 100_000])
    asked = call({"n": dice.randrange(9)}, agent=agent)
    return parking(identity, max_pending=most, call=asked, channels=channels)


def some_change(dice: random.Random, asked: Approval) -> Step:
    match dice.randrange(9):
        case 0:
            return sending(approving(asked).after)  # of a state that it is not in yet
        case 1:
            return approving(replace(asked, version=asked.version + 1))
        case 2:
            return replace(approving(asked), valid_from=now() + timedelta(minutes=30))
        case 3:
            return denying(asked)
    return approving(asked)


@pytest.mark.parametrize("seed", range(40))
def test_the_same_answers_and_the_same_rows(seed: int, pair: tuple[Database, Database]) -> None:
    dice, (one, many) = random.Random(seed), pair
    at = now()
    open_: list[Approval] = []
    known: list[Parking] = []
    kinds = set()
    for _ in range(6):
        count = dice.choice([3, 8, MOST_AT_ONCE, 3 * MOST_AT_ONCE])
        asking = dice.random() < 0.5
        steps = (
            [some_parking(dice, open_, known) for _ in range(count)]
            if asking
            else [some_change(dice, asked) for asked in dice.sample(open_, min(len(open_), count))]
        )
        if dice.random() < 0.1:
            at += timedelta(hours=1)
        answers = one.one_by_one(steps, at)
        assert many.together(steps, at) == answers
        assert many.content() == one.content()
        won = [step for step, answer in zip(steps, answers, strict=True) if answer == Applied()]
        known += [step for step in won if isinstance(step, Parking)]
        gone = {step.after.id for step in won if isinstance(step, Transition)}
        newest = {step.leaves.id: step.leaves for step in won}
        open_ = [asked for asked in open_ if asked.id not in gone]
        open_ += [a for a in newest.values() if a.version == 1 and a not in open_]
        kinds |= {type(answer) for answer in answers}
    assert Applied in kinds


def test_each_kind_of_answer_is_among_these_groups(pair: tuple[Database, Database]) -> None:
    """So that the comparison above is one of more than what succeeds."""
    one, many = pair
    first = [parking(f"k:{n}", max_pending=100_000) for n in range(10)]
    assert set(map(type, many.together(first, now()))) == {Applied}
    assert many.at_once == 10
    asked = first[0].approval
    bound = [parking(max_pending=12) for _ in range(4)]
    late = approving(parking(lasts=timedelta(milliseconds=1)).approval)
    mixed: list[Step] = [
        approving(asked),
        parking("k:1"),
        *bound,
        first[2],
        sending(approving(first[3].approval).after),
        late,
    ]
    answers = many.together(mixed, now() + timedelta(seconds=1))
    assert set(map(type, answers)) == {Applied, Duplicate, TooMany, Conflict, TooLate}
    assert sum(isinstance(answer, TooMany) for answer in answers) == 1
    assert many.at_once == 1
    assert one.content() != many.content()


def test_a_whole_life_at_once(pair: tuple[Database, Database]) -> None:
    one, many = pair
    made: list[Parking] = [parking() for _ in range(5)]
    approved = [approving(step.approval) for step in made]
    sent = [sending(step.after) for step in approved]
    done = [finishing(step.after, result=f'"{n}"') for n, step in enumerate(sent)]
    for steps in (made, approved, sent, done):
        assert many.together(steps, now()) == [Applied()] * 5
        assert many.at_once == 5
        one.one_by_one(steps, now())
    assert many.content() == one.content()


def test_what_gives_a_place_back_is_done_by_itself(pair: tuple[Database, Database]) -> None:
    _, many = pair
    made = [parking() for _ in range(3)]
    assert many.together(made, now()) == [Applied()] * 3
    sent = [sending(approving(step.approval).after) for step in made]
    for step in sent:  # as if it had been approved in between
        sql = "update approvals set version = ?, status = ? where id = ?"
        values = (step.before.version, step.before.status, step.before.id)
        many.connection.execute(sql, values)
    reserve = Reserve(holder=made[0].approval.id, charges=(charge(),))
    assert work_of(reserve).run(many.connection, now()) == Applied()
    assert many.together(sent, now()) == [Applied()] * 3
    not_sent = finishing(sent[0].after)
    assert isinstance(not_sent.after.state, Released)
    assert not_sent.after.state.outcome is not None
    outcome = replace(not_sent.after.state.outcome, status=ReleaseStatus.NOT_SENT)
    state = replace(not_sent.after.state, outcome=outcome)
    steps: list[Step] = [
        replace(not_sent, after=replace(not_sent.after, state=state)),
        finishing(sent[1].after),
        finishing(sent[2].after),
    ]
    assert many.together(steps, now()) == [Applied()] * 3
    assert many.at_once == 2
    assert many.connection.execute("select count(*) from reservations").fetchone() == (0,)


def test_records_are_appended_to_their_chains(pair: tuple[Database, Database]) -> None:
    one, many = pair
    first = run()
    made = [run(), run(charge()), run(), replace(run(), stream="prc_2"), run(), first]
    for database in pair:
        work_of(first).run(database.connection, now())
    works = [work_of(step) for step in made]
    answers = at_once(many.connection, works, now())
    assert answers == [Applied(), None, Applied(), Applied(), Applied(), None]
    for work, answer in zip(works, answers, strict=True):
        work.run(one.connection, now())
        if answer is None:
            assert work.run(many.connection, now()) == Applied()
    for database in pair:
        rows = database.connection.execute("select stream, id from events order by stream, seq")
        found = [tuple(row) for row in rows]
        assert len(found) == len(made)
        assert {id_ for _, id_ in found} == {step.op_id for step in made}
        for stream in ("prc_1", "prc_2"):
            linked = database.connection.execute(
                "select seq, previous, hash from events where stream = ? order by seq", (stream,)
            ).fetchall()
            assert [seq for seq, _, _ in linked] == list(range(1, len(linked) + 1))
            assert [p for _, p, _ in linked] == ["", *(h for _, _, h in linked[:-1])]


def test_nothing_is_done_at_once_while_a_freeze_is_in_force(
    pair: tuple[Database, Database],
) -> None:
    _, many = pair
    stop = work_of(freeze())
    steps: list[Step] = [parking() for _ in range(3)]
    works = [*map(work_of, steps), work_of(run())]
    assert at_once(many.connection, [*works, stop], now()) == [None] * 5
    stop.run(many.connection, now())
    assert at_once(many.connection, works, now()) == [None] * 4
    assert many.together(steps, now()) == [Frozen(reason="stop")] * 3
    assert many.at_once == 0


async def test_where_it_fails_at_once_each_is_done_by_itself(tmp_path: Path) -> None:
    failed: list[str] = []

    class Failing(sqlite3.Connection):
        def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
            if sql.startswith("insert into outbox") and sql.count("(?") > 1:
                failed.append(sql)
                raise sqlite3.OperationalError("out of memory")
            return super().execute(sql, *values)  # type: ignore[arg-type]

    path = tmp_path / "test.db"
    store = SqliteStore(
        path, SystemClock(), prepare=lambda: upgrade(f"sqlite:///{path}"), factory=Failing
    )
    first = await parked(store)
    made = [parking() for _ in range(30)]
    steps: list[Step] = [approving(first), *made]
    answers = await asyncio.gather(*(do(store, step) for step in steps))
    assert failed
    assert answers == [Applied()] * 31
    for step in made:
        assert await is_whole(store, step.approval)
    await store.close()
