"""The contract of sealing, erasing and verifying; see `suite`.

An engine's test module gives two fixtures: `store`, and `execute`, which runs plain SQL with named
values on the same database, as somebody would who has got hold of it: foreign keys are not checked.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from approvals.domain import approval as machine
from approvals.domain.call import Executor
from approvals.domain.chain import Head, link
from approvals.domain.digest import digest
from approvals.domain.protected import protected_hash
from approvals.domain.quorum import Requirement
from approvals.domain.record import stored_result
from approvals.domain.seal import Seal, sealed
from approvals.domain.states import (
    Answer,
    CancelReason,
    Overdue,
    Released,
    ReleaseStatus,
    Status,
    Withdrawn,
)
from approvals.errors import Unavailable
from approvals.ports import Applied, Conflict, EventFilter, ListFilter, Record, Stray
from approvals.service.keyring import Keyring
from approvals.service.restore import Restore
from approvals.service.verification import Verified, verified
from approvals.storage.tables import Table
from tests.contracts.lives import KEEP, KEYRING, RAN, Lives
from tests.contracts.suite import (
    IDS,
    applied,
    approving,
    denying,
    do,
    fact,
    finishing,
    is_whole,
    now,
    parked,
    sending,
)
from tests.domain.builders import call

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from approvals.domain.states import Approval, Erasure
    from tests.contracts.suite import Engine

Row = Mapping[str, Any]
Execute = Callable[[str, Mapping[str, object]], Awaitable[list[dict[str, Any]]]]

TABLES = ("approvals", "decisions", "events", "seals")
TAMPERED = (
    ("approvals", 25),
    ("decisions", 1),
    ("events", 25),
    ("seals", 1),
    pytest.param("approvals", 1, marks=pytest.mark.long),
    pytest.param("events", 1, marks=pytest.mark.long),
)
"""Table, and how many rows there are to each that is changed; columns take turns with rows."""
SPACED = (
    ("approvals", "arguments"),
    ("approvals", "argument_order"),
    ("approvals", "channels"),
    ("approvals", "definition_risk"),
    ("approvals", "hidden"),
    ("approvals", "requirement"),
    ("decisions", "stages"),
    ("events", "detail"),
)


def root_of(newest: Seal | None, hashes: Sequence[str], at: datetime) -> Seal:
    return sealed(newest, hashes, at=at, keyed=lambda text: KEYRING.hash("seal", text))


async def sealing(store: Engine, limit: int = 1000) -> Seal | None:
    return await store.seal(root_of, limit=limit)


def erasing(ended: Approval) -> Erasure:
    texts = machine.what_is_erased(ended)
    hashes = {name: KEYRING.hash("erased", text) for name, text in texts.items()}
    return machine.erase(ended, hashes=hashes, now=now(), event_id=IDS.event())


async def checked(store: Engine) -> Verified:
    return await verified(store, KEYRING)


def columns(table: str) -> list[sa.Column[Any]]:
    return list(Table.metadata.tables[table].columns)


def key_names(table: str) -> list[str]:
    return [column.name for column in Table.metadata.tables[table].primary_key]


@dataclass(frozen=True, slots=True)
class Place:
    """One column of one row."""

    table: str
    key: dict[str, Any]
    column: str

    @property
    def where(self) -> str:
        return " and ".join(f"{name} = :key_{name}" for name in self.key)

    def names(self) -> str:
        """The row as findings name it."""
        return " ".join(str(value) for value in self.key.values())

    async def set(self, execute: Execute, value: object) -> Place:
        """Where it is now: the column may be part of the key."""
        sql = f"update {self.table} set {self.column} = :value where {self.where}"
        await execute(sql, {"value": value, **{f"key_{n}": v for n, v in self.key.items()}})
        return replace(self, key={n: value if n == self.column else v for n, v in self.key.items()})


class AuditContract:
    """What every engine keeps."""

    pytestmark = pytest.mark.anyio

    async def test_a_seal_covers_every_event_that_has_none_and_follows_the_last(
        self, store: Engine
    ) -> None:
        assert await sealing(store) is None
        asked = await parked(store)
        first = await sealing(store)
        await applied(store, approving(asked))
        await do(store, Record(stream="prc", fact=fact()))
        second = await sealing(store)
        assert first is not None
        assert second is not None
        assert (first.number, first.previous, first.events) == (1, "", 1)
        assert (second.number, second.previous, second.events) == (2, first.root, 2)
        assert await store.seals(after=0, limit=10) == [(1, first), (2, second)]
        assert await store.seals(after=1, limit=10) == [(2, second)]
        assert await sealing(store) is None

    async def test_the_root_is_made_of_exactly_the_events_that_name_the_seal(
        self, store: Engine
    ) -> None:
        for _ in range(3):
            await parked(store)
        seal = await sealing(store)
        assert seal is not None
        hashes = [hash_ for _, hash_ in await store.sealed(1, 1, limit=10)]
        assert seal == root_of(None, hashes, seal.at)
        under = await store.under(1, 1, limit=10)
        assert sorted(event.hash for event in under) == sorted(hashes)
        assert now() - timedelta(minutes=1) < seal.at <= now() + timedelta(seconds=2)

    async def test_more_events_than_one_seal_covers_are_sealed_oldest_first(
        self, store: Engine
    ) -> None:
        asked = [await parked(store, created_at=now() - n * timedelta(hours=1)) for n in range(5)]
        seals = [await sealing(store, 2) for _ in range(3)]
        assert [seal.events for seal in seals if seal] == [2, 2, 1]
        assert {one.stream for one in await store.under(1, 1, limit=9)} == {
            asked[4].id,
            asked[3].id,
        }
        assert await sealing(store, 2) is None
        assert await store.complete_seal(full=2) == seals[2]
        assert await store.complete_seal(full=1) is None

    async def test_sealers_at_the_same_moment_seal_one_after_the_other(self, store: Engine) -> None:
        for _ in range(7):
            await parked(store)
        await asyncio.gather(*(sealing(store, 2) for _ in range(5)))
        assert (await checked(store)).findings == ()
        seals = [seal for _, seal in await store.seals(after=0, limit=9) if seal]
        assert [(seal.number, seal.events) for seal in seals] == [(1, 2), (2, 2), (3, 2), (4, 1)]

    async def test_unsealed_events_are_told_by_age(self, store: Engine) -> None:
        asked = await parked(store)
        later = now() + timedelta(minutes=1)
        [event] = await store.unsealed(before=later, limit=9)
        assert (event.stream, event.seq, event.seal) == (asked.id, 1, None)
        assert await store.unsealed(before=asked.created_at, limit=9) == []
        await sealing(store)
        assert await store.unsealed(before=later, limit=9) == []

    async def test_streams_are_walked_event_by_event(self, store: Engine) -> None:
        one, two = await parked(store), await parked(store)
        await applied(store, approving(one))
        await applied(store, denying(two))
        seen: list[tuple[str, int]] = []
        while page := await store.streams(after=seen[-1] if seen else None, limit=3):
            seen += [(event.stream, event.seq) for event in page]
            assert all(event.event and not event.odd for event in page)
        assert sorted(seen) == sorted((a.id, n) for a in (one, two) for n in (1, 2))
        assert seen.index((one.id, 1)) + 1 == seen.index((one.id, 2))

    async def test_events_are_told_by_time_forward_and_back(self, store: Engine) -> None:
        start = now()
        asked = [await parked(store, created_at=start + n * SECOND) for n in range(5)]
        ids = [one.id for one in asked]
        forward = await store.timeline(EventFilter(limit=2))
        assert [event.stream for event in forward] == ids[:2]
        after = EventFilter(after=(forward[1].at or start, forward[1].id))
        assert [event.stream for event in await store.timeline(after)] == ids[2:]
        back = await store.timeline(EventFilter(newest_first=True, limit=2))
        assert [event.stream for event in back] == ids[:2:-1]
        older = replace(after, newest_first=True, after=(back[1].at or start, back[1].id))
        assert [event.stream for event in await store.timeline(older)] == ids[2::-1]
        between = EventFilter(since=start + SECOND, until=start + 3 * SECOND)
        assert [event.stream for event in await store.timeline(between)] == ids[1:3]
        assert [e.stream for e in await store.timeline(EventFilter(stream=ids[3]))] == [ids[3]]
        assert await store.timeline(EventFilter(type="approved")) == []
        assert len(await store.timeline(EventFilter(actor="agent:trader-bot"))) == 5

    async def test_an_approval_is_read_with_its_decisions_and_its_result(
        self, store: Engine
    ) -> None:
        sent = await applied(store, sending(await applied(store, approving(await parked(store)))))
        done = await applied(store, finishing(sent, result="{}"))
        [stored] = await store.stored([done.id, "apr_none"])
        assert (stored.id, stored.approval, stored.odd) == (done.id, done, ())
        assert [(one.seq, one.decision, one.odd) for one in stored.decisions] == [
            (1, done.decisions[0], ())
        ]
        assert await store.results([done.id, "apr_none"]) == {done.id: stored_result("{}")}

    async def test_large_approvals_are_read_a_few_at_once(self, store: Engine) -> None:
        given = call({"x": "y" * 1_000_000})
        made = digest(given, Requirement(), revision=1)
        large = [await parked(store, call=given, digest=made) for _ in range(10)]
        ids = {one.id for one in large}
        some = {one.id for one in await store.stored(sorted(ids))}
        assert 0 < len(some) < 10
        rest = {one.id for one in await store.stored(sorted(ids - some))}
        assert some | rest == ids
        assert await store.stored(["apr_none"]) == []
        found = await checked(store)
        assert (found.approvals, found.unsealed, found.findings) == (10, 10, ())

    async def test_what_was_asked_and_answered_is_erased_in_one_write(self, store: Engine) -> None:
        sent = await applied(store, sending(await applied(store, approving(await parked(store)))))
        done = await applied(store, finishing(sent, result='{"secret":1}'))
        erasure = erasing(done)
        assert await do(store, erasure) == Applied()
        assert await store.approval(done.id) == erasure.after
        assert await is_whole(store, erasure.after)
        assert await store.result(done.id) is None
        assert await do(store, erasure) == Applied()  # submitted again after a lost answer
        assert await is_whole(store, erasure.after)
        [stored] = await store.stored([done.id])
        assert (stored.approval, stored.odd) == (erasure.after, ())

    async def test_an_erasure_from_an_old_version_conflicts_and_changes_nothing(
        self, store: Engine
    ) -> None:
        denied = await applied(store, denying(await parked(store)))
        await do(store, erasing(denied))
        assert await do(store, erasing(denied)) == Conflict()
        [stored] = await store.stored([denied.id])
        assert stored.approval is not None
        assert stored.approval.version == denied.version + 1

    async def test_erasable_is_what_ended_before_and_still_has_its_arguments(
        self, store: Engine
    ) -> None:
        denied = await applied(store, denying(await parked(store)))
        approved = await applied(store, approving(await parked(store)))
        await parked(store)
        sent = await applied(store, sending(approved))
        soon = now() + SECOND
        assert await store.erasable(before=soon, limit=9) == [denied]
        done = await applied(store, finishing(sent))
        assert await store.erasable(before=soon, limit=9) == [denied, done]
        assert await store.erasable(before=soon, limit=1) == [denied]
        assert await store.erasable(before=denied.created_at, limit=9) == []
        await do(store, erasing(denied))
        assert await store.erasable(before=soon, limit=9) == [done]

    async def test_rows_that_belong_to_nothing_are_told(
        self, store: Engine, execute: Execute
    ) -> None:
        denied = await applied(store, denying(await parked(store)))
        silent = await parked(store)
        assert await store.strays(limit=9) == []
        await execute("insert into results (approval_id, text) values ('apr_none', '{}')", {})
        await execute("update decisions set approval_id = 'apr_gone'", {})
        await execute("delete from events where stream = :id", {"id": silent.id})
        assert await store.strays(limit=9) == [
            Stray("approvals", silent.id),
            Stray("decisions", "apr_gone"),
            Stray("results", "apr_none"),
        ]
        assert (await store.stored([denied.id]))[0].decisions == ()

    async def test_what_nobody_altered_verifies(self, store: Engine, tmp_path: Path) -> None:
        await Lives(store, tmp_path).live()
        found = await checked(store)
        assert found.findings == ()
        assert found.unsealed == 2
        assert found.newest is not None
        assert (found.seals, found.newest.number) == (3, 3)
        page = await store.page(ListFilter(limit=200))
        assert {one.status for one in page.approvals} == set(Status)
        released = [one.state for one in page.approvals if isinstance(one.state, Released)]
        assert {state.release_status for state in released} == set(ReleaseStatus)
        assert {type(one.state) for one in page.approvals if one.erased} >= {Overdue, Released}

    @pytest.mark.parametrize(("table", "every"), TAMPERED)
    async def test_changing_any_column_of_a_row_is_found_and_the_row_is_named(
        self, store: Engine, execute: Execute, tmp_path: Path, table: str, every: int
    ) -> None:
        await Lives(store, tmp_path).live()
        missed = await changes_not_found(store, execute, table, every)
        assert not missed, "\n".join(missed)

    @pytest.mark.parametrize("table", TABLES)
    async def test_a_row_that_is_gone_is_missed_by_name(
        self, store: Engine, execute: Execute, tmp_path: Path, table: str
    ) -> None:
        await Lives(store, tmp_path).live()
        for row in (await execute(f"select * from {table}", {}))[::3]:
            if row.get("seal", "none") is None:
                continue  # younger than the last seal: see what only the log can tell
            place = Place(table, {name: row[name] for name in key_names(table)}, "")
            values = {f"key_{name}": value for name, value in place.key.items()}
            await execute(f"delete from {table} where {place.where}", values)
            assert misses(await checked(store), table, row), place
            await insert(execute, table, row)
        assert (await checked(store)).findings == ()

    @pytest.mark.parametrize("table", TABLES)
    async def test_a_copy_of_a_row_is_found_and_named(
        self, store: Engine, execute: Execute, tmp_path: Path, table: str
    ) -> None:
        await Lives(store, tmp_path).live()
        rows = await execute(f"select * from {table}", {})
        for row in rows[::3]:
            copy = row | {name: 99 for name in ("seq", "number") if name in row}
            copy |= {"id": f"{row['id']}x"} if "id" in row else {}
            if row.get("open_identity") is not None:
                continue  # one open approval of a call: the database itself refuses another
            await insert(execute, table, copy)
            place = Place(table, {name: copy[name] for name in key_names(table)}, "")
            found = await checked(store)
            assert (table, place.names()) in {(one.table, one.row) for one in found.findings}
            values = {f"key_{name}": value for name, value in place.key.items()}
            await execute(f"delete from {table} where {place.where}", values)
        assert (await checked(store)).findings == ()

    async def test_two_events_that_changed_places_are_both_named(
        self, store: Engine, execute: Execute, tmp_path: Path
    ) -> None:
        await Lives(store, tmp_path).live()
        [one, two] = await execute(
            "select id, stream, seq from events where stream = 'prc_lives' and seq in (2, 3)"
            " order by seq",
            {},
        )
        for event, seq in ((one, -1), (two, 2), (one, 3)):
            sql = "update events set seq = :seq where id = :id"
            await execute(sql, {"id": event["id"], "seq": seq})
        told = {(one.row, one.stream, one.seq) for one in (await checked(store)).findings}
        assert told >= {(two["id"], "prc_lives", 2), (one["id"], "prc_lives", 3)}

    async def test_the_first_finding_is_the_oldest_row(
        self, store: Engine, execute: Execute, tmp_path: Path
    ) -> None:
        await Lives(store, tmp_path).live()
        await execute("update events set actor = 'person:mallory'", {})
        found = await checked(store)
        oldest = await store.timeline(EventFilter(limit=1))
        assert found.findings[0].row == oldest[0].id
        assert found.found >= found.events

    async def test_a_stream_written_anew_with_all_its_hashes_is_found_by_its_seal(
        self, store: Engine, execute: Execute, tmp_path: Path
    ) -> None:
        """What whoever can write to the database, and has no key, does best."""
        await Lives(store, tmp_path).live()
        [row] = await execute("select id from approvals where status = 'denied' limit 1", {})
        [found] = await store.stored([row["id"]])
        assert found.approval is not None
        asked = replace(found.approval, rule="/tools/other", head=Head())
        events = await store.events(asked.id)
        for event in events:
            protected = protected_hash(asked) if event is events[-1] else event.protected
            made = link(asked.head, asked.id, event.fact, protected=protected)
            await execute(
                "update events set previous = :previous, hash = :hash, protected = :protected"
                " where id = :id",
                {
                    "previous": made.previous,
                    "hash": made.hash,
                    "protected": made.protected,
                    "id": event.fact.id,
                },
            )
            asked = replace(asked, head=made.head)
        await execute(
            "update approvals set rule = :rule, head_hash = :hash where id = :id",
            {"rule": asked.rule, "hash": asked.head.hash, "id": asked.id},
        )
        told = {(finding.table, finding.row) for finding in (await checked(store)).findings}
        seals = await execute(
            "select distinct seal from events where stream = :id", {"id": asked.id}
        )
        assert told == {("seals", str(one["seal"])) for one in seals}

    async def test_a_seal_that_is_gone_is_named_by_its_events_and_by_the_next(
        self, store: Engine, execute: Execute, tmp_path: Path
    ) -> None:
        await Lives(store, tmp_path).live()
        [last] = await execute("select * from seals where number = 3", {})
        await execute("delete from seals where number = 3", {})
        found = await checked(store)
        assert {finding.table for finding in found.findings} == {"events"}
        assert found.findings[0].what == "names seal 3, which is missing"
        await insert(execute, "seals", last)
        await execute("delete from seals where number = 2", {})
        told = {(finding.table, finding.row) for finding in (await checked(store)).findings}
        assert ("seals", "3") in told

    async def test_the_last_seal_taken_away_with_its_events_leaves_approvals_that_miss_them(
        self, store: Engine, execute: Execute, tmp_path: Path
    ) -> None:
        await Lives(store, tmp_path).live()
        await execute("delete from events where seal = 3", {})
        await execute("delete from seals where number = 3", {})
        found = await checked(store)
        assert found.findings
        assert {finding.table for finding in found.findings} <= {"approvals", "decisions", "events"}

    async def test_what_only_the_log_can_tell(
        self, store: Engine, execute: Execute, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The newest seals made undone, and the newest events of a process taken away."""
        caplog.set_level(logging.INFO, "approvals.service.audit")
        lives = Lives(store, tmp_path)
        await lives.live()
        logged = [
            record.getMessage() for record in caplog.records if "sealed" in record.getMessage()
        ]
        newest = (await checked(store)).newest
        assert newest is not None
        assert logged[-1].endswith(f"as number {newest.number} under root {newest.root}")
        await execute("update events set seal = null where seal = 3", {})
        await execute("delete from seals where number = 3", {})
        await execute(
            "delete from events where stream = 'prc_lives' and seq ="
            " (select max(seq) from events where stream = 'prc_lives')",
            {},
        )
        found = await checked(store)
        assert found.findings == ()
        assert found.newest is not None
        assert found.newest.number == newest.number - 1
        await lives.audit.seal_due()
        again = (await checked(store)).newest
        assert again is not None
        assert again.number == newest.number
        assert again.root != newest.root

    async def test_an_event_that_lost_its_seal_is_named_unless_it_is_young(
        self, store: Engine, execute: Execute, tmp_path: Path
    ) -> None:
        await Lives(store, tmp_path).live()
        await execute("update events set seal = null where seal = 1", {})
        told = {(finding.table, finding.row) for finding in (await checked(store)).findings}
        old = await store.unsealed(before=now() - timedelta(hours=1), limit=99)
        assert told == {("seals", "1")} | {("events", event.id) for event in old}

    async def test_a_text_of_the_same_meaning_is_another_text(
        self, store: Engine, execute: Execute, tmp_path: Path
    ) -> None:
        """White space in JSON changes no value: the row is not what was written all the same."""
        await Lives(store, tmp_path).live()
        for table, column in SPACED:
            [row, *_] = [
                row
                for row in await execute(f"select * from {table}", {})
                if str(row[column]).startswith(("{", "["))
            ]
            place = Place(table, {name: row[name] for name in key_names(table)}, column)
            await place.set(execute, f" {row[column]}")
            told = {(finding.table, finding.row) for finding in (await checked(store)).findings}
            assert (table, place.names()) in told, place
            await place.set(execute, row[column])

    async def test_a_result_is_what_the_tool_answered_or_missing(
        self, store: Engine, execute: Execute, tmp_path: Path
    ) -> None:
        await Lives(store, tmp_path).live()
        for row in await execute("select * from results", {}):
            named = {"id": row["approval_id"]}
            for text in ("{}", row["text"] + " ", row["text"].swapcase()):
                sql = "update results set text = :text where approval_id = :id"
                await execute(sql, {"text": text, **named})
                [found] = (await checked(store)).findings
                assert (found.table, found.row) == ("results", row["approval_id"])
            await execute("delete from results where approval_id = :id", named)
            [found] = (await checked(store)).findings
            assert (found.table, found.row, found.what) == ("results", named["id"], "is missing")
            await insert(execute, "results", row)

    async def test_without_the_key_that_made_them_seals_and_hidden_values_are_no_proof(
        self, store: Engine, tmp_path: Path
    ) -> None:
        await Lives(store, tmp_path).live()
        other = await verified(store, Keyring([b"o" * 32]))
        assert {finding.table for finding in other.findings} == {"seals", "approvals"}
        assert all("not here" in finding.what for finding in other.findings)
        both = await verified(store, Keyring([b"o" * 32, b"n" * 32, b"k" * 32]))
        assert both.findings == ()

    async def test_after_a_restore_nothing_that_was_open_goes_on(
        self, store: Engine, tmp_path: Path
    ) -> None:
        lives = Lives(store, tmp_path)
        await lives.live()
        await store.sessions.add_link("l", person="bob", lasts=timedelta(hours=1))
        await store.sessions.sign_in("l", session="s", lasts=timedelta(hours=1))
        restore = Restore(
            store=store,
            sessions=store.sessions,
            clock=lives.clock,
            ids=IDS,
            stream="prc_restore",
        )
        with pytest.raises(Unavailable, match="Stop every one"):
            await restore.end_all(user="root")
        await lives.liveness.leave()
        before = (await store.page(ListFilter(limit=200))).approvals
        ended = await restore.end_all(user="root")
        assert await store.sessions.session("s") is None
        was_open = [one for one in before if one.status in {Status.PENDING, Status.APPROVED}]
        was_sent = [one for one in before if one.is_open and one not in was_open]
        assert {one.call.executor for one in was_sent} == set(Executor)
        assert (ended.cancelled, ended.outcome_unknown) == (len(was_open), len(was_sent))
        for one in was_open:
            stored = await store.approval(one.id)
            assert stored is not None
            assert isinstance(stored.state, Withdrawn)
            assert stored.state.reason is CancelReason.RESTORED
        for one in was_sent:
            stored = await store.approval(one.id)
            assert stored is not None
            assert isinstance(stored.state, Released)
            assert stored.state.release_status is ReleaseStatus.OUTCOME_UNKNOWN
        untouched = [one for one in before if one not in was_open and one not in was_sent]
        assert [await store.approval(one.id) for one in untouched] == untouched
        assert (await checked(store)).findings == ()
        again = await restore.end_all(user="root")
        assert (again.cancelled, again.outcome_unknown) == (0, 0)
        [first, second] = await store.events("prc_restore")
        assert first.fact.detail == {
            "cancelled": len(was_open),
            "outcome_unknown": len(was_sent),
            "user": "root",
        }
        assert second.fact.type == "restored"

    async def test_verifying_is_not_disturbed_by_what_is_written_meanwhile(
        self, store: Engine, tmp_path: Path
    ) -> None:
        lives = Lives(store, tmp_path)
        await lives.live()
        going_on = asyncio.ensure_future(writing(lives))
        runs = 0
        while not going_on.done() or runs < 3:
            findings = (await checked(store)).findings
            assert not findings, findings
            runs += 1
        await going_on
        assert (await checked(store)).findings == ()


