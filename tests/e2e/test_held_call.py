"""One held call with a real MCP client, a real MCP server and a real database, in both eras."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from tests.e2e.world import ERAS, policy, text, world

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("deployment")]
both_eras = pytest.mark.parametrize("era", ERAS)


@both_eras
async def test_an_approved_call_runs_once_and_its_result_comes_back(
    tmp_path: Path, era: str
) -> None:
    async with world(tmp_path) as w, w.agent(era) as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x", "n": 7}))
        [approval] = await w.pending()
        assert w.upstream.calls == 0
        assert (await w.approve(approval)).status_code == 200
        result = await calling
        assert text(result) == "did x 7"
        assert not result.is_error
        assert w.upstream.ran == {"x": 1}
        after = await w.status(approval["id"])
        assert (after["status"], after["release"]["status"]) == ("released", "succeeded")


@both_eras
async def test_a_denied_call_never_reaches_the_server_and_the_reason_reaches_the_agent(
    tmp_path: Path, era: str
) -> None:
    async with world(tmp_path) as w, w.agent(era) as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        assert (await w.deny(approval, reason="wrong order")).status_code == 200
        result = await calling
        assert result.is_error
        assert text(result).startswith('NOT EXECUTED: a person denied this call. act(what "x")')
        assert 'Reason given: "wrong order".' in text(result)
        assert w.upstream.calls == 0


@both_eras
async def test_a_call_that_nobody_answers_is_denied_by_its_timeout(
    tmp_path: Path, era: str
) -> None:
    async with world(tmp_path, timeout="1s") as w, w.agent(era) as agent:
        result = await agent.call_tool("act", {"what": "x"})
        assert result.is_error
        assert text(result).startswith("NOT EXECUTED: nobody answered within 1 second")
        assert w.upstream.calls == 0


@both_eras
async def test_a_call_still_waiting_at_the_end_of_the_hold_is_pending_and_not_lost(
    tmp_path: Path, era: str
) -> None:
    async with world(tmp_path, hold=timedelta(milliseconds=300)) as w, w.agent(era) as agent:
        result = await agent.call_tool("act", {"what": "x"})
        assert result.is_error
        assert text(result).startswith("NOT EXECUTED YET: this call waits for a person until")
        [approval] = await w.pending()
        assert f"A person decides at http://127.0.0.1:8642/a/{approval['id']} " in text(result)
        assert "link=" not in text(result)
        assert result.meta is not None
        assert result.meta["mcp-approvals/call"]["code"] == "pending"
        [approval] = await w.pending()
        assert approval["status"] == "pending"


@both_eras
async def test_allowed_calls_pass_and_denied_and_hidden_ones_do_not(
    tmp_path: Path, era: str
) -> None:
    async with world(tmp_path) as w, w.agent(era) as agent:
        assert text(await agent.call_tool("look", {"what": "x"})) == "saw x"
        with pytest.raises(Exception, match="Unknown tool: hidden_act"):
            await agent.call_tool("hidden_act", {"what": "x"})
        with pytest.raises(Exception, match="Unknown tool: no_such_tool"):
            await agent.call_tool("no_such_tool", {"what": "x"})
        assert w.upstream.calls == 0


@both_eras
async def test_hidden_tools_are_not_listed(tmp_path: Path, era: str) -> None:
    async with world(tmp_path) as w, w.agent(era) as agent:
        names = [tool.name for tool in (await agent.list_tools()).tools]
        assert names == ["act", "look", "break_it", "\u8f6c\u8d26"]


async def test_a_listed_tool_that_no_policy_names_is_blocked_with_a_reason(
    tmp_path: Path,
) -> None:
    document = policy(tools={})
    async with world(tmp_path, document=document) as w, w.agent() as agent:
        result = await agent.call_tool("look", {"what": "x"})
        assert text(result) == (
            "NOT EXECUTED: the policy does not allow this call: the tool is not listed in it. "
            "Retrying will not help."
        )
        assert result.meta is not None
        assert result.meta["mcp-approvals/call"]["rule"] == "(default deny)"


async def test_a_tool_that_fails_after_approval_answers_with_its_own_error(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("break_it", {"what": "x"}))
        [approval] = await w.pending()
        await w.approve(approval)
        result = await calling
        assert result.is_error
        assert "Error executing tool break_it" in text(result)
        assert (await w.status(approval["id"]))["release"]["status"] == "failed"
        assert w.upstream.ran == {"x": 1}


async def test_arguments_that_do_not_fit_the_tool_bother_nobody(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        result = await agent.call_tool("act", {"n": "seven"})
        assert text(result).startswith("NOT EXECUTED: the arguments do not fit the tool: ")
        assert (await w.rest("GET", "/v1/approvals", by="carol")).json()["approvals"] == []


async def test_what_is_no_tool_call_follows_the_policys_default(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        with pytest.raises(Exception, match="NOT EXECUTED: the policy does not allow"):
            await agent.read_resource("note://one")
        assert [r.name for r in (await agent.list_resources()).resources] == ["note"]
    async with world(tmp_path, document=policy(default="allow")) as w, w.agent() as agent:
        assert (await agent.read_resource("note://one")).contents


async def test_the_agents_key_never_reaches_the_server(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        await agent.call_tool("look", {"what": "x"})
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        await w.approve(approval)
        await calling
        assert w.upstream.headers
        for headers in w.upstream.headers:
            assert "authorization" not in headers
            assert w.keys["bot"] not in str(headers)
