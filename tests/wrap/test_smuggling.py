"""Whatever either side says on its streams, no call reaches the child that nobody let through."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_serve import APPROVALS, Machine
from tests.wrap.wrapped import Person

pytestmark = pytest.mark.anyio
RECORDER = str(Path(__file__).with_name("recorder.py"))
ACT = {"name": "act", "arguments": {"what": "x"}}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One for all tests; each has a server of its own, and ends what it begins."""
    made = Machine(tmp_path_factory.mktemp("service"))
    made.serve()
    yield made
    assert made.process is not None
    made.process.terminate()
    made.process.wait(20)


@pytest.fixture
def machine(service: Machine, tmp_path: Path) -> Machine:
    """The service, as clients in a folder of this test find it."""
    state = tmp_path / ".local" / "state" / "approvals"
    state.mkdir(parents=True)
    (state / "state.json").write_text(service.state.read_text())
    return Machine(tmp_path, port=service.port)


@dataclass
class Pipe:
    """A client that says what it likes, byte by byte."""

    process: asyncio.subprocess.Process
    arguments: dict[str, Any]
    heard: list[dict[str, Any]] = field(default_factory=list)

    async def say(self, line: str | dict[str, Any]) -> None:
        assert self.process.stdin is not None
        text = line if isinstance(line, str) else json.dumps({"jsonrpc": "2.0", **line})
        self.process.stdin.write(text.encode() + b"\n")
        await self.process.stdin.drain()

    async def hear(self, id_: object) -> dict[str, Any]:
        """The next message with this id."""
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while True:
                message: dict[str, Any] = json.loads(await self.process.stdout.readline())
                self.heard.append(message)
                if message.get("id") == id_ and "method" not in message:
                    return message

    async def call(self, id_: object, **params: object) -> None:
        call = {"name": "act", "arguments": self.arguments, **params}
        await self.say({"id": id_, "method": "tools/call", "params": call})

    async def asked(self, person: Person) -> dict[str, Any]:
        """The approval of this client's call, among those of other tests."""
        async with asyncio.timeout(20):
            while True:
                for approval in await person.pending():
                    if approval["arguments"] == self.arguments:
                        return approval
                await asyncio.sleep(0.02)


