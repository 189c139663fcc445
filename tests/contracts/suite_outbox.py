"""The contract of the Outbox port; see `suite`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain import approval as machine
from approvals.ports.telling import DeliveryFilter, Ending, Receipt
from tests.contracts.suite import applied, approving, denying, now, parked

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from approvals.ports.telling import Delivery
    from tests.contracts.suite import Engine

SOON = timedelta(seconds=5)
NOW = timedelta(0)
HOUR = timedelta(hours=1)
TRADING, OPS = "slack:#trading", "webhook:ops"


async def taken(store: Engine, channel: str = "log", *, lease: timedelta = SOON) -> list[Delivery]:
    return list(await store.outbox.lease(channel, lease=lease, limit=10))


class OutboxContract:
    """What every engine keeps of what people are to be told."""

    async def test_a_channel_is_due_while_a_row_of_it_is(self, store: Engine) -> None:
        assert await store.outbox.due() == []
        await parked(store, channels=(TRADING, "log"))
        await parked(store, channels=("log",))
        assert await store.outbox.due() == ["log", TRADING]
        [first] = await taken(store, TRADING)
        assert await store.outbox.due() == ["log"]
        await store.outbox.failed(first.id, error="x", retry_in=HOUR)
        assert await store.outbox.due() == ["log"]

    async def test_deliveries_of_one_approval_are_leased_in_order(self, store: Engine) -> None:
        asked = await parked(store)
        await applied(store, approving(asked))
        [first] = await taken(store)
        assert (first.approval_id, first.kind, first.attempts) == (asked.id, "requested", 0)
        assert (first.event, first.at) == ("parked", asked.created_at)
        assert await taken(store) == []
        await store.outbox.told(first.id)
        [second] = await taken(store)
        assert (second.kind, second.event) == ("decided", "approved")

    async def test_a_slow_channel_holds_up_no_other(self, store: Engine) -> None:
        asked = await parked(store, channels=(OPS, "log"))
        [there] = await taken(store, OPS)
        await store.outbox.failed(there.id, error="down", retry_in=HOUR)
        await applied(store, denying(asked))
        assert await taken(store, OPS) == []
        [here] = await taken(store)
        await store.outbox.told(here.id)
        assert [one.event for one in await taken(store)] == ["denied"]

    async def test_a_failed_delivery_is_due_again_later(self, store: Engine) -> None:
        asked = await parked(store)
        [first] = await taken(store)
        await store.outbox.failed(first.id, error="x", retry_in=NOW, unclear=1)
        [again] = await taken(store)
        assert (again.id, again.attempts, again.unclear) == (first.id, 1, 1)
        assert again.at == first.at == asked.created_at
        await store.outbox.failed(again.id, error="y", retry_in=HOUR)
        assert await taken(store) == []
        [kept] = await store.outbox.deliveries(DeliveryFilter(approval_id=asked.id))
        assert [attempt.error for attempt in kept.attempts] == ["x", "y"]
        assert kept.delivery.unclear == 1
        assert abs(kept.due_at - now() - HOUR) < timedelta(minutes=1)
        assert kept.ended is None

    async def test_a_lease_that_ran_out_is_taken_by_the_next(self, store: Engine) -> None:
        await parked(store)
        [first] = await taken(store, lease=NOW)
        [again] = await taken(store)
        assert again.id == first.id

    async def test_of_many_who_lease_at_once_one_has_each_row(self, store: Engine) -> None:
        asked = [await parked(store) for _ in range(8)]
        found = await asyncio.gather(*(taken(store) for _ in range(6)))
        ids = [one.approval_id for rows in found for one in rows]
        assert sorted(ids) == sorted(one.id for one in asked)

    async def test_what_is_given_up_makes_way_and_is_listed(self, store: Engine) -> None:
        asked = await parked(store)
        await applied(store, approving(asked))
        [first] = await taken(store)
        await store.outbox.failed(first.id, error="gone", retry_in=None)
        [second] = await taken(store)
        await store.outbox.told(second.id)
        every = await store.outbox.deliveries(DeliveryFilter(approval_id=asked.id))
        assert [one.ended for one in every] == [Ending.GIVEN_UP, Ending.TOLD]
        [lost] = await store.outbox.deliveries(DeliveryFilter())
        assert lost.delivery.id == first.id
        told = DeliveryFilter(approval_id=asked.id, ended=Ending.TOLD)
        assert [one.attempts[0].error for one in await store.outbox.deliveries(told)] == [""]

    async def test_of_many_attempts_the_first_twenty_and_the_last_are_kept(
        self, store: Engine
    ) -> None:
        asked = await parked(store)
        for number in range(25):
            [row] = await taken(store)
            await store.outbox.failed(row.id, error=str(number), retry_in=NOW)
        [kept] = await store.outbox.deliveries(DeliveryFilter(approval_id=asked.id, waiting=True))
        assert [a.error for a in kept.attempts] == [*map(str, range(19)), "24"]
        assert kept.delivery.attempts == 25

    async def test_deliveries_are_listed_page_by_page(self, store: Engine) -> None:
        asked = await parked(store, channels=("log", OPS, TRADING))
        filter_ = DeliveryFilter(approval_id=asked.id, limit=2)
        first = await store.outbox.deliveries(filter_)
        last = first[-1].delivery
        after = DeliveryFilter(approval_id=asked.id, after=(last.at, last.id))
        rest = await store.outbox.deliveries(after)
        channels = [one.delivery.channel for one in [*first, *rest]]
        assert sorted(channels) == ["log", TRADING, OPS]
        only = await store.outbox.deliveries(DeliveryFilter(channel=OPS))
        assert [one.delivery.channel for one in only] == [OPS]

    async def test_messages_are_kept_and_forgotten(self, store: Engine) -> None:
        asked = await parked(store, channels=(TRADING,))
        [row] = await taken(store, TRADING)
        await store.outbox.told(row.id, receipt=Receipt("C1/1.1"))
        await store.outbox.told(row.id, receipt=Receipt("C1/1.1"))
        assert await store.outbox.messages(asked.id, TRADING) == ["C1/1.1"]
        assert await store.outbox.messages(asked.id, OPS) == []
        await store.outbox.forget(asked.id, Receipt("C1/1.1"))
        assert await store.outbox.messages(asked.id, TRADING) == []

    async def test_an_unknown_message_is_adopted_once_and_brought_up_to_date(
        self, store: Engine
    ) -> None:
        asked = await parked(store, channels=(TRADING,))
        [row] = await taken(store, TRADING)
        await store.outbox.told(row.id, receipt=Receipt("C1/1.1"))
        tries = [store.outbox.adopt(asked.id, TRADING, Receipt("C1/2.2")) for _ in range(5)]
        assert sorted(await asyncio.gather(*tries)) == [False, False, False, False, True]
        assert not await store.outbox.adopt(asked.id, TRADING, Receipt("C1/1.1"))
        assert await store.outbox.messages(asked.id, TRADING) == ["C1/1.1", "C1/2.2"]
        [update] = await taken(store, TRADING)
        assert (update.event, update.approval_id) == ("adopted", asked.id)

    async def test_what_was_told_is_told_again_by_hand(self, store: Engine) -> None:
        await parked(store)
        [row] = await taken(store)
        await store.outbox.told(row.id)
        again = await store.outbox.redeliver(row.id)
        assert again is not None
        assert again.ended is None
        assert await store.unnoticed(before=now() + HOUR, limit=9) == []  # it was told once
        assert [one.id for one in await taken(store)] == [row.id]
        assert await store.outbox.redeliver("nothing") is None

    async def test_the_bytes_that_were_kept_first_stay(self, store: Engine) -> None:
        await parked(store, channels=(OPS,))
        [row] = await taken(store, OPS, lease=NOW)
        assert await store.outbox.keep(row.id, "first\u0000") == "first\u0000"
        assert await store.outbox.keep(row.id, "second") == "first\u0000"
        [again] = await taken(store, OPS)
        assert again.body == "first\u0000"

    async def test_erasing_forgets_the_bytes(self, store: Engine) -> None:
        asked = await parked(store, channels=(OPS,))
        denied = await applied(store, denying(asked))
        [row] = await taken(store, OPS)
        await store.outbox.keep(row.id, "secret")
        erasing = machine.erase(denied, hashes={"arguments": "h"}, now=now(), event_id="evt_erase")
        await store.apply(erasing, within=SOON)
        [kept, _] = await store.outbox.deliveries(DeliveryFilter(approval_id=asked.id))
        assert kept.delivery.body is None

    async def test_what_is_put_off_was_not_tried(self, store: Engine) -> None:
        asked = [await parked(store, channels=(TRADING,)) for _ in range(3)]
        rows = await taken(store, TRADING)
        await store.outbox.put_off([rows[0].id, rows[1].id], wait=NOW)
        await store.outbox.put_off([rows[2].id], wait=HOUR)
        again = await taken(store, TRADING)
        assert {(one.approval_id, one.digested, one.attempts) for one in again} == {
            (asked[0].id, False, 0),
            (asked[1].id, False, 0),
        }

    async def test_a_digest_tells_of_pending_calls_that_the_channel_was_not_told(
        self, store: Engine
    ) -> None:
        told = await parked(store, channels=(TRADING, OPS))
        [row] = await taken(store, TRADING)
        await store.outbox.told(row.id, receipt=Receipt("C1/1.1"))
        over = await parked(store, channels=(TRADING,))
        await applied(store, denying(over))
        waiting = [await parked(store, channels=(TRADING, OPS)) for _ in range(3)]
        await applied(store, approving(told))
        untold = await store.outbox.untold(TRADING, limit=9)
        assert [approval for _, approval in untold] == [one.id for one in waiting]
        assert len(await store.outbox.untold(TRADING, limit=2)) == 2
        ids = [id_ for id_, _ in untold[:2]]
        await store.outbox.digested(TRADING, ids, wait=NOW)
        assert await store.outbox.untold(TRADING, limit=9) == untold[2:]
        assert len(await store.outbox.untold(OPS, limit=9)) == 3
        found = {one.approval_id: one.digested for one in await taken(store, TRADING)}
        assert found == {
            told.id: False,
            over.id: False,
            waiting[0].id: True,
            waiting[1].id: True,
            waiting[2].id: False,
        }

    async def test_one_process_works_a_channel_off_at_a_time(self, store: Engine) -> None:
        def take(worker: str, lease: timedelta = HOUR) -> Awaitable[bool]:
            return store.outbox.take(TRADING, worker=worker, lease=lease)

        tries = await asyncio.gather(*(take(f"p{number}") for number in range(5)))
        assert sorted(tries) == [False, False, False, False, True]
        first = f"p{tries.index(True)}"
        assert await take(first)
        assert not await take("another")
        await store.outbox.let_go(TRADING, worker="another")
        assert not await take("another")
        await store.outbox.let_go(TRADING, worker=first)
        assert await take("another", NOW)
        assert await take(first)  # the other's time is over
        assert await store.outbox.closed(TRADING) is None

    async def test_who_comes_late_does_not_undo_what_was_told(self, store: Engine) -> None:
        """A's lease ran out, B told it, and now A fails."""
        asked = await parked(store)
        [row] = await taken(store, lease=NOW)
        [again] = await taken(store)
        await store.outbox.told(again.id)
        await store.outbox.failed(row.id, error="late", retry_in=NOW, unclear=1)
        await store.outbox.put_off([row.id], wait=NOW)
        await store.outbox.digested("log", [row.id], wait=NOW)
        assert await taken(store) == []
        [kept] = await store.outbox.deliveries(DeliveryFilter(approval_id=asked.id))
        assert (kept.ended, kept.delivery.digested) == (Ending.TOLD, False)

    async def test_pings_count_messages_and_know_the_last_digest(self, store: Engine) -> None:
        await parked(store, channels=(TRADING,))
        await parked(store, channels=(TRADING,))
        minute = timedelta(minutes=1)
        none = await store.outbox.pings(TRADING, within=minute)
        assert (none.cards, none.since_digest) == (0, None)
        one, other = await taken(store, TRADING)
        await store.outbox.told(one.id, receipt=Receipt("C1/1.1"))
        await store.outbox.digested(TRADING, [other.id], wait=HOUR)
        some = await store.outbox.pings(TRADING, within=minute)
        assert some.cards == 1
        assert some.since_digest is not None
        assert timedelta(0) <= some.since_digest < minute
        assert (await store.outbox.pings(TRADING, within=-minute)).cards == 0
        assert (await store.outbox.pings(OPS, within=minute)).cards == 0

    async def test_a_closed_channel_is_open_again(self, store: Engine) -> None:
        assert await store.outbox.closed(OPS) is None
        for address in ("one", "two"):
            await store.outbox.close(OPS, address=address)
            assert await store.outbox.closed(OPS) == address
        await store.outbox.open(OPS)
        assert await store.outbox.closed(OPS) is None

    async def test_nobody_was_told_while_no_channel_of_people_has_it(self, store: Engine) -> None:
        later = now() + timedelta(minutes=1)
        both = await parked(store, channels=(TRADING, OPS, "log"))
        alone = await parked(store, channels=("log",))
        ended = await parked(store, channels=(OPS,))
        await applied(store, denying(ended))
        assert await store.unnoticed(before=now() - HOUR, limit=9) == []
        missed = await store.unnoticed(before=later, limit=9)
        assert {one.id for one in missed} == {both.id, alone.id}
        for row in await taken(store):
            await store.outbox.told(row.id)
        assert [one.id for one in await store.unnoticed(before=later, limit=9)] == [both.id]
        [row] = [one for one in await taken(store, OPS) if one.approval_id == both.id]
        await store.outbox.failed(row.id, error="x", retry_in=None)
        assert [one.id for one in await store.unnoticed(before=later, limit=9)] == [both.id]
        marked = await applied(store, machine.miss(both, now=now(), event_id="evt_missed"))
        assert marked.unnoticed
        assert await store.approval(both.id) == marked
        assert await store.unnoticed(before=later, limit=9) == []

    async def test_one_channel_that_has_it_is_enough(self, store: Engine) -> None:
        later = now() + timedelta(minutes=1)
        for _ in range(2):
            await parked(store, channels=(TRADING, OPS))
        one, other = await taken(store, OPS)
        await store.outbox.told(one.id)
        await store.outbox.digested(OPS, [other.id], wait=HOUR)
        assert await store.unnoticed(before=later, limit=9) == []
