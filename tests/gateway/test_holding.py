"""What a held or released call does not let through beside it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

from approvals.domain.states import Approval
from approvals.errors import Unavailable
from tests.e2e.test_hostile_input import META, mcp
from tests.e2e.upstream import Upstream
from tests.e2e.world import ADMIN, Slowed, World, policy, text, world

if TYPE_CHECKING:
    from starlette.applications import Starlette

pytestmark = pytest.mark.anyio


class HowMuch(BaseModel):
    amount: int


class Asking(Upstream):
    """A server whose `act` asks its client back before it acts."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[str] = []

    def app(self) -> Starlette:
        server = MCPServer("upstream", log_level="ERROR")

        @server.tool(structured_output=False)
        async def act(what: str, ctx: Context[Any, Any]) -> str:
            """Pay."""
            answer = await ctx.elicit("how much?", HowMuch)
            self.answers.append(str(answer))
            return f"paid {what}"

        return server.streamable_http_app()


async def session(w: World, client: httpx2.AsyncClient) -> dict[str, str]:
    """The headers of an open session of the older era, for raw messages."""
    headers = {
        "authorization": f"Bearer {w.keys['bot']}",
        "accept": "application/json, text/event-stream",
    }
    asked = {
        "protocolVersion": "2025-06-18",
        "capabilities": {"elicitation": {}},
        "clientInfo": {"name": "x", "version": "1"},
    }
    opened = await client.post(f"{w.url}/mcp/up", headers=headers, json=rpc("initialize", asked))
    headers["mcp-session-id"] = opened.headers["mcp-session-id"]
    headers["mcp-protocol-version"] = "2025-06-18"
    started = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await client.post(f"{w.url}/mcp/up", headers=headers, json=started)
    return headers


def rpc(method: str, params: dict[str, Any], id_: int = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}


async def test_an_agent_cannot_feed_a_running_approved_call_input_that_nobody_approved(
    tmp_path: Path,
) -> None:
    asking = Asking()
    async with (
        world(tmp_path, upstream=asking, upstream_timeout=timedelta(seconds=3)) as w,
        httpx2.AsyncClient(trust_env=False, timeout=30) as client,
    ):
        headers = await session(w, client)
        body = rpc("tools/call", {"name": "act", "arguments": {"what": "x"}}, 2)
        calling = asyncio.create_task(client.post(f"{w.url}/mcp/up", headers=headers, json=body))
        [approval] = await w.pending()
        await w.approve(approval)
        guess = 0
        while not calling.done():
            result = {"action": "accept", "content": {"amount": 1_000_000}}
            answer = {"jsonrpc": "2.0", "id": guess % 6, "result": result}
            await client.post(f"{w.url}/mcp/up", headers=headers, json=answer)
            guess += 1
        assert guess > 0
        assert "nobody here may answer" in (await calling).text
        assert asking.answers == []
        assert (await w.status(approval["id"]))["release"]["status"] == "failed"


async def test_the_justification_is_not_passed_on(tmp_path: Path) -> None:
    document = policy(hide=[], tools={"look": {"justification": "required"}})
    async with world(tmp_path, document=document) as w:
        meta = {**json.loads(META), "mcp-approvals/justification": "because-of-this"}
        params = {"name": "look", "arguments": {"what": "x"}, "_meta": meta}
        routing = {"mcp_method": "tools/call", "mcp_name": "look"}
        said = await mcp(w, json.dumps(rpc("tools/call", params)).encode(), **routing)
        assert "saw x" in said.text
        [body] = w.upstream.seen
        assert "because-of-this" not in body
        without = {**params, "_meta": json.loads(META)}
        said = await mcp(w, json.dumps(rpc("tools/call", without)).encode(), **routing)
        assert "the policy wants a justification for this call" in said.text
        assert len(w.upstream.seen) == 1


