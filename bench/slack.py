"""How long a card takes to Slack, and a click until it is acknowledged and shown, beside 200 calls
that wait. Slack is the fake of the tests: what is measured is ours."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2

from approvals.demo.stage import served
from bench.row import Row
from bench.service import Service, service
from tests.slack.fake import APP, BOT, SECRET, FakeSlack, Message, press

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PENDING = 200
CHANNELS = 12
EACH = 8
"""Cards for one channel: fewer than make a digest."""


@dataclass
class Times:
    """Seconds, each from the moment at which somebody asked or clicked."""

    card: list[float] = field(default_factory=list)
    acknowledged: list[float] = field(default_factory=list)
    shown: list[float] = field(default_factory=list)


def rows() -> list[Row]:
    """One run: the calls come one after the other."""
    times = asyncio.run(_measured())
    return [
        _row("a call is parked → its card is in Slack", times.card, must="<= 2 s"),
        _row("a click → acknowledged", times.acknowledged, must="<= 3 s"),
        _row("a click → the card shows who decided", times.shown, must="<= 2 s"),
    ]


def _row(what: str, seconds: Sequence[float], *, must: str) -> Row:
    ordered = sorted(seconds)
    p95 = ordered[int(len(ordered) * 0.95)]
    return Row(
        name="-",
        workload=f"{what}, {PENDING} pending, p50",
        measured=f"{statistics.median(ordered) * 1000:.0f} ms",
        must=must,
        note=f"p95 {p95 * 1000:.0f} ms, {len(ordered)} times",
    )


async def _measured() -> Times:
    fake = FakeSlack(channels=tuple(f"c{n}" for n in range(CHANNELS)))
    async with served(fake.app()) as fake.url:
        settings = {
            "APPROVALS_SLACK_BOT_TOKEN": BOT,
            "APPROVALS_SLACK_APP_ID": APP,
            "APPROVALS_SLACK_SIGNING_SECRET": SECRET,
            "APPROVALS_SLACK_BASE_URL": f"{fake.url}/api/",
        }
        tools = {
            f"act_{n}": {
                "require_approval_if": [
                    {"conditions": [], "approval": {"channels": [f"slack:#c{n}"]}}
                ]
            }
            for n in range(CHANNELS)
        }
        running = service(tools=tools, slack=settings)
        started = await asyncio.to_thread(running.__enter__)
        try:
            return await _run(started, fake)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


async def _run(started: Service, fake: FakeSlack) -> Times:
    times = Times()
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
        for n in range(PENDING):
            await _ask(http, started, "place_order", {"quantity": n + 1})
        for n in range(CHANNELS * EACH):
            began = time.perf_counter()
            await _ask(http, started, f"act_{n % CHANNELS}", {"n": n})
            card = await _card(fake, n)
            times.card.append(time.perf_counter() - began)
            began = time.perf_counter()
            answer = await press(http, started.urls[0], fake.click(card, "approve"))
            assert answer.is_success, answer.text
            times.acknowledged.append(time.perf_counter() - began)
            await _shown(card, "Approved by Bob")
            times.shown.append(time.perf_counter() - began)
    return times


async def _card(fake: FakeSlack, number: int) -> Message:
    await _until(lambda: len(fake.cards) > number)
    return fake.cards[number]


async def _shown(card: Message, words: str) -> None:
    await _until(lambda: words in card.shown)


async def _until(there: Callable[[], bool]) -> None:
    while not there():  # noqa: ASYNC110 (the fake is looked at, and tells nobody)
        await asyncio.sleep(0.001)


async def _ask(
    http: httpx2.AsyncClient, started: Service, tool: str, arguments: dict[str, object]
) -> None:
    body = {"server": "exchange", "tool": tool, "arguments": arguments}
    key = {"authorization": f"Bearer {started.agent}"}
    answer = await http.post(f"{started.urls[0]}/v1/approvals", json=body, headers=key)
    assert answer.is_success, answer.text
