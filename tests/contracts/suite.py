"""The contract of the Store and KeyStore ports. Every engine runs this class unchanged.

An engine's test module subclasses `StoreContract` and gives a `store` fixture.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from approvals.domain import approval as machine
from approvals.domain.chain import Fact, Head, link
from approvals.domain.protected import protected_hash
from approvals.domain.states import (
    Answer,
    Approval,
    Approved,
    CancelReason,
    Outcome,
    Parking,
    Pending,
    Released,
    ReleaseStatus,
    Status,
    Transition,
)
from approvals.errors import Unavailable
from approvals.ports import (
    Applied,
    Backlog,
    Conflict,
    Duplicate,
    KeyRecord,
    ListFilter,
    Page,
    Record,
    TooLate,
    Urgency,
)
from approvals.service.minting import RandomIds
from tests.domain.builders import approval, call, decision

if TYPE_CHECKING:
    from approvals.domain.strictjson import Json
    from approvals.ports import AuditStore, KeyStore, Operation, SessionStore, Store
    from approvals.ports.telling import Outbox

    class Engine(Store, KeyStore, AuditStore):
        """All ports of one database."""

        sessions: SessionStore
        outbox: Outbox


IDS = RandomIds()
SOON = timedelta(seconds=5)


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 (the test stands where the database stands)


def parking(
    identity: str | None = None,
    *,
    lasts: timedelta = timedelta(minutes=15),
    max_pending: int = 100_000,
    **changes: object,
) -> Parking:
    created = now()
    changes = {"created_at": created, **changes}
    asked = approval(
        id=IDS.approval(),
        identity=identity or f"k:{IDS.token()}",
        expires_at=created + lasts,
        **changes,  # type: ignore[arg-type]
    )
    return machine.park(replace(asked, head=Head()), event_id=IDS.event(), max_pending=max_pending)


def approving(asked: Approval, person: str = "bob") -> Transition:
    at = now()
    step = machine.decide(asked, decision(person, of=asked, at=at), now=at, event_id=IDS.event())
    assert step is not None
    return step


def denying(asked: Approval, person: str = "carol") -> Transition:
    at = now()
    said = decision(person, Answer.DENY, of=asked, at=at, reason="no")
    step = machine.decide(asked, said, now=at, event_id=IDS.event())
    assert step is not None
    return step


def sending(approved: Approval) -> Transition:
    return machine.send(
        approved, token=IDS.token(), process="prc_1", now=now(), event_id=IDS.event()
    )


def finishing(sent: Approval, *, delivered: bool = True, result: str = "{}") -> Transition:
    assert isinstance(sent.state, Released)
    return machine.finish(
        sent,
        Outcome(
            status=ReleaseStatus.SUCCEEDED,
            detail="done",
            at=now(),
            delivered=delivered,
            result_hash="sha256:x",
            result_size=2,
        ),
        token=sent.state.token,
        event_id=IDS.event(),
        result=result,
    )


async def do(store: Store, operation: Operation) -> object:
    return await store.apply(operation, within=SOON)


async def parked(store: Store, **changes: object) -> Approval:
    made = parking(**changes)  # type: ignore[arg-type]
    assert await do(store, made) == Applied()
    return made.approval


async def applied(store: Store, step: Transition) -> Approval:
    assert await do(store, step) == Applied()
    return step.after


async def is_whole(store: Store, asked: Approval) -> bool:
    """The stored row is exactly this value, and its events are its chain without a gap."""
    stored = await store.approval(asked.id)
    events = await store.events(asked.id)
    head = Head()
    for event in events:
        if event != link(head, asked.id, event.fact, protected=event.protected):
            return False
        head = event.head
    return (
        stored == asked
        and head == asked.head
        and events[-1].protected == protected_hash(asked)
        and len(events) == asked.version
    )


class StoreContract:
    """What every engine keeps."""

    pytestmark = pytest.mark.anyio

    async def test_what_is_parked_is_read_back_exactly(self, store: Engine) -> None:
        odd: dict[str, Json] = {"a": "\0\u202e é", "n": 10**40, "deep": {"list": [1, None, True]}}
        asked = await parked(
            store,
            call=call(odd, justification="because\0", session="s"),
            message="\0Ask \U0010ffff0\\u0000.",
        )
        assert await store.approval(asked.id) == asked
        assert await is_whole(store, asked)

    async def test_a_whole_life_is_kept_with_every_event(self, store: Engine) -> None:
        asked = await parked(store)
        approved = await applied(store, approving(asked))
        sent = await applied(store, sending(approved))
        done = await applied(store, finishing(sent, result='{"result":{"a":1.50}}'))
        assert await is_whole(store, done)
        assert await store.result(done.id) == '{"result":{"a":1.50}}'
        types = [event.fact.type for event in await store.events(done.id)]
        assert types == ["parked", "approved", "sent", "succeeded"]

    async def test_the_same_operation_again_is_applied_and_changes_nothing(
        self, store: Engine
    ) -> None:
        made = parking()
        step = approving(made.approval)
        for operation in (made, made, step, step, made, step):
            assert await do(store, operation) == Applied()
        assert await is_whole(store, step.after)

    async def test_parking_again_what_has_ended_changes_nothing(self, store: Engine) -> None:
        made = parking()
        assert await do(store, made) == Applied()
        ended = await applied(store, denying(made.approval))
        assert await do(store, made) == Applied()
        assert await is_whole(store, ended)

    async def test_an_id_that_cannot_be_one_names_nothing(self, store: Engine) -> None:
        asked = await parked(store)
        odd = ["\0", "\ud800", "apr_\0", "\U0010ffff"]
        found = await asyncio.gather(*(store.approval(id_) for id_ in [*odd, asked.id]))
        assert found == [None, None, None, None, asked]

    async def test_a_transition_from_an_old_version_conflicts(self, store: Engine) -> None:
        asked = await parked(store)
        won = await applied(store, approving(asked))
        assert await do(store, denying(asked)) == Conflict()
        assert await is_whole(store, won)

    async def test_two_decisions_in_one_flush_have_one_winner_and_one_event(
        self, store: Engine
    ) -> None:
        asked = await parked(store)
        steps = [approving(asked), denying(asked)]
        answers = await asyncio.gather(*(do(store, step) for step in steps))
        assert sorted(map(str, answers)) == sorted(map(str, [Applied(), Conflict()]))
        winner = steps[answers.index(Applied())]
        assert await is_whole(store, winner.after)

    async def test_a_chain_of_steps_submitted_at_once_is_applied_in_order(
        self, store: Engine
    ) -> None:
        made = parking()
        approved = approving(made.approval)
        sent = sending(approved.after)
        answers = await asyncio.gather(
            *(do(store, op) for op in (made, approved, sent, finishing(sent.after)))
        )
        assert answers == [Applied()] * 4

    async def test_flushes_in_opposite_order_all_end(self, store: Engine) -> None:
        asked = [await parked(store) for _ in range(20)]
        up = [do(store, approving(one, "bob")) for one in asked]
        down = [do(store, denying(one, "carol")) for one in reversed(asked)]
        answers = await asyncio.wait_for(asyncio.gather(*up, *down), timeout=20)
        assert answers.count(Applied()) == 20
        assert answers.count(Conflict()) == 20

    async def test_an_open_approval_of_the_same_call_stands_in_the_way_of_a_second(
        self, store: Engine
    ) -> None:
        first, second = parking("k:same"), parking("k:same")
        answers = list(await asyncio.gather(do(store, first), do(store, second)))
        assert answers == [Applied(), Duplicate(existing_id=first.approval.id)]
        assert await store.approval(second.approval.id) is None
        assert await store.events(second.approval.id) == []

    async def test_once_it_has_ended_the_same_call_may_be_parked_again(self, store: Engine) -> None:
        asked = await parked(store, identity="k:again")
        await applied(store, denying(asked))
        again = await parked(store, identity="k:again")
        newest = await store.latest(["k:none", "k:again"])
        assert newest == again

    async def test_a_decision_after_the_deadline_is_too_late_by_the_stores_clock(
        self, store: Engine
    ) -> None:
        asked = await parked(store, lasts=timedelta(milliseconds=1))
        early = asked.created_at
        said = decision(of=asked, at=early)
        step = machine.decide(asked, said, now=early, event_id=IDS.event())
        assert step is not None
        await asyncio.sleep(0.01)
        answer = await do(store, step)
        assert isinstance(answer, TooLate)
        assert answer.now >= asked.expires_at
        assert await is_whole(store, asked)

    async def test_an_expiry_before_the_deadline_is_refused(self, store: Engine) -> None:
        asked = await parked(store)
        step = machine.expire(asked, now=asked.expires_at, event_id=IDS.event())
        assert isinstance(await do(store, step), TooLate)
        assert await is_whole(store, asked)

    async def test_poison_in_the_middle_harms_only_its_caller(self, store: Engine) -> None:
        before, after = parking(), parking()
        poison = parking()
        poison = replace(poison, event=before.event)  # its event is already somebody else's
        answers = await asyncio.gather(
            *(do(store, one) for one in (before, poison, after)), return_exceptions=True
        )
        assert answers[0] == answers[2] == Applied()
        assert isinstance(answers[1], Unavailable)
        assert await store.approval(poison.approval.id) is None
        assert await is_whole(store, before.approval)
        assert await is_whole(store, after.approval)

    async def test_text_that_no_database_can_hold_harms_only_its_caller(
        self, store: Engine
    ) -> None:
        before, after = parking(), parking()
        half = parking()
        half = replace(half, approval=replace(half.approval, message="half a surrogate: \ud83d"))
        answers = await asyncio.gather(
            *(do(store, one) for one in (before, half, after)), return_exceptions=True
        )
        assert answers[0] == answers[2] == Applied()
        assert isinstance(answers[1], Unavailable)
        assert await store.approval(half.approval.id) is None
        assert await is_whole(store, after.approval)

    async def test_cancelling_the_caller_abandons_the_wait_not_the_operation(
        self, store: Engine
    ) -> None:
        made = parking()
        waiting = asyncio.ensure_future(do(store, made))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await do(store, Record(stream="prc", fact=fact())) == Applied()
        assert await is_whole(store, made.approval)

    async def test_records_of_one_process_form_one_chain(self, store: Engine) -> None:
        facts = [fact() for _ in range(300)]
        await asyncio.gather(*(do(store, Record(stream="prc_x", fact=f)) for f in facts))
        events = await store.events("prc_x")
        assert [event.seq for event in events] == list(range(1, 301))
        head = Head()
        for event in events:
            assert event == link(head, "prc_x", event.fact)
            head = event.head

    async def test_overdue_finds_what_is_past_its_deadline_and_nothing_else(
        self, store: Engine
    ) -> None:
        soon = await parked(store, lasts=timedelta(milliseconds=1))
        await parked(store)
        approved = await applied(store, approving(await parked(store)))
        assert isinstance(approved.state, Approved)
        found = await store.overdue(now=approved.state.use_by - SOON, limit=10)
        assert [one.id for one in found] == [soon.id]
        found = await store.overdue(now=approved.state.use_by, limit=10)
        assert {one.id for one in found} == {soon.id, approved.id}

    async def test_what_is_approved_and_detached_is_found_from_the_moment_it_may_be_sent(
        self, store: Engine
    ) -> None:
        await applied(store, approving(await parked(store)))  # a request has to wait for it
        made = await parked(store)
        await applied(store, machine.detach(made, now=now(), event_id=IDS.event()))
        pending = await store.approval(made.id)
        assert pending is not None
        assert pending.detached
        assert await store.detached(now=now(), limit=10) == []
        ready = await applied(store, approving(pending))
        assert isinstance(ready.state, Approved)
        assert await store.detached(now=ready.state.use_from - SOON, limit=10) == []
        [found] = await store.detached(now=ready.state.use_from, limit=10)
        assert found == ready

    async def test_the_backlog_is_what_is_pending_and_when_the_first_of_it_was_parked(
        self, store: Engine
    ) -> None:
        assert await store.backlog() == Backlog(pending=0, oldest=None)
        first = await parked(store)
        second = await parked(store, lasts=timedelta(milliseconds=1))
        assert await store.backlog() == Backlog(pending=2, oldest=first.created_at)
        approved = await applied(store, approving(first))
        assert await store.backlog() == Backlog(pending=1, oldest=second.created_at)
        await applied(store, sending(approved))
        await asyncio.sleep(0.01)
        assert (await store.backlog()).pending == 1
        step = machine.expire(second, now=second.expires_at, event_id=IDS.event())
        await applied(store, step)
        assert await store.backlog() == Backlog(pending=0, oldest=None)

    async def test_what_a_process_that_lives_is_sending_is_no_orphan(self, store: Engine) -> None:
        sent = await applied(store, sending(await applied(store, approving(await parked(store)))))
        other = await applied(store, sending(await applied(store, approving(await parked(store)))))
        await applied(store, finishing(other))
        assert await store.being_sent(limit=10) == [sent]
        assert await store.orphans(now=now(), limit=10) == [sent]
        await store.renew("prc_2", config_hash="h", lasts=SOON)
        assert await store.orphans(now=now(), limit=10) == [sent]
        await store.renew("prc_1", config_hash="h", lasts=SOON)
        assert await store.orphans(now=now(), limit=10) == []
        assert await store.orphans(now=now() + SOON, limit=10) == [sent]
        await store.leave("prc_1")
        assert await store.orphans(now=now(), limit=10) == [sent]

    async def test_processes_are_listed_while_they_live(self, store: Engine) -> None:
        assert await store.processes(now=now()) == []
        await store.renew("prc_b", config_hash="old", lasts=SOON)
        await store.renew("prc_a", config_hash="new", lasts=timedelta(0))
        await store.renew("prc_b", config_hash="new", lasts=SOON)
        [alive] = await store.processes(now=now())
        assert (alive.id, alive.config_hash) == ("prc_b", "new")
        assert await store.processes(now=now() + 2 * SOON) == []

    async def test_who_renews_learns_how_often_a_reload_was_asked_for(self, store: Engine) -> None:
        assert await store.renew("prc_1", config_hash="h", lasts=SOON) == 0
        assert await store.ask_reload() == 1
        assert await store.ask_reload() == 2
        assert await store.renew("prc_1", config_hash="h", lasts=SOON) == 2

    async def test_last_run_knows_what_reached_the_server(self, store: Engine) -> None:
        began = now()
        asked = await parked(store, identity="k:run")
        sent = await applied(store, sending(await applied(store, approving(asked))))
        assert await store.last_run(["k:run"], since=began) is None
        done = await applied(store, finishing(sent))
        assert await store.last_run(["k:run"], since=began) == done
        assert await store.last_run(["k:run"], since=now()) is None

    async def test_pages_are_stable_filtered_and_complete(self, store: Engine) -> None:
        made = [await parked(store) for _ in range(7)]
        await applied(store, denying(made[0]))
        seen: list[str] = []
        after = None
        more = True
        while more:
            page = await store.page(ListFilter(limit=3, after=after))
            seen += [one.id for one in page.approvals]
            after = (page.approvals[-1].created_at, page.approvals[-1].id)
            more = page.more
        assert seen == [one.id for one in reversed(made)]
        denied = await store.page(ListFilter(statuses=frozenset({Status.DENIED})))
        assert [one.id for one in denied.approvals] == [made[0].id]
        assert await store.page(ListFilter(agent="nobody")) == Page(approvals=[], more=False)
        named = ListFilter(server="exchange", tool=made[0].call.tool, limit=7)
        assert len((await store.page(named)).approvals) == 7
        assert not (await store.page(named)).more

    async def test_a_page_holds_no_more_than_its_bytes_but_always_one(self, store: Engine) -> None:
        large = [await parked(store, call=call({"x": "y" * 10_000})) for _ in range(3)]
        page = await store.page(ListFilter(max_bytes=25_000))
        assert [one.id for one in page.approvals] == [large[2].id, large[1].id]
        assert page.more
        assert len((await store.page(ListFilter(max_bytes=1))).approvals) == 1

    async def test_an_open_approval_is_the_latest_whatever_the_clock_said(
        self, store: Engine
    ) -> None:
        ended = await parked(store, identity="k:clock")
        await applied(store, denying(ended))
        earlier = ended.created_at - timedelta(hours=1)
        open_ = await parked(store, identity="k:clock", created_at=earlier)
        assert await store.latest(["k:clock"]) == open_

    async def test_versions_of_many(self, store: Engine) -> None:
        one, two = await parked(store), await parked(store)
        await applied(store, approving(two))
        assert await store.versions([one.id, two.id, "apr_none"]) == {one.id: 1, two.id: 2}

    async def test_keys_are_found_by_hash_and_revoked_once(self, store: Engine) -> None:
        record = KeyRecord(
            id="key_1", sha256="h", person="bob", agent=None, label="", created_at=now()
        )
        await store.add_key(record)
        assert await store.key("h") == record
        assert await store.key("other") is None
        assert await store.key_by_id("key_1") == record
        assert await store.key_by_id("key_2") is None
        await store.add_key(record)  # submitted again after a lost answer: nothing changes
        at = now()
        assert await store.revoke_key("key_1", at=at)
        assert not await store.revoke_key("key_1", at=at)
        assert not await store.revoke_key("key_2", at=at)
        assert await store.keys() == [replace(record, revoked_at=at)]

    async def test_the_starting_person_is_kept(self, store: Engine) -> None:
        assert await store.starting_person() is None
        await store.set_starting_person("sam", at=now())
        assert await store.starting_person() == "sam"

    async def test_many_writers_lose_nothing(self, store: Engine) -> None:
        made = [parking() for _ in range(1000)]
        answers = await asyncio.gather(*(do(store, one) for one in made))
        assert answers == [Applied()] * 1000
        steps = [
            approving(one.approval) if i % 2 else denying(one.approval)
            for i, one in enumerate(made)
        ]
        assert await asyncio.gather(*(do(store, step) for step in steps)) == [Applied()] * 1000
        for step in steps[::100]:
            assert await is_whole(store, step.after)

    async def test_background_work_is_done_too(self, store: Engine) -> None:
        made = parking()
        assert await store.apply(made, within=SOON, urgency=Urgency.JOBS) == Applied()
        withdrawn = machine.cancel(
            made.approval, CancelReason.CANCELLED, actor="x", now=now(), event_id=IDS.event()
        )
        assert await store.apply(withdrawn, within=SOON, urgency=Urgency.JOBS) == Applied()
        assert isinstance(made.approval.state, Pending)
        assert await is_whole(store, withdrawn.after)

    async def test_versions_of_more_than_a_statement_has_parameters_for(
        self, store: Engine
    ) -> None:
        step = approving(await parked(store))
        await do(store, step)
        asked = [f"apr_{n}" for n in range(70_000)]
        assert await store.versions([*asked, step.after.id]) == {step.after.id: 2}

    async def test_ping_answers(self, store: Engine) -> None:
        await store.ping()


def fact() -> Fact:
    return Fact(id=IDS.event(), type="call_allow", actor="agent:x", at=now(), detail={"n": 1})
