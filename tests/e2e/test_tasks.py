"""A held call as a task (SEP-2663): its client goes on, the service sends once it is approved."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from approvals.demo.stage import served
from approvals.service.detached import AT_ONCE
from tests.e2e.raw import MODERN, ROUTING, call, post
from tests.e2e.upstream import Upstream
from tests.e2e.world import Broken, World, policy, text, world

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("deployment")]

EXTENSION = "io.modelcontextprotocol/tasks"
META = {
    **MODERN,
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {EXTENSION: {}}},
}


async def test_a_held_call_is_a_task_that_ends_with_the_tools_result(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        task = await begun(w)
        assert task["resultType"] == "task"
        assert task["status"] == "working"
        assert task["pollIntervalMs"] == 5000
        [approval] = await w.pending()
        assert task["taskId"] == approval["id"]
        assert task["statusMessage"].startswith("Waiting for a person until")
        assert (await got(w, task))["status"] == "working"
        assert w.upstream.calls == 0
        await w.approve(approval)
        ended = await ending(w, task)
        assert (ended["resultType"], ended["status"]) == ("complete", "completed")
        assert ended["result"]["content"][0]["text"] == "did x 0"
        assert await got(w, task) == ended
        assert w.upstream.ran == {"x": 1}


async def test_a_refusal_is_a_completed_task_that_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        task = await begun(w)
        [approval] = await w.pending()
        await w.deny(approval, reason="wrong")
        ended = await ending(w, task)
        assert ended["status"] == "completed"
        assert ended["result"]["isError"] is True
        assert ended["result"]["content"][0]["text"].startswith("NOT EXECUTED: a person denied")
    async with world(tmp_path, timeout="1s") as w:
        ended = await ending(w, await begun(w, what="late"))
        assert ended["result"]["content"][0]["text"].startswith("NOT EXECUTED: nobody answered")
        assert w.upstream.calls == 0


async def test_a_cancelled_task_runs_nothing_and_cannot_be_approved(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        task = await begun(w)
        [approval] = await w.pending()
        assert (await about(w, "tasks/cancel", task))["result"] == {"resultType": "complete"}
        assert (await got(w, task))["status"] == "cancelled"
        assert (await w.approve(approval)).status_code == 409
        await asyncio.sleep(1)
        assert w.upstream.calls == 0


async def test_the_same_call_again_is_the_same_task(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        tasks = await asyncio.gather(*(begun(w) for _ in range(10)))
        assert len({task["taskId"] for task in tasks}) == 1
        [approval] = await w.pending()
        await w.approve(approval)
        await ending(w, tasks[0])
        assert w.upstream.ran == {"x": 1}


async def test_a_call_that_a_request_holds_becomes_a_task_of_who_can_have_one(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        held = asyncio.create_task(post(w, ROUTING, call(7, modern=True)))
        [approval] = await w.pending()
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        task = await begun(w)
        assert task["taskId"] == approval["id"]
        await w.approve(approval)
        assert (await ending(w, task))["status"] == "completed"
        assert w.upstream.ran == {"x": 1}


async def test_a_request_and_a_task_both_get_the_one_result(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        task = await begun(w)
        waiting = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        await asyncio.sleep(0.3)
        [approval] = await w.pending()
        await w.approve(approval)
        assert text(await waiting) == "did x 0"
        assert (await ending(w, task))["result"]["content"][0]["text"] == "did x 0"
        assert w.upstream.ran == {"x": 1}


async def test_a_task_goes_on_after_a_restart(tmp_path: Path) -> None:
    upstream = Upstream()
    async with served(upstream.app()) as url:
        more = {"servers": {"up": {"url": f"{url}/mcp", "policy": policy()}}}
        async with world(tmp_path, more=more) as w:
            task = await begun(w)
            [approval] = await w.pending()
        async with world(tmp_path, more=more) as w:
            await w.approve(approval)
            ended = await ending(w, task)
    assert ended["result"]["content"][0]["text"] == "did x 0"
    assert upstream.ran == {"x": 1}


async def test_what_a_task_gave_is_not_given_to_the_next_identical_call(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        task = await begun(w)
        [approval] = await w.pending()
        await w.approve(approval)
        await ending(w, task)
        again = await begun(w)
        assert again["resultType"] == "task"
        assert again["taskId"] != task["taskId"]


async def test_a_cancel_that_could_not_be_written_is_not_acknowledged(tmp_path: Path) -> None:
    async with world(tmp_path, wrap_store=Broken("cancelled")) as w:
        task = await begun(w)
        assert "error" in await about(w, "tasks/cancel", task)
        assert (await got(w, task))["status"] == "working"


async def test_a_request_that_leaves_takes_no_task_away(tmp_path: Path) -> None:
    rule = {"conditions": [], "approval": {"on_requester_gone": "cancel"}}
    document = policy(tools={"act": {"require_approval_if": [rule]}})
    async with world(tmp_path, document=document) as w:
        leaving = asyncio.create_task(post(w, ROUTING, call(7, modern=True)))
        await w.pending()
        task = await begun(w)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await asyncio.sleep(0.5)
        [approval] = await w.pending()
        await w.approve(approval)
        assert (await ending(w, task))["status"] == "completed"
        assert w.upstream.ran == {"x": 1}


async def test_nothing_is_sent_for_an_agent_whose_key_is_revoked(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await begun(w)
        [approval] = await w.pending()
        keys = (await w.rest("GET", "/v1/keys", by="carol")).json()["keys"]
        [key] = [key for key in keys if key["agent"] == "bot"]
        assert (await w.rest("DELETE", f"/v1/keys/{key['id']}", by="carol")).status_code == 204
        await w.approve(approval)
        await asyncio.sleep(2)
        assert w.upstream.calls == 0
        assert (await w.status(approval["id"]))["status"] == "approved"


async def test_tasks_that_cannot_be_sent_keep_no_other_back(tmp_path: Path) -> None:
    upstream = Upstream()
    async with served(upstream.app()) as url:
        servers = {name: {"url": f"{url}/mcp", "policy": policy()} for name in ("up", "second")}
        agents = {"bot": {"servers": ["up", "second"], "owner": "alice", "max_pending": 1000}}
        async with world(tmp_path, more={"servers": servers, "agents": agents}) as w:
            freeze = {"server": "up", "reason": "stop"}
            for n in range(AT_ONCE + 5):
                await begun(w, what=f"stuck {n}")
            stuck = await w.pending(AT_ONCE + 5)
            await w.rest("POST", "/v1/freezes", by="carol", json_body=freeze)
            await asyncio.gather(*(w.approve(approval) for approval in stuck))
            params = {"name": "act", "arguments": {"what": "free"}, "_meta": META}
            said = await request(w, "tools/call", params, name="act", server="second")
            [approval] = await w.pending()
            assert said["result"]["taskId"] == approval["id"]
            await w.approve(approval)
            async with asyncio.timeout(10):
                while not upstream.ran:
                    await asyncio.sleep(0.1)
            assert upstream.ran == {"free": 1}
            elsewhere = await request(w, "tasks/get", {"taskId": approval["id"], "_meta": META})
            assert elsewhere["error"]["code"] == -32602  # it is of the other server


async def test_a_task_is_shown_to_its_own_agent_that_can_have_tasks(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        task = await begun(w)
        said = await about(w, "tasks/get", task, by="other")
        assert said["error"] == {
            "code": -32602,
            "message": "Failed to retrieve task: Task not found",
        }
        assert (await about(w, "tasks/get", {"taskId": "apr_0"}))["error"]["code"] == -32602
        said = await about(w, "tasks/get", task, meta=MODERN)
        assert said["error"]["code"] == -32021
        assert said["error"]["data"] == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
        assert (await about(w, "tasks/update", task))["result"] == {"resultType": "complete"}


async def test_a_task_of_the_server_is_for_the_server(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        said = await about(w, "tasks/get", {"taskId": "theirs"})
        assert said["error"]["code"] == -32601  # this one has none
        assert any('"theirs"' in body for body in w.upstream.said)


async def test_what_is_allowed_runs_at_once_and_is_no_task(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        params = {"name": "look", "arguments": {"what": "x"}, "_meta": META}
        said = await request(w, "tools/call", params, name="look")
        assert said["result"]["content"][0]["text"] == "saw x"


async def test_the_extension_is_offered_beside_what_the_server_offers(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        said = (await request(w, "server/discover", {"_meta": META}))["result"]
        assert said["capabilities"]["extensions"] == {EXTENSION: {}}
        assert "tools" in said["capabilities"]
        assert said["supportedVersions"] == ["2026-07-28"]


async def begun(w: World, *, what: str = "x") -> dict[str, Any]:
    """The task that a call of `act` is answered with."""
    params = {"name": "act", "arguments": {"what": what}, "_meta": META}
    task: dict[str, Any] = (await request(w, "tools/call", params, name="act"))["result"]
    return task


async def got(w: World, task: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await about(w, "tasks/get", task))["result"]
    return found


async def ending(w: World, task: dict[str, Any]) -> dict[str, Any]:
    """The task once it has ended."""
    async with asyncio.timeout(15):
        while (found := await got(w, task))["status"] == "working":
            await asyncio.sleep(0.05)
    return found


async def about(
    w: World,
    method: str,
    task: dict[str, Any],
    *,
    by: str = "bot",
    meta: dict[str, Any] | None = None,
) -> dict[str, Any]:
    params = {"taskId": task["taskId"], "_meta": meta or META}
    if method == "tasks/update":
        params["inputResponses"] = {}
    return await request(w, method, params, name=task["taskId"], by=by)


async def request(
    w: World,
    method: str,
    params: dict[str, Any],
    *,
    name: str | None = None,
    by: str = "bot",
    server: str = "up",
) -> dict[str, Any]:
    """One request of the 2026 era."""
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": method,
        **({"mcp-name": name} if name else {}),
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = await w.rest("POST", f"/mcp/{server}", by=by, json_body=body, headers=headers)
    said: dict[str, Any] = answer.json()
    return said