async def changes_not_found(
    store: Engine, execute: Execute, table: str, every: int = 1
) -> list[str]:
    """Change one column of one row after the other, and back: those that nobody would notice.

    Each column of each `every`th row becomes what it is in another row or, where that is the same
    everywhere, something else of its kind.
    """
    missed, rows = [], await execute(f"select * from {table}", {})
    for index, column in enumerate(columns(table)):
        for row in rows[index % every :: every]:
            place = Place(table, {name: row[name] for name in key_names(table)}, column.name)
            changed, value = await change(execute, place, row, rows)
            found = await checked(store)
            if not is_named(found, {place.names(), changed.names()}, place, (row, value)):
                missed.append(f"{place} became {value!r}: {found.findings}")
            await changed.set(execute, row[column.name])
    assert (await checked(store)).findings == ()
    return missed


async def insert(execute: Execute, table: str, row: Row) -> None:
    places = ", ".join(f":{name}" for name in row)
    await execute(f"insert into {table} ({', '.join(row)}) values ({places})", row)


def misses(found: Verified, table: str, row: Row) -> bool:
    """Whether a finding says what is gone: by its own name, for an event by its stream or its seal,
    for a seal by what names it."""
    told = {(finding.table, finding.row) for finding in found.findings}
    match table:
        case "events":
            streams = {finding.stream for finding in found.findings}
            return row["stream"] in streams or ("seals", str(row["seal"])) in told
        case "seals":
            what = f"names seal {row['number']}, which is missing"
            return what in {finding.what for finding in found.findings}
        case "decisions":
            return ("decisions", f"{row['approval_id']} {row['seq']}") in told
    return (table, row["id"]) in told


