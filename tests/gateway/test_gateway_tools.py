"""`approval_wait` and `approval_status`: an agent asks for its held call by its id."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.raw import asked
from tests.e2e.world import ERAS, World, text, world

pytestmark = pytest.mark.anyio
both_eras = pytest.mark.parametrize("era", ERAS)
NAMES = {"approval_wait", "approval_status"}
MORE: dict[str, Any] = {
    "agents": {
        "bot": {"servers": ["up"], "owner": "alice", "gateway_tools": True},
        "other": {"servers": ["up"], "owner": "alice", "gateway_tools": True},
        "plain": {"servers": ["up"], "owner": "alice"},
    }
}
SHORT = timedelta(milliseconds=200)


@both_eras
async def test_only_an_agent_whose_entry_says_so_has_these_tools(tmp_path: Path, era: str) -> None:
    async with world(tmp_path, more=MORE) as w:
        async with w.agent(era) as agent:
            assert {tool.name for tool in (await agent.list_tools()).tools} >= NAMES
        async with w.agent(era, key="plain") as plain:
            assert not {tool.name for tool in (await plain.list_tools()).tools} & NAMES
            with pytest.raises(Exception, match="Unknown tool: approval_wait"):
                await plain.call_tool("approval_wait", {"approval_id": "apr_1"})


@both_eras
async def test_the_status_of_a_held_call_is_told_without_waiting(tmp_path: Path, era: str) -> None:
    async with world(tmp_path, more=MORE, hold=SHORT) as w, w.agent(era) as agent:
        await agent.call_tool("act", {"what": "x"})
        [approval] = await w.pending()
        about = {"approval_id": approval["id"]}
        said = await agent.call_tool("approval_status", about)
        assert text(said).startswith("NOT EXECUTED YET: this call waits for a person until")
        assert said.structured_content is not None
        assert said.structured_content["status"] == "pending"
        await w.deny(approval)
        said = await agent.call_tool("approval_status", about)
        assert text(said).startswith("NOT EXECUTED: a person denied this call.")


@both_eras
async def test_waiting_by_id_ends_with_the_result_of_the_call(tmp_path: Path, era: str) -> None:
    async with world(tmp_path, more=MORE) as w, w.agent(era) as agent:
        given_up = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        waiting = asyncio.create_task(
            agent.call_tool("approval_wait", {"approval_id": approval["id"]})
        )
        await asyncio.sleep(0.3)
        await w.approve(approval)
        assert text(await waiting) == "did x 0"
        assert text(await given_up) == "did x 0"
        assert w.upstream.ran == {"x": 1}


@both_eras
async def test_waiting_alone_sends_the_call_once_it_is_approved(tmp_path: Path, era: str) -> None:
    async with world(tmp_path, more=MORE) as w, w.agent(era) as agent:
        approval = await held(w, era)
        await w.approve(approval)
        about = {"approval_id": approval["id"]}
        assert text(await agent.call_tool("approval_wait", about)) == "did x 0"
        assert text(await agent.call_tool("approval_wait", about)) == "did x 0"
        said = await agent.call_tool("approval_status", about)
        assert text(said).startswith("EXECUTED: the call was approved and ran (succeeded).")
        assert w.upstream.ran == {"x": 1}


async def test_a_call_of_another_agent_is_not_found(tmp_path: Path) -> None:
    async with world(tmp_path, more=MORE) as w, w.agent(key="other") as other:
        approval = await held(w, "legacy")
        for name in sorted(NAMES):
            for id_ in (approval["id"], "apr_nothing", "", 7):
                said = await other.call_tool(name, {"approval_id": id_})
                assert "is not the id of a held call of yours here" in text(said)
        assert len(await w.pending()) == 1


@both_eras
async def test_a_call_that_a_program_runs_itself_is_not_sent_by_waiting_for_it(
    tmp_path: Path, era: str
) -> None:
    """The gateway would send it, and the program too."""
    async with world(tmp_path, more=MORE) as w, w.agent(era) as agent:
        approval = await w.parked({"what": "x"})
        await w.approve(approval)
        for name in sorted(NAMES):
            said = await agent.call_tool(name, {"approval_id": approval["id"]})
            assert "is not the id of a held call of yours here" in text(said)
        assert (await w.status(approval["id"]))["status"] == "approved"
        assert w.upstream.calls == 0


async def held(w: World, era: str) -> dict[str, Any]:
    """A held call whose client has gone without a word."""
    calling = await asked(w, era)
    [approval] = await w.pending()
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    return approval