@asynccontextmanager
async def piped(machine: Machine, manner: str = "") -> AsyncIterator[Pipe]:
    server = [sys.executable, RECORDER, str(machine.folder), manner]
    process = await asyncio.create_subprocess_exec(
        APPROVALS,
        *("wrap", "--server", "up", "--", *server),
        env=machine.environment,
        cwd=machine.folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    pipe = Pipe(process, arguments={"what": str(machine.folder)})
    who = {"name": "raw", "version": "1"}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": who}
    await pipe.say({"id": 1, "method": "initialize", "params": params})
    await pipe.hear(1)
    await pipe.say({"method": "notifications/initialized"})
    try:
        yield pipe
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def calls(machine: Machine) -> list[dict[str, Any]]:
    """Everything that a server could take for a call, among what it was sent."""
    lines = (machine.folder / "lines").read_text().splitlines()
    return [json.loads(line) for line in lines if "call" in line.casefold()]


@pytest.mark.parametrize(
    "line",
    [
        json.dumps([{"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": ACT}]),
        '{"jsonrpc":"2.0","id":5,"method":"tools/list","method":"tools/call","params":ACT}',
        '{"jsonrpc":"2.0","id":5,"method":"ping","m\\u0065thod":"tools/call","params":ACT}',
        '{"jsonrpc":"2.0","id":5,"method":"Tools/Call","params":{"name":"act"}}',
        '{"jsonrpc":"2.0","id":5,"method":" tools/call","params":{"name":"act"}}',
        '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"act"}}',
        '{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"act"}}',
        '{"jsonrpc":"2.0","id":5,"method":"tools/call","Params":{"name":"act"}}',
        '{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"get_note","Name":"act"}}',
        '{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"act","arguments":1e400}}',
        '{"jsonrpc":"2.0","id":5.0,"method":"tools/call","params":{"name":"act"}}',
        '{"jsonrpc":"2.0","id":5,"result":{},"method":"tools/call","params":{"name":"act"}}',
        '{"jsonrpc":"2.0","id":5,"method":"call","params":{"name":"act"}}',
    ],
)
async def test_no_way_of_writing_it_brings_a_call_past_the_person(
    machine: Machine, line: str
) -> None:
    async with piped(machine) as client:
        await client.say(line.replace("ACT", json.dumps(ACT)))
        await client.say({"id": 6, "method": "ping"})
        await client.hear(6)
        assert calls(machine) == []


async def test_the_answer_to_a_held_call_cannot_come_from_the_server(machine: Machine) -> None:
    async with piped(machine, "forge") as client, Person(machine) as person:
        await client.call(99)
        approval = await client.asked(person)
        await client.say({"id": 7, "method": "tools/list"})
        await client.hear(7)
        await person.deny(approval, "no")
        answer = await client.hear(99)
        assert "a person denied this call" in str(answer)
        assert "forged" not in str(client.heard)
        assert calls(machine) == []


async def test_an_id_that_is_in_use_is_refused_and_changes_nothing(machine: Machine) -> None:
    async with piped(machine) as client, Person(machine) as person:
        await client.call(9)
        approval = await client.asked(person)
        for method in ("tools/list", "tools/call", "ping"):
            await client.say({"id": 9, "method": method, "params": ACT})
            refused = await client.hear(9)
            assert "in use" in refused["error"]["message"]
        await client.call("9")  # another id than 9
        await person.approve(approval)
        assert (await client.hear(9))["result"]["content"][0]["text"] == "ran"
        assert len(calls(machine)) == 1


async def test_a_call_that_is_cancelled_while_it_is_held_is_withdrawn(machine: Machine) -> None:
    async with piped(machine) as client, Person(machine) as person:
        await client.call(9)
        approval = await client.asked(person)
        await client.say({"method": "notifications/cancelled", "params": {"requestId": 9}})
        await person.status(approval["id"], "cancelled")
        await client.say({"id": 6, "method": "ping"})
        await client.hear(6)
        assert calls(machine) == []


async def test_a_server_that_asks_during_an_approved_call_is_told_that_nobody_may_answer(
    machine: Machine,
) -> None:
    async with piped(machine, "ask") as client, Person(machine) as person:
        await client.call(9)
        approval = await client.asked(person)
        await person.approve(approval)
        await client.hear(9)
        assert not [message for message in client.heard if message.get("method")]
        lines = (machine.folder / "lines").read_text().splitlines()
        [said] = [json.loads(line) for line in lines if '"q1"' in line]
        assert "nobody here may answer" in said["error"]["message"]


async def test_a_method_that_is_neither_call_nor_listing_needs_a_policy_that_allows_it(
    machine: Machine,
) -> None:
    async with piped(machine) as client:
        await client.say({"id": 5, "method": "resources/read", "params": {"uri": "file:///x"}})
        assert "is not offered" in (await client.hear(5))["error"]["message"]
        assert "resources/read" not in (machine.folder / "lines").read_text()


async def test_what_is_sent_are_the_approved_arguments_and_no_byte_of_the_client(
    machine: Machine,
) -> None:
    async with piped(machine) as client, Person(machine) as person:
        line = (
            '{ "id":9, "method":"tools/call", "jsonrpc":"2.0", "extra":1, "params":{"name":"act",'
            '"arguments":{"z":1000000000000000001,"a":1.50},"_meta":{"x":1},"more":2}}'
        )
        await client.say(line)
        client.arguments = {"z": 10**18 + 1, "a": 1.5}
        approval = await client.asked(person)
        await person.approve(approval)
        await client.hear(9)
        sent = [
            line for line in (machine.folder / "lines").read_text().splitlines() if "act" in line
        ]
        assert len(sent) == 1
        assert '"params":{"arguments":{"a":1.50,"z":1000000000000000001},"name":"act"}' in sent[0]
        assert "extra" not in sent[0]


async def test_a_tool_that_changed_while_its_call_waited_is_not_called(machine: Machine) -> None:
    async with piped(machine, "change") as client, Person(machine) as person:
        await client.call(9)
        approval = await client.asked(person)
        await client.call(8, name="get_note")
        await client.hear(8)
        await person.approve(approval)
        said = await client.hear(9)
        assert "the server changed the tool's definition" in str(said)
        assert [call["params"]["name"] for call in calls(machine)] == ["get_note"]
        await person.status(approval["id"], "cancelled")


async def test_a_call_that_is_cancelled_before_it_is_parked_is_withdrawn_then(
    machine: Machine,
) -> None:
    async with piped(machine) as client, Person(machine) as person:
        note = {"method": "notifications/cancelled", "params": {"requestId": 9}}
        call = {"name": "act", "arguments": client.arguments}
        both: list[dict[str, Any]] = [{"id": 9, "method": "tools/call", "params": call}, note]
        await client.say("\n".join(json.dumps({"jsonrpc": "2.0", **one}) for one in both))
        async with asyncio.timeout(20):
            while not (found := await person.all_of(client.arguments)):
                await asyncio.sleep(0.02)
        await person.status(found[0]["id"], "cancelled")
        assert calls(machine) == []


async def test_once_the_client_has_left_nothing_more_is_sent(machine: Machine) -> None:
    """Also while the server still works on what was sent before."""
    async with piped(machine, "slow") as client, Person(machine) as person:
        await client.call(9)
        await person.approve(await client.asked(person))
        while not calls(machine):
            await asyncio.sleep(0.02)
        client.arguments = {"what": f"{machine.folder} once more"}
        await client.call(10)
        waiting = await client.asked(person)
        assert client.process.stdin is not None
        client.process.stdin.close()
        await asyncio.sleep(0.3)
        await person.approve(waiting)
        await client.process.wait()
        assert len(calls(machine)) == 1
        assert (await person.approval(waiting["id"]))["status"] == "approved"


async def test_an_answer_to_an_earlier_question_is_no_input_to_an_approved_call(
    machine: Machine,
) -> None:
    async with piped(machine, "slow") as client, Person(machine) as person:
        await client.say({"id": 7, "method": "tools/list"})
        await client.hear(7)
        assert client.heard[-2]["method"] == "elicitation/create"
        await client.call(9)
        await person.approve(await client.asked(person))
        while not calls(machine):
            await asyncio.sleep(0.02)
        await client.say({"id": "q1", "result": {"action": "accept", "content": {"pin": 1}}})
        await client.hear(9)
        lines = (machine.folder / "lines").read_text().splitlines()
        [said] = [json.loads(line) for line in lines if '"q1"' in line]
        assert "nobody here may answer" in said["error"]["message"]
