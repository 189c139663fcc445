"""The contract of the Store port for counters, freezes, caps and what is due; see `suite`."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from approvals.domain import approval as machine
from approvals.domain.approval import REPORT_WITHIN
from approvals.domain.call import Executor
from approvals.domain.chain import Fact
from approvals.domain.freeze import Freeze
from approvals.domain.limits import Charge
from approvals.domain.quorum import Gone, Requirement, Stage
from approvals.domain.states import Approval, Outcome, Released, ReleaseStatus, Transition
from approvals.ports import (
    Answer,
    Applied,
    Conflict,
    Freezing,
    Frozen,
    Full,
    GiveBack,
    Record,
    Reserve,
    Thawing,
    TooLate,
    TooMany,
)
from tests.contracts.suite import (
    IDS,
    applied,
    approving,
    do,
    is_whole,
    now,
    parked,
    parking,
    sending,
)
from tests.domain.builders import call

if TYPE_CHECKING:
    from tests.contracts.suite import Engine

HUGE = 10**300


def charge(
    key: str = "k", *, amount: int = 1, max_: int = 10, start: datetime | None = None
) -> Charge:
    start = start or now() - timedelta(seconds=1)
    end = start + timedelta(minutes=1)
    return Charge(pointer="/p", key=key, amount=amount, max_=max_, start=start, end=end)


def fact(kind: str = "call_allow") -> Fact:
    return Fact(id=IDS.event(), type=kind, actor="agent:bot", at=now(), detail={})


def freeze(**scope: str) -> Freezing:
    made = Freeze(id=IDS.freeze(), reason="stop", by="carol", at=now(), **scope)
    return Freezing(freeze=made, stream="prc_1", fact=fact("frozen"))


def run(*reserves: Charge, server: str = "exchange", agent: str = "trader-bot") -> Record:
    return Record(stream="prc_1", fact=fact(), reserves=reserves, runs=(server, agent))


class CounterContract:
    """What every engine keeps of counters, freezes and caps."""

    pytestmark = pytest.mark.anyio

    async def test_of_50_reservations_in_one_flush_exactly_10_fit(self, store: Engine) -> None:
        one = charge()
        answers = await asyncio.gather(
            *(do(store, Reserve(holder=f"h{n}", charges=(one,))) for n in range(50))
        )
        assert Counter(type(answer) for answer in answers) == {Applied: 10, Full: 40}
        assert await store.full([one]) == one

    async def test_the_same_holder_in_the_same_window_has_one_reservation(
        self, store: Engine
    ) -> None:
        one = charge(max_=2)
        for _ in range(5):
            assert await do(store, Reserve(holder="h", charges=(one,))) == Applied()
        assert await do(store, Reserve(holder="other", charges=(one,))) == Applied()
        assert await do(store, Reserve(holder="third", charges=(one,))) == Full(charge=one)
        assert await store.full([one], holder="h") is None

    async def test_the_next_window_is_empty_and_the_same_holder_takes_room_anew(
        self, store: Engine
    ) -> None:
        old = charge(max_=1, start=now() - timedelta(seconds=30))
        new = replace(old, start=now() - timedelta(seconds=1))
        assert await do(store, Reserve(holder="h", charges=(old,))) == Applied()
        assert await do(store, Reserve(holder="h", charges=(new,))) == Applied()
        assert await do(store, Reserve(holder="x", charges=(new,))) == Full(charge=new)

    async def test_a_window_that_is_over_or_has_not_begun_takes_nothing(
        self, store: Engine
    ) -> None:
        for start in (now() - timedelta(hours=1), now() + timedelta(hours=1)):
            answer = await do(store, Reserve(holder="h", charges=(charge(start=start),)))
            assert isinstance(answer, TooLate)
        assert await store.full([charge(max_=1)]) is None

    async def test_room_is_taken_on_all_counters_or_on_none(self, store: Engine) -> None:
        free, tight = charge("free", max_=1), charge("tight", max_=0)
        both = Reserve(holder="h", charges=(free, tight))
        assert await do(store, both) == Full(charge=tight)
        assert await do(store, Reserve(holder="x", charges=(free,))) == Applied()

    async def test_sums_are_exact_however_large(self, store: Engine) -> None:
        one = charge(amount=HUGE, max_=2 * HUGE + 1)
        for holder in ("a", "b"):
            assert await do(store, Reserve(holder=holder, charges=(one,))) == Applied()
        tiny = replace(one, amount=1)
        assert await do(store, Reserve(holder="c", charges=(tiny,))) == Applied()
        assert await do(store, Reserve(holder="d", charges=(tiny,))) == Full(charge=tiny)

    async def test_a_counter_of_an_odd_name_counts_as_well(self, store: Engine) -> None:
        one = charge("odd \0 \U0010ffff", max_=3)
        answers = [await do(store, Reserve(holder=f"h{n}", charges=(one,))) for n in range(5)]
        assert answers == [Applied()] * 3 + [Full(charge=one)] * 2
        assert await store.full([one]) == one

    async def test_what_is_given_back_is_free_once(self, store: Engine) -> None:
        one = charge(max_=1)
        assert await do(store, Reserve(holder="h", charges=(one,))) == Applied()
        for _ in range(3):
            assert await do(store, GiveBack(holder="h")) == Applied()
        assert await do(store, Reserve(holder="x", charges=(one,))) == Applied()
        assert await do(store, Reserve(holder="y", charges=(one,))) == Full(charge=one)

    async def test_a_call_is_recorded_with_its_room_or_not_at_all(self, store: Engine) -> None:
        one = charge(max_=1)
        records = [run(one) for _ in range(5)]
        answers = await asyncio.gather(*(do(store, record) for record in records))
        assert Counter(type(answer) for answer in answers) == {Applied: 1, Full: 4}
        assert len(await store.events("prc_1")) == 1
        [applied_record] = [
            r for r, answer in zip(records, answers, strict=True) if answer == Applied()
        ]
        assert await do(store, applied_record) == Applied()
        assert len(await store.events("prc_1")) == 1

    async def test_not_sent_gives_the_room_of_the_approval_back_and_nothing_else_does(
        self, store: Engine
    ) -> None:
        for status, free in (
            (ReleaseStatus.SUCCEEDED, False),
            (ReleaseStatus.FAILED, False),
            (ReleaseStatus.OUTCOME_UNKNOWN, False),
            (ReleaseStatus.NOT_SENT, True),
        ):
            one = charge(str(status), max_=1)
            sent = await sent_with(store, one)
            assert await do(store, ending(sent, status)) == Applied()
            assert (await store.full([one]) is None) is free

    async def test_counters_of_windows_long_past_are_forgotten(self, store: Engine) -> None:
        one = charge(max_=1)
        assert await do(store, Reserve(holder="h", charges=(one,))) == Applied()
        await store.drop_counters(before=now() - timedelta(days=1))
        assert await store.full([one]) == one
        await store.drop_counters(before=now() + timedelta(days=1))
        assert await store.full([one]) is None

    async def test_a_freeze_stops_parking_sending_and_running_in_its_scope_only(
        self, store: Engine
    ) -> None:
        approved = await applied(store, approving(await parked(store)))
        call_ = approved.call
        for scope, stops in (
            ({}, True),
            ({"server": call_.server}, True),
            ({"agent": call_.agent}, True),
            ({"server": call_.server, "agent": call_.agent}, True),
            ({"server": "other"}, False),
            ({"agent": "other"}, False),
            ({"server": call_.server, "agent": "other"}, False),
        ):
            made = freeze(**scope)
            assert await do(store, made) == Applied()
            found = await store.freeze_of(server=call_.server, agent=call_.agent)
            assert (found == made.freeze) is stops
            wanted: Answer = Frozen(reason="stop") if stops else Applied()
            assert await do(store, run(server=call_.server, agent=call_.agent)) == wanted
            assert await do(store, parking()) == wanted
            if stops:
                assert await do(store, sending(approved)) == wanted
            thawing = Thawing(freeze_id=made.freeze.id, stream="prc_1", fact=fact("thawed"))
            assert await do(store, thawing) == Applied()
            assert await do(store, thawing) == Applied()
            late = replace(thawing, fact=fact("thawed"))
            assert await do(store, late) == Conflict()
        assert await store.freezes() == []
        assert await do(store, sending(approved)) == Applied()

    async def test_a_freeze_and_its_event_are_one_write(self, store: Engine) -> None:
        made = freeze(agent="bot")
        assert await do(store, made) == Applied()
        assert await do(store, made) == Applied()
        assert [event.fact.type for event in await store.events("prc_1")] == ["frozen"]
        assert await store.freezes() == [made.freeze]

    async def test_of_20_parked_at_once_no_more_wait_than_may(self, store: Engine) -> None:
        makings = [parking(max_pending=5) for _ in range(20)]
        answers = await asyncio.gather(*(do(store, making) for making in makings))
        assert Counter(type(answer) for answer in answers) == {Applied: 5, TooMany: 15}
        other = parking(max_pending=5, call=call({}, agent="other"))
        assert await do(store, other) == Applied()

    async def test_everything_a_requirement_says_is_read_back(self, store: Engine) -> None:
        requirement = Requirement(
            stages=(Stage(name="a", escalates_to=frozenset({"person:dan"})), Stage(name="b")),
            ordered=True,
            release_delay=timedelta(seconds=7),
            deny_memory=timedelta(0),
            remind_at=(Decimal("0.25"),),
            escalate_after=timedelta(minutes=1),
            escalate_channels=("log",),
            max_timeout=timedelta(hours=2),
            on_requester_gone=Gone.CANCEL,
            detached=True,
            channels=("log",),
            name_approvers=True,
            allow_input=True,
        )
        asked = await parked(store, requirement=requirement, hidden=("/a", "/b~1c"))
        assert await is_whole(store, asked)

    async def test_who_is_to_be_reminded_is_found_and_told_once(self, store: Engine) -> None:
        created = now() - timedelta(minutes=10)
        asked = await parked(store, created_at=created, lasts=timedelta(minutes=5))
        [due] = await store.to_remind(now=now(), limit=10)
        assert due == asked
        reminded = machine.remind(asked, now=now(), event_id=IDS.event())
        after = await applied(store, reminded)
        assert await is_whole(store, after)
        assert [d for d in await store.to_remind(now=now(), limit=10) if d.id == asked.id] == []

    async def test_an_escalated_and_an_extended_approval_are_kept(self, store: Engine) -> None:
        requirement = Requirement(
            stages=(Stage(escalates_to=frozenset({"person:dan"})),),
            escalate_after=timedelta(minutes=1),
        )
        asked = await parked(store, requirement=requirement)
        how = {"actor": "person:bob", "now": now()}
        later = asked.expires_at + timedelta(minutes=5)
        extended = await applied(
            store,
            machine.extend(asked, later, event_id=IDS.event(), **how),  # type: ignore[arg-type]
        )
        escalated = machine.escalate(extended, event_id=IDS.event(), **how)  # type: ignore[arg-type]
        assert await is_whole(store, await applied(store, escalated))

    async def test_programs_that_did_not_report_are_found_and_the_gateways_calls_are_not(
        self, store: Engine
    ) -> None:
        by_gateway = await sent_with(store)
        by_program = await sent_with(store, executor=Executor.CALLER)
        late = now() + REPORT_WITHIN + timedelta(seconds=1)
        assert [a.id for a in await store.unreported(now=late, limit=10)] == [by_program.id]
        assert await store.unreported(now=now(), limit=10) == []
        assert [a.id for a in await store.orphans(now=now(), limit=10)] == [by_gateway.id]
        both = {a.id for a in await store.being_sent(limit=10)}
        assert both == {by_gateway.id, by_program.id}


async def sent_with(
    store: Engine, *charges: Charge, executor: Executor = Executor.GATEWAY
) -> Approval:
    """An approval that is being sent, with its room on these counters."""
    asked = await parked(store, call=replace(call({"n": IDS.token()}), executor=executor))
    approved = await applied(store, approving(asked))
    assert await do(store, Reserve(holder=asked.id, charges=charges)) == Applied()
    return await applied(store, sending(approved))


def ending(sent: Approval, status: ReleaseStatus) -> Transition:
    assert isinstance(sent.state, Released)
    outcome = Outcome(status=status, detail="done", at=now(), delivered=True)
    return machine.finish(sent, outcome, token=sent.state.token, event_id=IDS.event())
