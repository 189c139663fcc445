"""One process, many clients: none gets, answers, ends or keeps back what is another's."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from approvals.config.load import load
from approvals.domain.rulebook import CommandServer
from approvals.gateway.messages import read
from approvals.gateway.own import OwnRequest
from approvals.gateway.stdio.conversation import Conversation
from approvals.gateway.stdio.inbox import MAX_QUEUED, Waiting, Who
from approvals.gateway.stdio.process import Process
from tests.e2e.raw import opened, post
from tests.e2e.test_stdio import SERVER, TOOLS, approved, asking, lines, started
from tests.e2e.world import World, configured, policy, text, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from approvals.domain.policy.model import Policy
    from approvals.domain.strictjson import Json

pytestmark = pytest.mark.anyio
ASKED: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}}
"""What the client library says that it can, so that both share a process."""


async def test_a_question_about_a_call_whose_client_left_is_given_to_nobody(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, more=started(tmp_path)) as w, asking(w, "other") as other:
        session = await opened(w, ASKED)
        left = asyncio.create_task(post(w, session, tool("ask", {"seconds": 1})))
        await asyncio.sleep(0.3)
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        paused = await other.call_tool("pause", {"seconds": 2})
        assert text(paused) == "paused 2.0"
        assert w.asked == []
    assert len(lines(tmp_path, "starts")) == 1


async def test_a_question_about_an_approved_call_that_timed_out_is_given_to_nobody(
    tmp_path: Path,
) -> None:
    tools = {**TOOLS, "ask": policy()["tools"]["act"]}
    more = started(tmp_path, policy=policy(tools=tools, default="allow"))
    soon = timedelta(seconds=1)
    async with world(tmp_path, more=more, upstream_timeout=soon) as w, asking(w, "other") as other:
        async with asking(w, "bot") as bot:
            calling = asyncio.create_task(bot.call_tool("ask", {"seconds": 2}))
            [approval] = await w.pending()
            await w.approve(approval)
            assert text(await calling).startswith("OUTCOME UNKNOWN")
        assert text(await other.call_tool("pause", {"seconds": 2})) == "paused 2.0"
        assert w.asked == []


async def test_an_error_without_an_id_ends_nobodys_request(conversation: Conversation) -> None:
    call = read(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}')
    asked = await conversation.ask(call, Who(agent="bot", session="s"))
    own = asyncio.create_task(conversation.own(OwnRequest("tools/call", "{}")))
    await asyncio.sleep(0.05)
    conversation.heard(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}')
    await asyncio.sleep(0.05)
    assert not asked.answered
    assert not own.done()
    own.cancel()


async def test_a_line_that_cannot_be_handled_ends_nothing(conversation: Conversation) -> None:
    call = read(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}')
    asked = await conversation.ask(call, Who(agent="bot", session="s"))
    question = b'{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{"n":%s}}'
    for bad in (b"NaN", b"1e400", b'"\\ud800"', b"{" * 100):
        conversation.heard(question % bad)
    conversation.heard(question % b"100000000000000000001")
    said = await asked.take()
    assert said is not None
    assert b'{"n":100000000000000000001}' in said


async def test_a_client_that_takes_nothing_is_given_up_at_its_bound(
    conversation: Conversation,
) -> None:
    inbox = conversation.listen(Who(agent="bot", session="s"))
    note = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed","x":"%s"}' % (
        b"y" * 10**6
    )
    for _ in range(2 * MAX_QUEUED // len(note)):
        conversation.heard(note)
    size = 0
    while (line := await inbox.take()) is not None:
        size += len(line)
    assert size <= MAX_QUEUED


@pytest.mark.parametrize("hears", [True, False])
async def test_a_question_during_an_approved_call_is_refused_where_nobody_hears_it(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch, hears: bool
) -> None:
    written: list[bytes] = []

    async def write(line: bytes) -> None:
        written.append(line)

    class Client:
        def heard(self, said: Mapping[str, Json]) -> bool:
            return hears and said["method"] == "elicitation/create"

    async def give(text: str) -> bool:
        return bool(text)

    monkeypatch.setattr(conversation, "_write", write)
    who = Who(agent="bot", session="s")
    waiting = Waiting(who=who, hears=Client(), give=give)
    own = asyncio.create_task(conversation.own(OwnRequest("tools/call", "{}"), waiting))
    await asyncio.sleep(0.05)
    conversation.heard(b'{"jsonrpc":"2.0","id":9,"method":"elicitation/create","params":{}}')
    await asyncio.sleep(0.05)
    refused = [line for line in written if b'"id":9' in line and b"nobody here may answer" in line]
    assert len(refused) == (0 if hears else 1)
    own.cancel()


async def test_a_start_goes_on_when_the_request_that_needed_it_has_gone(tmp_path: Path) -> None:
    more = started(tmp_path, args=[str(SERVER), str(tmp_path), "2"])
    async with world(tmp_path, more=more) as w:
        calling = asyncio.create_task(opened(w))
        while not lines(tmp_path, "starts"):
            await asyncio.sleep(0.02)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await opened(w)
    assert len(lines(tmp_path, "starts")) == 1


async def test_one_agent_does_not_take_every_process_of_a_server(tmp_path: Path) -> None:
    async with world(tmp_path, more=started(tmp_path)) as w, w.agent("legacy") as bot:
        others: list[dict[str, Any]] = [
            {"sampling": {}},
            {"roots": {}},
            {"elicitation": {}},
            {"roots": {"listChanged": True}},
            {"sampling": {}, "roots": {}},
        ]
        answers = await asyncio.gather(*(initialized(w, said) for said in others))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 503]
        same = await initialized(w, {"experimental": {"a": {}}})  # no kind of its own
        assert same.status_code == 200
        assert text(await approved(w, bot, {"what": "x"})) == "did x 0"


async def test_a_reload_lets_a_sent_call_come_back(tmp_path: Path) -> None:
    tools = {**TOOLS, "pause": policy()["tools"]["act"]}
    more = started(tmp_path, policy=policy(tools=tools, default="allow"))
    async with world(tmp_path, more=more) as w, w.agent("legacy") as agent:
        calling = asyncio.create_task(agent.call_tool("pause", {"seconds": 2}))
        [approval] = await w.pending()
        await w.approve(approval)
        while (await w.status(approval["id"]))["status"] != "released":
            await asyncio.sleep(0.02)
        path = tmp_path / "approvals.yaml"
        path.write_text(path.read_text().replace(str(SERVER), f"{SERVER.parent}/./{SERVER.name}"))
        assert (await w.rest("POST", "/v1/policies/reload", by="carol")).status_code == 200
        assert text(await calling) == "paused 2.0"


@pytest.fixture
async def conversation(a_policy: Policy) -> AsyncIterator[Conversation]:
    """With a process that reads everything and says nothing."""
    command = ("-c", "import sys; sys.stdin.read()")
    server = CommandServer(name="up", command=sys.executable, args=command, policy=a_policy)
    made = Conversation("up")
    process = await Process.start(server, heard=made.heard)
    made.begin(process)
    made.greeted = True
    yield made
    await process.stop()


@pytest.fixture
def a_policy(tmp_path: Path) -> Policy:
    book = load(configured(tmp_path, "http://127.0.0.1:9/mcp"), starting_person=None)
    return book.servers["up"].policy


def tool(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"id": 7, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


async def initialized(w: World, capabilities: dict[str, Any]) -> Any:
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": capabilities,
        "clientInfo": {"name": "t", "version": "1"},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    return await w.rest("POST", "/mcp/up", by="other", json_body=body)
