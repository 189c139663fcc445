"""What a client that waits is told, in which order, and what becomes of one that does not read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from approvals.domain.strictjson import Json, parse
from approvals.gateway import messages, telling
from approvals.gateway.telling import Telling
from approvals.outbound import Answer

pytestmark = pytest.mark.anyio


class Client:
    """Reads while it may."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.reads = asyncio.Event()
        self.reads.set()

    async def tell(self, message: bytes) -> None:
        await self.reads.wait()
        self.told.append(json.loads(message))

    async def pass_on(self, answer: Answer) -> None:
        raise AssertionError(answer)

    @property
    def progress(self) -> list[tuple[Any, Any]]:
        params = [m["params"] for m in self.told if m["method"] == messages.PROGRESS]
        return [(p["progress"], p.get("total")) for p in params]


@asynccontextmanager
async def told(client: Client, *, token: Json = "t", every: float = 60) -> AsyncIterator[Telling]:
    made = Telling(client, token=token, note=lambda: "held", every=timedelta(seconds=every))
    task = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    yield made
    task.cancel()


def progress(text: str) -> dict[str, Json]:
    said = parse(f'{{"method":"{messages.PROGRESS}","params":{text}}}'.encode())
    assert isinstance(said, dict)
    return said


async def test_the_servers_progress_goes_on_above_ours_exactly() -> None:
    client = Client()
    async with told(client) as made:
        await asyncio.sleep(0.05)
        for said in ('{"progress":0,"total":0.30}', '{"progress":0.10,"total":"x","message":"m"}'):
            assert made.heard(progress(said))
        assert made.heard(progress('{"progress":true}'))
        await made.finish()
    assert client.progress[0] == (1, None)
    raw = [client.told[n]["params"] for n in (1, 2, 3)]
    assert [p["progress"] for p in raw] == [2, 2.10, True]
    assert (raw[0]["total"], raw[1]["total"], raw[1]["message"]) == (2.30, "x", "m")
    assert {p["progressToken"] for p in raw} == {"t"}


async def test_once_the_server_tells_its_progress_the_gateway_tells_none() -> None:
    client = Client()
    async with told(client, every=0.02) as made:
        await asyncio.sleep(0.1)
        made.heard(progress('{"progress":1}'))
        await asyncio.sleep(0.1)
        await made.finish()
    values = [value for value, _ in client.progress]
    assert values == sorted(set(values))
    assert len(values) > 2
    assert client.told[-1]["params"].get("message") is None


async def test_who_gave_no_token_hears_no_progress_and_everything_else() -> None:
    client = Client()
    async with told(client, token=None, every=0.01) as made:
        assert not made.heard(progress('{"progress":1}'))
        assert made.heard({"method": "notifications/message", "params": {"data": "x"}})
        await made.finish()
    assert [message["method"] for message in client.told] == ["notifications/message"]


async def test_a_client_that_does_not_read_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "READS_WITHIN", 0.1)
    client = Client()
    client.reads.clear()
    async with told(client, token=None) as made:
        note: dict[str, Json] = {"method": "notifications/message", "params": {}}
        heard = [made.heard(note) for _ in range(telling.MAX_QUEUED + 10)]
        assert heard.count(False) == 10
        async with asyncio.timeout(5):
            await made.finish()
        assert not made.heard(note)
    assert client.told == []


async def test_what_is_heard_is_bounded_in_bytes_and_after_the_end_nothing_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telling, "MAX_BYTES", 1000)
    client = Client()
    client.reads.clear()
    async with told(client, token=None) as made:
        note: dict[str, Json] = {"method": "notifications/message", "params": {"data": "x" * 400}}
        assert [made.heard(note) for _ in range(4)] == [True, True, False, False]
        client.reads.set()
        await made.finish()
        assert len(client.told) == 2
        made.close()
        assert not made.heard(note)
