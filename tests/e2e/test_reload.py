"""A reload takes the whole file or nothing of it, and `/readyz` tells."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from approvals.demo.stage import served
from tests.e2e.upstream import Upstream
from tests.e2e.world import Slowed, World, text, world

pytestmark = pytest.mark.anyio


def change(folder: Path, **tools: Any) -> None:
    """Give the policy other tools."""
    path = folder / "approvals.yaml"
    whole = json.loads(path.read_text())
    whole["servers"]["up"]["policy"]["tools"] = tools
    path.write_text(json.dumps(whole))


async def reload(w: World, *, by: str = "carol") -> Any:
    return await w.rest("POST", "/v1/policies/reload", by=by, json_body={})


async def configuration(w: World) -> dict[str, Any]:
    found: dict[str, Any] = (await w.rest("GET", "/readyz", by="bob")).json()["configuration"]
    return found


async def test_a_reload_changes_what_the_next_call_meets(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        assert text(await agent.call_tool("look", {"what": "x"})) == "saw x"
        before = await configuration(w)
        change(tmp_path, look={"action": "deny", "reason": "not today"})
        assert text(await agent.call_tool("look", {"what": "x"})) == "saw x"
        assert (await reload(w)).status_code == 200
        said = text(await agent.call_tool("look", {"what": "x"}))
        assert said.startswith("NOT EXECUTED: the policy does not allow this call: not today.")
        after = await configuration(w)
        assert after["hash"] != before["hash"]
        assert (after["file"], after["problems"]) == ("loaded", 0)


async def test_a_bad_file_changes_nothing_and_shows(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        before = await configuration(w)
        change(tmp_path, look={"action": "maybe"}, act={"deny_iff": []})
        refused = await reload(w)
        assert (refused.status_code, refused.json()["code"]) == (422, "configuration_invalid")
        assert "/servers/up/policy/tools/look/action" in refused.json()["detail"]
        assert "did you mean deny_if?" in refused.json()["detail"]
        now = await configuration(w)
        assert now == {**before, "file": "does not load, the older is used", "problems": 2}
        assert text(await agent.call_tool("look", {"what": "x"})) == "saw x"
        change(tmp_path, look={})
        assert (await reload(w)).status_code == 200
        assert (await configuration(w))["problems"] == 0


async def test_a_file_that_asks_for_what_the_environment_lacks_is_not_loaded(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        path = tmp_path / "approvals.yaml"
        whole = json.loads(path.read_text())
        whole["channels"] = {"slack:#desk": {}}
        path.write_text(json.dumps(whole))
        refused = await reload(w)
        assert refused.status_code == 422
        assert "slack:#desk: people are told through Slack" in refused.json()["detail"]


async def test_a_policy_that_now_denies_ends_what_was_approved_under_the_old_one(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        change(tmp_path, act={"action": "deny"})
        await reload(w)
        await w.approve(approval)
        assert text(await calling).startswith("NOT EXECUTED: the policy changed")
        assert w.upstream.calls == 0


async def test_a_policy_that_now_allows_lets_the_approved_call_run_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        change(tmp_path, act={})
        await reload(w)
        await w.approve(approval)
        assert text(await calling) == "did x 0"
        assert w.upstream.ran == {"x": 1}


async def test_a_held_call_is_not_sent_to_a_server_that_has_moved(tmp_path: Path) -> None:
    elsewhere = Upstream()
    async with (
        served(elsewhere.app()) as url,
        world(tmp_path) as w,
        w.agent("legacy") as agent,
    ):
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        await moved(w, tmp_path, url)
        await w.approve(approval)
        await asyncio.gather(calling, return_exceptions=True)
        assert (w.upstream.calls, elsewhere.calls) == (0, 0)
        assert (await w.status(approval["id"]))["status"] == "approved"


async def moved(w: World, folder: Path, url: str) -> None:
    path = folder / "approvals.yaml"
    whole = json.loads(path.read_text())
    whole["servers"]["up"]["url"] = f"{url}/mcp"
    path.write_text(json.dumps(whole))
    assert (await reload(w)).status_code == 200


async def test_a_server_that_moves_while_sent_is_being_written_gets_nothing(
    tmp_path: Path,
) -> None:
    elsewhere = Upstream()
    async with (
        served(elsewhere.app()) as url,
        world(tmp_path, wrap_store=Slowed("sent", before=1)) as w,
        w.agent() as agent,
    ):
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        await w.approve(approval)
        await asyncio.sleep(0.4)
        await moved(w, tmp_path, url)
        assert text(await calling).startswith("NOT EXECUTED: the call was approved but could not")
        assert (w.upstream.calls, elsewhere.calls) == (0, 0)


async def test_what_was_approved_for_one_address_is_not_approved_for_another(
    tmp_path: Path,
) -> None:
    elsewhere = Upstream()
    async with served(elsewhere.app()) as url, world(tmp_path, hold=timedelta(seconds=1)) as w:
        async with w.agent() as agent:
            await agent.call_tool("act", {"what": "x"})
            [approval] = await w.pending()
            await w.approve(approval)
        await moved(w, tmp_path, url)
        async with w.agent() as agent:
            said = await agent.call_tool("act", {"what": "x"})
            assert text(said).startswith("NOT EXECUTED YET")
        assert (w.upstream.calls, elsewhere.calls) == (0, 0)
        gone = await w.status(approval["id"])
        assert (gone["status"], gone["status_reason"]) == ("cancelled", "definition_changed")


async def test_a_new_address_is_judged_by_its_own_tools_at_once(tmp_path: Path) -> None:
    elsewhere = Upstream()
    elsewhere.description = "Something else entirely."
    async with served(elsewhere.app()) as url, world(tmp_path, hold=timedelta(seconds=1)) as w:
        async with w.agent() as agent:
            await agent.call_tool("look", {"what": "x"})
        await moved(w, tmp_path, url)
        async with w.agent() as agent:
            await agent.call_tool("act", {"what": "x"})
        [approval] = await w.pending()
        stored = await w.services.store.approval(approval["id"])
        assert stored is not None
        assert stored.call.definition is not None
        assert stored.call.definition.description == "Something else entirely."


async def test_a_policy_that_denies_while_sent_is_being_written_stops_the_call(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, wrap_store=Slowed("sent", before=1)) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        await w.approve(approval)
        await asyncio.sleep(0.4)
        change(tmp_path, act={"action": "deny"})
        await reload(w)
        assert text(await calling).startswith("NOT EXECUTED: the call was approved but could not")
        assert w.upstream.calls == 0
        assert (await w.status(approval["id"]))["release"]["status"] == "not_sent"


async def test_an_agent_or_person_that_leaves_the_file_is_nobody_at_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        path = tmp_path / "approvals.yaml"
        whole = json.loads(path.read_text())
        del whole["agents"]["other"], whole["people"]["dan"]
        path.write_text(json.dumps(whole))
        await reload(w)
        for gone in ("other", "dan"):
            assert (await w.rest("GET", "/v1/approvals", by=gone)).status_code == 401