@pytest.mark.parametrize("method", ["Tools/Call", "tools/call ", " TOOLS/CALL", "Resources/Read"])
async def test_a_method_that_a_loose_reader_would_take_for_another_is_refused(
    tmp_path: Path, method: str
) -> None:
    async with world(tmp_path, document=policy(default="allow")) as w:
        params = {"name": "act", "arguments": {"what": "x"}, "_meta": json.loads(META)}
        response = await mcp(w, json.dumps(rpc(method, params)).encode())
        assert response.status_code == 400
        assert "differs only in case" in response.text
        assert w.upstream.calls == 0


async def test_a_freeze_also_stops_requests_that_are_no_tool_calls(tmp_path: Path) -> None:
    async with world(tmp_path, document=policy(default="allow")) as w, w.agent("legacy") as agent:
        assert (await agent.read_resource("note://one")).contents
        body = {"reason": "halt"}
        assert (await w.rest("POST", "/v1/freezes", by="carol", json_body=body)).status_code == 201
        with pytest.raises(Exception, match="calls are frozen by an admin: halt"):
            await agent.read_resource("note://one")
        assert {tool.name for tool in (await agent.list_tools()).tools} >= {"act", "look"}


async def test_what_is_held_for_a_revoked_key_is_not_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        for record in await w.services.identity.list_keys(ADMIN):
            if record.agent == "bot":
                await w.services.identity.revoke_key(ADMIN, record.id)
        await w.approve(approval)
        [ended] = await asyncio.gather(calling, return_exceptions=True)
        assert isinstance(ended, BaseException)
        assert w.upstream.calls == 0
        assert (await w.status(approval["id"]))["status"] == "approved"


async def test_one_agent_has_no_more_than_so_many_requests_held(tmp_path: Path) -> None:
    more = {"agents": {"bot": {"servers": ["up"], "owner": "alice", "max_pending": 20}}}
    async with world(tmp_path, more=more) as w, w.agent() as agent:
        calls = [asyncio.create_task(agent.call_tool("act", {"what": "x"})) for _ in range(110)]
        done, waiting = await asyncio.wait(calls, timeout=4)
        assert (len(done), len(waiting)) == (10, 100)
        assert all(text(call.result()).startswith("NOT EXECUTED YET") for call in done)
        [approval] = await w.pending()
        await w.deny(approval)
        await asyncio.gather(*waiting)


async def test_a_person_who_watches_does_not_keep_a_call_whose_client_left(tmp_path: Path) -> None:
    rule = {"conditions": [], "approval": {"on_requester_gone": "cancel"}}
    document = policy(hide=[], tools={"act": {"require_approval_if": [rule]}})
    async with world(tmp_path, document=document) as w:
        async with w.agent() as agent:
            calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
            [approval] = await w.pending()
            path = f"/v1/approvals/{approval['id']}?wait=20"
            watching = asyncio.create_task(w.rest("GET", path, by="dan"))
            await asyncio.sleep(0.3)
            calling.cancel()
        assert (await watching).json()["status"] == "cancelled"


class Blind(Slowed):
    """The real store, which cannot be read once it is `blind`."""

    def __init__(self) -> None:
        super().__init__("")
        self.blind = False

    async def approval(self, approval_id: str) -> Approval | None:
        if self.blind:
            raise Unavailable("The database does not answer.")
        found: Approval | None = await self._store.approval(approval_id)
        return found


async def test_of_a_held_call_that_cannot_be_read_nobody_says_that_it_did_not_run(
    tmp_path: Path,
) -> None:
    """It may have been approved and sent since it was read."""
    store = Blind()
    async with (
        world(tmp_path, wrap_store=store, hold=timedelta(seconds=1)) as w,
        w.agent("legacy") as agent,
    ):
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        await w.pending()
        store.blind = True
        said = text(await calling)
        assert said.startswith("OUTCOME UNKNOWN: the call was held, and how it stands cannot be")
        store.blind = False
        assert text(await agent.call_tool("act", {"what": "x"})).startswith("NOT EXECUTED YET")
