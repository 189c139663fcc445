"""A server that is started as a process: the same promises, over standard streams."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult, TextResourceContents

from tests.e2e.world import ERAS, World, policy, text, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mcp_types import ElicitRequestParams

pytestmark = pytest.mark.anyio
both_eras = pytest.mark.parametrize("era", ERAS)

SERVER = Path(__file__).with_name("stdio_server.py")
FREE = ("look", "get_note", "large", "slow", "pause", "ask", "environment")
TOOLS = {**{name: {} for name in FREE}, "act": policy()["tools"]["act"]}


def started(folder: Path, **more: Any) -> dict[str, Any]:
    """Further keys of approvals.yaml: the server `up` is a process."""
    entry = {
        "command": sys.executable,
        "args": [str(SERVER), str(folder)],
        "policy": policy(tools=TOOLS, default="allow"),
        **more,
    }
    return {"servers": {"up": entry}}


def lines(folder: Path, name: str) -> list[str]:
    file = folder / name
    return file.read_text().split() if file.exists() else []


@both_eras
async def test_an_approved_call_runs_once(tmp_path: Path, era: str) -> None:
    async with world(tmp_path, more=started(tmp_path)) as w, w.agent(era) as agent:
        result = await approved(w, agent, {"what": "x", "n": 7})
        assert text(result) == "did x 7"
        assert lines(tmp_path, "ran") == ["x"]


@both_eras
async def test_a_denied_call_never_reaches_the_process(tmp_path: Path, era: str) -> None:
    async with world(tmp_path, more=started(tmp_path)) as w, w.agent(era) as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        await w.deny(approval)
        assert text(await calling).startswith("NOT EXECUTED: a person denied this call.")
        assert lines(tmp_path, "ran") == []


@both_eras
async def test_all_clients_of_a_kind_share_one_process_and_get_their_own_answers(
    tmp_path: Path, era: str
) -> None:
    async with world(tmp_path, more=started(tmp_path)) as w:
        async with w.agent(era) as one, w.agent(era, key="other") as two:
            asked = [(agent, f"{at}") for at in range(20) for agent in (one, two)]
            said = await asyncio.gather(*(a.call_tool("look", {"what": x}) for a, x in asked))
        assert [text(result) for result in said] == [f"saw {what}" for _, what in asked]
    assert len(lines(tmp_path, "starts")) == 1


@both_eras
async def test_lists_resources_and_progress_pass_through(tmp_path: Path, era: str) -> None:
    async with world(tmp_path, more=started(tmp_path)) as w, w.agent(era) as agent:
        listed = {tool.name for tool in (await agent.list_tools()).tools}
        assert listed == {"act", *FREE}
        [content] = (await agent.read_resource("note://one")).contents
        assert isinstance(content, TextResourceContents)
        assert content.text == "noted"
        told: list[float] = []

        async def tell(
            progress: float, total: float | None = None, message: str | None = None
        ) -> None:
            assert total == 3
            assert message is not None
            told.append(progress)

        result = await agent.call_tool("slow", {"steps": 3}, progress_callback=tell)
        assert text(result) == "slow, but done"
        assert told == [0, 1, 2]


@both_eras
async def test_a_line_of_a_mebibyte_passes(tmp_path: Path, era: str) -> None:
    async with world(tmp_path, more=started(tmp_path)) as w, w.agent(era) as agent:
        result = await agent.call_tool("large", {"size": 1 << 20})
        assert text(result) == "x" * (1 << 20)


@both_eras
async def test_a_process_that_dies_in_a_sent_call_leaves_the_outcome_unknown_and_is_started_again(
    tmp_path: Path, era: str
) -> None:
    async with world(tmp_path, more=started(tmp_path)) as w, w.agent(era) as agent:
        result = await approved(w, agent, {"what": "die"})
        assert text(result).startswith("OUTCOME UNKNOWN: the call was approved and sent")
        assert lines(tmp_path, "ran") == ["die"]
        assert text(await agent.call_tool("look", {"what": "y"})) == "saw y"
        assert len(lines(tmp_path, "starts")) == 2
        assert lines(tmp_path, "ran") == ["die"]


async def test_the_server_may_ask_the_one_client_whose_call_runs(tmp_path: Path) -> None:
    async with world(tmp_path, more=started(tmp_path)) as w, asking(w, "bot") as agent:
        assert text(await agent.call_tool("ask", {})) == "hello bot"


async def test_a_question_that_could_be_meant_for_two_clients_is_given_to_none(
    tmp_path: Path,
) -> None:
    more = started(tmp_path)
    async with world(tmp_path, more=more) as w, asking(w, "bot") as one, asking(w, "other") as two:
        busy = asyncio.create_task(one.call_tool("pause", {"seconds": 3}))
        await asyncio.sleep(0.5)
        assert text(await two.call_tool("ask", {})).startswith("refused: ")
        assert text(await busy) == "paused 3.0"
    assert len(lines(tmp_path, "starts")) == 1


async def test_while_an_approved_call_runs_no_client_is_asked(tmp_path: Path) -> None:
    tools = {**TOOLS, "ask": policy()["tools"]["act"]}
    more = started(tmp_path, policy=policy(tools=tools, default="allow"))
    async with world(tmp_path, more=more) as w, asking(w, "bot") as agent:
        calling = asyncio.create_task(agent.call_tool("ask", {}))
        [approval] = await w.pending()
        await w.approve(approval)
        assert text(await calling).startswith("refused: ")


async def test_the_process_is_not_given_the_variables_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPROVALS_SECRET_KEY", "s" * 32)
    more = started(tmp_path, env={"API_KEY": "k"})
    async with world(tmp_path, more=more) as w, w.agent() as agent:
        names = text(await agent.call_tool("environment", {})).split()
        assert "API_KEY" in names
        assert not [name for name in names if name.startswith("APPROVALS_")]


async def test_a_server_that_cannot_be_started_refuses_in_a_sentence(tmp_path: Path) -> None:
    async with world(tmp_path, more=started(tmp_path, command="/no/such/server")) as w:
        answer = await initialize(w)
        assert answer.status_code == 503
        assert answer.json()["error"]["message"].startswith("The server behind the gateway does")


async def test_a_server_that_ends_at_once_is_left_alone_for_a_while(tmp_path: Path) -> None:
    more = started(tmp_path, args=["-c", f"open({str(tmp_path / 'starts')!r}, 'a').write('x\\n')"])
    async with world(tmp_path, more=more) as w:
        said = [(await initialize(w)).json()["error"]["message"] for _ in range(5)]
    assert said[0] == said[1] == "The server behind the gateway does not start."
    assert set(said[2:]) == {"The server behind the gateway ended; it starts again in 1 s."}
    assert lines(tmp_path, "starts") == ["x", "x"]


async def initialize(w: World) -> httpx2.Response:
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    return await w.rest("POST", "/mcp/up", by="bot", json_body=body)


@both_eras
async def test_a_sent_call_that_hangs_ends_as_unknown_and_others_go_on(
    tmp_path: Path, era: str
) -> None:
    more = started(tmp_path)
    soon = timedelta(seconds=2)
    async with world(tmp_path, more=more, upstream_timeout=soon) as w, w.agent(era) as agent:
        result = await approved(w, agent, {"what": "hang"})
        assert text(result).startswith("OUTCOME UNKNOWN")
        assert text(await agent.call_tool("look", {"what": "y"})) == "saw y"
    assert lines(tmp_path, "ran") == ["hang"]
    assert len(lines(tmp_path, "starts")) == 1


@both_eras
async def test_a_reload_that_changes_how_it_is_started_starts_another(
    tmp_path: Path, era: str
) -> None:
    async with world(tmp_path, more=started(tmp_path)) as w, w.agent(era) as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        said = json.loads((tmp_path / "approvals.yaml").read_text())
        said["servers"]["up"]["args"].append("0.1")
        (tmp_path / "approvals.yaml").write_text(json.dumps(said))
        assert (await w.rest("POST", "/v1/policies/reload", by="carol")).status_code == 200
        await w.approve(approval)
        with contextlib.suppress(Exception):  # its session is gone, in the older era
            assert "NOT EXECUTED" in text(await calling)
        assert lines(tmp_path, "ran") == []
    async with world(tmp_path, more=said) as w, w.agent(era) as agent:
        assert text(await agent.call_tool("look", {"what": "y"})) == "saw y"


async def test_at_its_end_the_service_stops_what_it_started(tmp_path: Path) -> None:
    async with world(tmp_path, more=started(tmp_path)) as w, w.agent() as agent:
        await agent.call_tool("look", {"what": "y"})
        [pid] = lines(tmp_path, "starts")
        os.kill(int(pid), 0)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


@asynccontextmanager
async def asking(w: World, key: str) -> AsyncIterator[Client]:
    """A client whose person says their name when asked, over a session."""

    async def answer(context: object, params: ElicitRequestParams) -> ElicitResult:
        del context, params
        w.asked.append(key)
        return ElicitResult(action="accept", content={"name": key})

    headers = {"authorization": f"Bearer {w.keys[key]}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
        transport = streamable_http_client(f"{w.url}/mcp/up", http_client=http)
        async with Client(transport, mode="legacy", elicitation_callback=answer) as client:
            yield client


async def approved(w: World, agent: Client, arguments: dict[str, object]) -> Any:
    """The result of a call of `act` that somebody approves."""
    calling = asyncio.create_task(agent.call_tool("act", arguments))
    [approval] = await w.pending()
    assert (await w.approve(approval)).status_code == 200
    return await calling