async def writing(lives: Lives) -> None:
    """Calls come, are decided, run, and are erased; now and then everything is sealed."""
    for n in range(40):
        await lives.said(await lives.asked(f"meanwhile {n}"), Answer.DENY)
        await lives.sent(f"running {n}", RAN)
        await lives.allowed()
        if n % 5 == 0:
            await lives.audit.seal_due()
            with lives.ago(-KEEP):
                await lives.retention.erase_due()


async def change(
    execute: Execute, place: Place, row: Row, rows: Sequence[Row]
) -> tuple[Place, object]:
    """Change it to the first value that the database takes."""
    for value in others(row[place.column], [other[place.column] for other in rows]):
        try:
            return await place.set(execute, value), value
        except sa.exc.IntegrityError:
            continue
    raise AssertionError(f"nothing else can stand at {place}")


def others(value: Any, elsewhere: Sequence[Any]) -> list[Any]:
    """Other values that a column may have: those of other rows first."""
    seen = {other for other in elsewhere if other != value and other is not None}
    found = sorted(seen, key=lambda other: hashlib.sha256(str(other).encode()).digest())
    match value:
        case None:
            return [*found, "x", 1, now()]
        case bool():
            return [*found, not value]
        case int():
            return [*found, value + 1, max([value, *seen]) + 1]
        case datetime():
            return [*found, value + timedelta(microseconds=1)]
    return [*found, f"{value}x"]


def is_named(found: Verified, names: set[str], place: Place, changed: tuple[Row, object]) -> bool:
    """Whether a finding names the row, or for an event's seal the seals that it is taken from and
    put under: which of a seal's events was changed, its root cannot tell."""
    row, value = changed
    told = {(finding.table, finding.row) for finding in found.findings}
    if (place.table, place.column) == ("events", "seal"):
        names_seals = {("seals", str(n)) for n in (row["seal"], value) if n is not None}
        return bool(told & (names_seals | {("events", name) for name in names}))
    return bool(told & {(place.table, name) for name in names})


SECOND = timedelta(seconds=1)
