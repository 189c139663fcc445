"""A rule with `detached: true`: sent once approved, also while no request waits for it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.e2e.test_stdio import lines, started
from tests.e2e.upstream import Upstream
from tests.e2e.world import ERAS, World, policy, text, world

pytestmark = pytest.mark.anyio
both_eras = pytest.mark.parametrize("era", ERAS)

RULE = [{"conditions": [], "approval": {"detached": True}}]
LETS_GO = policy(tools={"act": {"require_approval_if": RULE}})
SHORT = timedelta(seconds=0.3)
ACT = ("act", {"what": "x"})


class OlderOnly:
    """A server that does not speak the era without sessions."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers") or ())
        if headers.get(b"mcp-protocol-version") != b"2026-07-28":
            await self._app(scope, receive, send)
            return
        body = json.dumps(
            {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "Unsupported"}}
        ).encode()
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 400, "headers": kind})
        await send({"type": "http.response.body", "body": body})


class Older(Upstream):
    """The same server, of before the era without sessions."""

    def app(self) -> Starlette:
        app = super().app()
        app.add_middleware(OlderOnly)
        return app


async def has_run(w: World, approval_id: str) -> None:
    async with asyncio.timeout(10):
        while (await w.status(approval_id))["status"] != "released":
            await asyncio.sleep(0.05)
        while (await w.status(approval_id))["release"]["status"] == "sent":
            await asyncio.sleep(0.05)


@both_eras
async def test_it_runs_once_though_its_client_has_gone_and_the_next_one_gets_the_result(
    tmp_path: Path, deployment: str, era: str
) -> None:
    async with world(tmp_path, document=LETS_GO, hold=SHORT) as w:
        async with w.agent(era) as agent:
            assert text(await agent.call_tool(*ACT)).startswith("NOT EXECUTED YET")
        [approval] = await w.pending()
        assert w.upstream.calls == 0
        await w.approve(approval)
        await has_run(w, approval["id"])
        assert w.upstream.ran == {"x": 1}
        async with w.agent(era) as agent:
            assert text(await agent.call_tool(*ACT)) == "did x 0"
        assert w.upstream.ran == {"x": 1}


async def test_with_a_server_of_the_older_era_a_session_is_begun_and_ended(
    tmp_path: Path, deployment: str
) -> None:
    older = Older()
    async with world(tmp_path, document=LETS_GO, hold=SHORT, upstream=older) as w:
        async with w.agent("legacy") as agent:
            assert text(await agent.call_tool(*ACT)).startswith("NOT EXECUTED YET")
        [approval] = await w.pending()
        before = len(older.headers)
        await w.approve(approval)
        await has_run(w, approval["id"])
        assert older.ran == {"x": 1}
        assert (await w.status(approval["id"]))["release"]["status"] == "succeeded"
        await asyncio.sleep(0.3)
        ours = older.headers[before:]
        sessions = {h["mcp-session-id"] for h in ours if "mcp-session-id" in h}
        assert len(sessions) == 1
        [call] = [json.loads(body) for body in older.seen]
        assert call["params"] == {"arguments": {"what": "x"}, "name": "act"}
        asked = await w.http.post(
            f"{w.services.rules.current.servers['up'].address}",
            json={"jsonrpc": "2.0", "id": 1, "method": "ping"},
            headers={
                "mcp-session-id": sessions.pop(),
                "accept": "application/json, text/event-stream",
            },
        )
        assert asked.status_code == 404  # the session is over


async def test_on_standard_streams(tmp_path: Path) -> None:
    more = started(tmp_path, policy=LETS_GO)
    async with world(tmp_path, more=more, hold=SHORT) as w:
        async with w.agent("legacy") as agent:
            assert text(await agent.call_tool(*ACT)).startswith("NOT EXECUTED YET")
        [approval] = await w.pending()
        await w.approve(approval)
        await has_run(w, approval["id"])
        assert lines(tmp_path, "ran") == ["x"]


async def test_what_waits_for_its_client_is_not_detached(tmp_path: Path) -> None:
    async with world(tmp_path, hold=SHORT) as w:
        async with w.agent("legacy") as agent:
            await agent.call_tool(*ACT)
        [approval] = await w.pending()
        await w.approve(approval)
        await asyncio.sleep(1.5)
        assert (await w.status(approval["id"]))["status"] == "approved"
        assert w.upstream.calls == 0


async def test_a_program_sends_for_itself_whatever_the_rule_says(tmp_path: Path) -> None:
    async with world(tmp_path, document=LETS_GO) as w:
        approval = await w.parked()
        await w.approve(approval)
        await asyncio.sleep(1.5)
        assert (await w.status(approval["id"]))["status"] == "approved"
        assert w.upstream.calls == 0


@both_eras
async def test_a_denied_or_withdrawn_call_is_not_sent(tmp_path: Path, era: str) -> None:
    async with world(tmp_path, document=LETS_GO, hold=SHORT) as w, w.agent(era) as agent:
        for what in ("denied", "withdrawn"):
            await agent.call_tool("act", {"what": what})
        found = {a["arguments"]["what"]: a for a in await w.pending(2)}
        await w.deny(found["denied"])
        path = f"/v1/approvals/{found['withdrawn']['id']}/cancel"
        assert (await w.rest("POST", path, by="carol", json_body={})).status_code == 200
        await asyncio.sleep(1.5)
        assert w.upstream.calls == 0
