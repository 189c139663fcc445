"""The contract of a channel, as a class of tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from approvals.domain.approval import expire, park
from approvals.domain.call import Call, Executor, canonical_arguments
from approvals.domain.card import card
from approvals.domain.digest import digest
from approvals.domain.directory import Directory, Person
from approvals.domain.quorum import Requirement
from approvals.domain.risk import Category, risk_of
from approvals.domain.states import Approval, NoticeKind
from approvals.ports.telling import Delivery, Notice

if TYPE_CHECKING:
    from approvals.ports.telling import Channel, Receipt

ASKED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LASTS = timedelta(minutes=15)
PEOPLE = Directory(people={"alice": Person(name="alice"), "bob": Person(name="bob")})


class Shown(Protocol):
    """Finds what a person sees of a message; None: of all that was told."""

    async def __call__(self, receipt: Receipt | None) -> str: ...


class ChannelContract:
    """Subclass it, and give two fixtures: `channel`, and `shown`, a function of this kind.

    Runs with anyio's pytest plug-in (`pytestmark = pytest.mark.anyio`).
    """

    async def test_an_announcement_says_what_would_run(
        self, channel: Channel, shown: Shown
    ) -> None:
        asked = notice()
        said = await shown(await channel.announce(asked))
        assert asked.card.question.removesuffix("?") in said

    async def test_a_late_announcement_says_how_it_ended(
        self, channel: Channel, shown: Shown
    ) -> None:
        ended = notice(ended=True)
        said = await shown(await channel.announce(ended))
        assert ended.card.outcome in said

    async def test_an_update_says_how_it_ended_and_may_be_done_twice(
        self, channel: Channel, shown: Shown
    ) -> None:
        receipt = await channel.announce(notice())
        if receipt is None:
            return  # it keeps no message: each piece of news is announced
        for _ in range(2):
            await channel.update(receipt, notice(ended=True))
        assert notice(ended=True).card.outcome in await shown(receipt)

    async def test_a_reply_is_said(self, channel: Channel, shown: Shown) -> None:
        receipt = await channel.announce(notice())
        if receipt is None:
            return
        await channel.reply(receipt, "Still waiting.")
        assert "Still waiting." in await shown(None)


def notice(*, ended: bool = False) -> Notice:
    """trader-bot asks to cancel an order; `ended`: nobody has answered in time."""
    asked = _asked()
    if ended:
        asked = expire(asked, now=asked.expires_at, event_id="evt_2").after
    now = asked.expires_at if ended else ASKED
    delivery = Delivery(
        id="evt_2:x" if ended else "evt_1:x",
        approval_id=asked.id,
        channel="x",
        kind=NoticeKind.ENDED if ended else NoticeKind.REQUESTED,
        event="expired" if ended else "parked",
        at=now,
    )
    return Notice(
        delivery=delivery,
        approval=asked,
        card=card(asked, directory=PEOPLE, now=now),
        approvable=not ended,
        news="",
        page=f"https://approvals.example/a/{asked.id}",
    )


def _asked() -> Approval:
    call = Call(
        executor=Executor.GATEWAY,
        server="exchange",
        tool="cancel_order",
        arguments=canonical_arguments({"symbol": "BTCUSD", "orderId": 12345}),
        agent="trader-bot",
        owner="alice",
        argument_order=("symbol", "orderId"),
    )
    required = replace(Requirement(), timeout=LASTS)
    asked = Approval(
        id="apr_0123456789abcdef",
        call=call,
        identity="test",
        requirement=required,
        digest=digest(call, required, revision=1),
        policy_hash="sha256:policy",
        rule="/tools/cancel_order/require_approval_if/0",
        message="",
        summary="Cancel order 12345 on BTCUSD",
        risk=risk_of(Category.FINANCIAL),
        channels=("x",),
        created_at=ASKED,
        expires_at=ASKED + LASTS,
    )
    return park(asked, event_id="evt_1", max_pending=20).approval
