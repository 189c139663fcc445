"""A wrapped server: its calls wait for a person, and run once; without a service nothing runs."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from mcp import MCPError

from approvals.cli.wrap.names import server_name
from tests.cli.test_serve import Machine
from tests.e2e.world import ERAS, text
from tests.wrap.wrapped import SERVER, Person, ran, wrapped

pytestmark = pytest.mark.anyio
NOT_RUNNING = "NOT EXECUTED: approvals is not running. Start it with: approvals serve"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.terminate()
        made.process.wait(20)


@pytest.mark.parametrize("era", ERAS)
async def test_a_call_of_a_wrapped_server_waits_for_a_person_and_runs_once(
    machine: Machine, era: str
) -> None:
    """No configuration at all: the built-in policy lets what only reads run."""
    machine.serve()
    async with Person(machine) as person, wrapped(machine, mode=era) as agent:
        assert "saw x" in text(await agent.call_tool("get_note", {"what": "x"}))
        call = asyncio.create_task(agent.call_tool("act", {"what": "x", "n": 7}))
        [approval] = await person.pending()
        assert approval["agent"]["name"].startswith("up@")
        assert (approval["executor"], approval["arguments"]) == ("caller", {"what": "x", "n": 7})
        assert ran(machine) == []
        await person.approve(approval)
        assert "did x 7" in text(await call)
        assert ran(machine) == ["x"]
        await person.status(approval["id"], "succeeded")


async def test_a_denied_call_never_reaches_the_server_and_the_agent_reads_why(
    machine: Machine,
) -> None:
    machine.serve()
    async with Person(machine) as person, wrapped(machine) as agent:
        call = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await person.pending()
        await person.deny(approval, "not today")
        said = text(await call)
        assert said.startswith("NOT EXECUTED: a person denied this call.")
        assert "not today" in said
        assert ran(machine) == []


async def test_without_a_service_every_call_is_refused_and_works_once_it_is_started(
    machine: Machine,
) -> None:
    async with wrapped(machine) as agent:
        assert {tool.name for tool in (await agent.list_tools()).tools} > {"act", "get_note"}
        for tool in ("get_note", "act"):
            result = await agent.call_tool(tool, {"what": "x"})
            assert result.is_error
            assert text(result) == NOT_RUNNING
        assert ran(machine) == []
        machine.serve()
        assert "saw x" in text(await agent.call_tool("get_note", {"what": "x"}))


async def test_with_a_wrong_key_every_call_is_refused(machine: Machine) -> None:
    machine.serve()
    wrong = {"APPROVALS_URL": machine.url + "/", "APPROVALS_KEY": "apk_wrong"}
    async with wrapped(machine, more=wrong) as agent:
        for tool in ("get_note", "act"):
            said = text(await agent.call_tool(tool, {"what": "x"}))
            assert said == "NOT EXECUTED: This key is not known, or it was revoked."
    assert ran(machine) == []


async def test_a_service_that_dies_while_a_call_is_held_refuses_it(machine: Machine) -> None:
    process = machine.serve()
    async with Person(machine) as person, wrapped(machine) as agent:
        call = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        await person.pending()
        process.kill()
        process.wait()
        assert text(await call) == NOT_RUNNING
        assert text(await agent.call_tool("get_note", {"what": "x"})) == NOT_RUNNING
        assert ran(machine) == []
        machine.serve()  # the same call goes on where it was
        again = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await person.pending()
        await person.approve(approval)
        assert "did x" in text(await again)
        assert ran(machine) == ["x"]


async def test_a_service_that_stops_for_a_moment_costs_nothing(machine: Machine) -> None:
    process = machine.serve()
    async with Person(machine) as person, wrapped(machine) as agent:
        call = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await person.pending()
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        machine.serve()
        await person.approve(approval)
        assert "did x" in text(await call)
        assert ran(machine) == ["x"]


async def test_the_same_call_twice_at_once_is_asked_and_sent_once(machine: Machine) -> None:
    machine.serve()
    async with Person(machine) as person, wrapped(machine) as agent:
        calls = [asyncio.create_task(agent.call_tool("act", {"what": "x"})) for _ in range(3)]
        [approval] = await person.pending()
        await asyncio.sleep(0.3)
        await person.approve(approval)
        said = [text(result) for result in await asyncio.gather(*calls)]
        assert sum("did x" in one for one in said) >= 1
        assert ran(machine) == ["x"]


async def test_a_server_that_dies_during_an_approved_call_leaves_its_outcome_unknown(
    machine: Machine,
) -> None:
    machine.serve()
    async with Person(machine) as person, wrapped(machine) as agent:
        call = asyncio.create_task(agent.call_tool("act", {"what": "die"}))
        [approval] = await person.pending()
        await person.approve(approval)
        assert text(await call).startswith("OUTCOME UNKNOWN")
        assert ran(machine) == ["die"]
        assert (await person.approval(approval["id"]))["release"]["status"] == "sent"


async def test_the_policy_of_the_file_holds_for_a_wrapped_server_of_that_name(
    machine: Machine,
) -> None:
    policy = {"version": "1", "default": "deny", "hide": ["large"], "tools": {"act": {}}}
    server = {"url": "http://127.0.0.1:9/mcp", "policy": policy}
    (machine.folder / "approvals.yaml").write_text(json.dumps({"servers": {"up": server}}))
    machine.serve()
    async with wrapped(machine) as agent:
        tools = {tool.name for tool in (await agent.list_tools()).tools}
        assert "large" not in tools
        assert "act" in tools
        assert "did x" in text(await agent.call_tool("act", {"what": "x"}))
        assert "the policy does not allow" in text(await agent.call_tool("get_note", {"what": "x"}))


async def test_the_key_of_a_wrap_asks_for_its_server_only_and_ends_with_it(
    machine: Machine,
) -> None:
    machine.serve()
    async with Person(machine) as person:
        async with wrapped(machine) as agent:
            await agent.call_tool("get_note", {"what": "x"})
            [made] = [key for key in await person.keys() if key["agent"]]
            assert made["agent"].startswith("up@")
            assert made["revoked_at"] is None
        async with asyncio.timeout(10):
            while not [k for k in await person.keys() if k["id"] == made["id"] and k["revoked_at"]]:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("uvx mcp-server-git", "git"),
        ("uvx mcp-server-git --repository /x", "git"),
        ("npx -y @modelcontextprotocol/server-everything@2026.8.31", "everything"),
        ("/opt/venv/bin/mcp-server-git", "git"),
        ("python -m mcp_server_git", "mcp_server_git"),
        ("python3.12 tools/bank.py", "bank"),
        ("node dist/weather-mcp.js", "weather"),
        ("docker run -i --rm mcp/postgres:1.2", "postgres"),
        ("./server", "server"),
        ("python", "python"),
    ],
)
def test_a_server_is_called_by_what_is_its_own_in_the_command(command: str, name: str) -> None:
    assert server_name(command.split()) == name


async def test_the_server_gets_the_clients_variables_and_none_of_ours(machine: Machine) -> None:
    machine.serve()
    more = {"MINE": "x", "APPROVALS_LOG_LEVEL": "INFO"}
    async with Person(machine) as person, wrapped(machine, more=more) as agent:
        call = asyncio.create_task(agent.call_tool("environment", {}))
        [approval] = await person.pending()
        await person.approve(approval)
        names = text(await call).split()
        assert "MINE" in names
        assert not [name for name in names if name.startswith("APPROVALS_")]


async def test_what_is_approved_for_one_command_never_runs_in_another(machine: Machine) -> None:
    """Two wraps of one name: the same call, to two places."""
    machine.serve()
    folders = [machine.folder / "a", machine.folder / "b"]
    for folder in folders:
        folder.mkdir()
    async with (
        Person(machine) as person,
        wrapped(machine, *SERVER, str(folders[0])) as one,
        wrapped(machine, *SERVER, str(folders[1])) as other,
    ):
        first = asyncio.create_task(one.call_tool("act", {"what": "x"}))
        [approval] = await person.pending()
        await person.approve(approval)
        assert "did x" in text(await first)
        second = asyncio.create_task(other.call_tool("act", {"what": "x"}))
        [waiting] = await person.pending()
        assert waiting["digest"] != approval["digest"]
        assert (folders[0] / "ran").read_text() == "x\n"
        assert not (folders[1] / "ran").exists()
        await person.deny(waiting, "not there")
        assert "not there" in text(await second)


async def test_other_requests_pass_where_the_policy_allows_by_default_and_nothing_is_frozen(
    machine: Machine,
) -> None:
    policy = {"version": "1", "default": "allow"}
    server = {"url": "http://127.0.0.1:9/mcp", "policy": policy}
    (machine.folder / "approvals.yaml").write_text(json.dumps({"servers": {"up": server}}))
    machine.serve()
    async with Person(machine) as person, wrapped(machine) as agent:
        assert "noted" in str(await agent.read_resource("note://one"))
        await person.freeze()
        with pytest.raises(MCPError, match="is not offered"):
            await agent.read_resource("note://one")


async def test_a_wrapped_server_is_frozen_by_its_name(machine: Machine) -> None:
    machine.serve()
    async with Person(machine) as person, wrapped(machine) as agent:
        await person.freeze("nowhere", status=422)
        assert "saw x" in text(await agent.call_tool("get_note", {"what": "x"}))
        await person.freeze("up")
        said = text(await agent.call_tool("get_note", {"what": "x"}))
        assert said.startswith("NOT EXECUTED: calls are frozen by an admin")
