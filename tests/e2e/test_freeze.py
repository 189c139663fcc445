"""A freeze stops new calls and releases at once, inside the write that would let them go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import Slowed, World, text, world

pytestmark = pytest.mark.anyio


async def freeze(w: World, **scope: str) -> dict[str, Any]:
    body = {"reason": "market halted", **scope}
    response = await w.rest("POST", "/v1/freezes", by="carol", json_body=body)
    assert response.status_code == 201, response.text
    found: dict[str, Any] = response.json()
    return found


async def thaw(w: World, frozen: dict[str, Any]) -> None:
    response = await w.rest("DELETE", f"/v1/freezes/{frozen['id']}", by="carol")
    assert response.status_code == 204


@pytest.mark.parametrize("scope", [{}, {"server": "up"}, {"agent": "bot"}])
async def test_while_frozen_no_call_runs_and_nobody_is_asked(
    tmp_path: Path, scope: dict[str, str]
) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        frozen = await freeze(w, **scope)
        for tool in ("act", "look"):
            result = await agent.call_tool(tool, {"what": "x"})
            assert text(result).startswith("NOT EXECUTED: calls are frozen by an admin: market")
        assert (await w.create({"what": "x"})).json()["refusal"]["code"] == "frozen"
        assert w.upstream.seen == []
        assert (await w.rest("GET", "/v1/approvals", by="carol")).json()["approvals"] == []
        await thaw(w, frozen)
        assert text(await agent.call_tool("look", {"what": "x"})) == "saw x"


async def test_a_freeze_of_another_agent_or_server_stops_nothing_here(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        await freeze(w, agent="other")
        await freeze(w, server="up", agent="outsider")
        assert text(await agent.call_tool("look", {"what": "x"})) == "saw x"


async def test_a_hidden_tool_stays_unknown_while_frozen(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        await freeze(w)
        with pytest.raises(Exception, match="Unknown tool: hidden_act"):
            await agent.call_tool("hidden_act", {"what": "x"})


async def test_an_approved_call_is_not_sent_while_frozen_and_is_sent_after(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        frozen = await freeze(w)
        assert (await w.approve(approval)).status_code == 200  # people may still decide
        said = text(await calling)
        assert said.startswith("NOT EXECUTED: calls are frozen by an admin: market halted.")
        assert w.upstream.calls == 0
        assert (await w.status(approval["id"]))["status"] == "approved"
        again = await agent.call_tool("act", {"what": "x"})
        assert text(again).startswith("NOT EXECUTED: calls are frozen")
        await thaw(w, frozen)
        assert text(await agent.call_tool("act", {"what": "x"})) == "did x 0"
        assert w.upstream.ran == {"x": 1}


async def test_a_freeze_that_falls_between_judging_and_sending_holds(tmp_path: Path) -> None:
    slowed = Slowed("sent", before=0.5)
    async with world(tmp_path, wrap_store=slowed) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        await w.approve(approval)
        await asyncio.sleep(0.2)
        frozen = await freeze(w)
        assert frozen["sent"] == []
        assert text(await calling).startswith("NOT EXECUTED: calls are frozen")
        assert w.upstream.calls == 0


async def test_what_was_already_sent_is_listed_and_comes_to_its_end(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        w.upstream.pause.clear()
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        await w.approve(approval)
        async with asyncio.timeout(10):
            while w.upstream.calls == 0:
                await asyncio.sleep(0.02)
        assert (await freeze(w))["sent"] == [approval["id"]]
        w.upstream.pause.set()
        assert text(await calling) == "did x 0"


async def test_a_program_may_not_release_while_frozen(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked()
        await w.approve(approval)
        frozen = await freeze(w)
        body = {"release_token": "token-of-the-program", "digest": approval["digest"]}
        path = f"/v1/approvals/{approval['id']}/release"
        refused = await w.rest("POST", path, by="bot", json_body=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "frozen")
        await thaw(w, frozen)
        assert (await w.rest("POST", path, by="bot", json_body=body)).status_code == 200


async def test_freezes_are_in_the_audit_listed_and_survive_a_restart(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        frozen = await freeze(w, agent="bot")
    async with world(tmp_path) as w:
        assert (await w.create({"what": "x"})).json()["refusal"]["code"] == "frozen"
        [listed] = (await w.rest("GET", "/v1/freezes", by="bob")).json()["freezes"]
        assert (listed["id"], listed["by"], listed["agent"]) == (frozen["id"], "carol", "bot")
        await thaw(w, frozen)
        gone = await w.rest("DELETE", f"/v1/freezes/{frozen['id']}", by="carol")
        assert gone.status_code == 404
        assert (await w.create({"what": "x"})).status_code == 201


async def test_a_name_that_does_not_exist_is_refused_for_it_would_stop_nothing(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        for scope in ({"server": "upp"}, {"agent": "bott"}):
            body = {"reason": "x", **scope}
            response = await w.rest("POST", "/v1/freezes", by="carol", json_body=body)
            assert response.status_code == 422


async def test_a_freeze_is_announced_in_the_log_in_one_visible_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path) as w:
        await freeze(w, reason="halted\n2026 carol thawed \u202eeverything", agent="bot")
    [said] = [r.getMessage() for r in caplog.records if r.name == "approvals.notice"]
    assert said == r"carol froze agent bot: halted\u000a2026 carol thawed \u202eeverything"
