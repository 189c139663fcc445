"""What a server says over HTTP while an approved call runs: who hears it, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from approvals.domain.strictjson import Json
from approvals.gateway import during, messages, sessions
from approvals.gateway.during import During
from approvals.gateway.sessions import Busy

pytestmark = pytest.mark.anyio


class Client:
    """Whoever waits."""

    def __init__(self, *, takes: bool = True) -> None:
        self.said: list[Mapping[str, Any]] = []
        self.takes = takes

    def heard(self, said: Mapping[str, Json]) -> bool:
        if self.takes:
            self.said.append(said)
        return self.takes


class Server:
    """What it is answered."""

    def __init__(self) -> None:
        self.told: list[tuple[Json, Mapping[str, Json]]] = []
        self.busy = Busy()

    async def reply(self, id_: Json, said: Mapping[str, Json]) -> bool:
        self.told.append((id_, said))
        return True

    def during(self, client: Client | None, *, asks: bool = True) -> During:
        async def give(text: str) -> bool:
            del text
            return True

        return During(
            "ours",
            where="s",
            busy=self.busy,
            hears=client,
            give=give if asks else None,
            reply=self.reply,
        )


def progress(token: str) -> dict[str, Json]:
    return {"method": messages.PROGRESS, "params": {"progressToken": token, "progress": 1}}


def question(id_: Json = 7, method: str = "elicitation/create") -> dict[str, Json]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": {}}


async def test_only_progress_of_this_call_and_notes_are_heard() -> None:
    client = Client()
    made = Server().during(client)
    note: dict[str, Json] = {"method": "notifications/message", "params": {"data": "x"}}
    result: dict[str, Json] = {"id": 3, "result": {}}
    for said in (progress("ours"), progress("another's"), note, result):
        made.said(said)
    assert client.said == [progress("ours"), note]


@pytest.mark.parametrize("reason", ["nobody waits", "the rule does not let it", "it does not read"])
async def test_a_question_that_nobody_may_answer_is_refused_at_once(reason: str) -> None:
    server, client = Server(), Client(takes=reason != "it does not read")
    made = server.during(
        None if reason == "nobody waits" else client, asks=reason != "the rule does not let it"
    )
    made.said(question())
    await asyncio.sleep(0)
    assert server.told == [(7, {"error": messages.NOT_ANSWERED})]
    assert client.said == []


async def test_a_ping_is_answered_for_everybody() -> None:
    server = Server()
    server.during(None).said(question("p", "ping"))
    await asyncio.sleep(0)
    assert server.told == [("p", {"result": {}})]


async def test_a_question_is_known_until_it_is_answered_withdrawn_or_the_call_is_over() -> None:
    server, client = Server(), Client()
    made = server.during(client)
    for id_ in (1, 2, 3):
        made.said(question(id_))
    ours = [said["id"] for said in client.said]
    assert server.busy.asked("other", ours[0]) is None
    found = server.busy.asked("s", ours[0])
    assert found is not None
    assert found.id == 1
    assert server.busy.asked("s", ours[0]) is None
    made.said({"method": "notifications/cancelled", "params": {"requestId": 2}})
    assert client.said[-1]["params"] == {"requestId": ours[1]}
    assert server.busy.asked("s", ours[1]) is None
    made.over()
    assert server.busy.asked("s", ours[2]) is None


async def test_a_server_that_asks_without_end_is_answered_as_often_as_it_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(during, "MAX_REPLIES", 3)
    server = Server()
    made = server.during(None)
    for id_ in range(10):
        made.said(question(id_))
    await asyncio.sleep(0)
    assert len(server.told) == 3


async def test_only_so_many_questions_wait_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_QUESTIONS", 3)
    server, client = Server(), Client()
    made, other = server.during(client), server.during(client)
    for id_ in range(5):
        made.said(question(id_))
    other.said(question(9))
    await asyncio.sleep(0)
    assert [id_ for id_, _ in server.told] == [3, 4]
    assert len(client.said) == 4


async def test_a_question_of_one_call_is_not_withdrawn_by_another() -> None:
    server, client, stranger = Server(), Client(), Client()
    made, other = server.during(client), server.during(stranger)
    made.said(question(1))
    other.said({"method": "notifications/cancelled", "params": {"requestId": 1}})
    assert stranger.said == []
    assert server.busy.asked("s", client.said[0]["id"]) is not None
