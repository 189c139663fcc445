"""The TypeScript SDK behind the gateway, both eras. In `make test-all`: it needs Node.js."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from approvals.service.waiting import Patience
from tests.e2e.everything import ALLOW, CALLS, serving, stable
from tests.e2e.world import World, world
from tests.npm import HOME, node

pytestmark = [pytest.mark.anyio, pytest.mark.long]
both_eras = pytest.mark.parametrize("mode", ["auto", "legacy"])

QUICK = Patience(
    hold=timedelta(seconds=2),
    with_progress=timedelta(seconds=8),
    leg=timedelta(seconds=1),
    progress_every=timedelta(milliseconds=400),
)
ACT = {"name": "act", "arguments": {"what": "x"}}
LIMIT = {"timeout": 3000}
"""Of the client, in milliseconds; it is 60 s by default. Everything here is scaled alike."""
Plan = list[list[Any]]


@pytest.mark.parametrize("transport", ["stdio", "http"])
@both_eras
async def test_every_feature_is_the_same_through_the_gateway(
    tmp_path: Path, mode: str, transport: str
) -> None:
    """Direct it is always HTTP: how the gateway reaches the server must make no difference."""
    plan: Plan = [
        ["listTools", {}, {}],
        ["listResources", {}, {}],
        ["listPrompts", {}, {}],
        ["readResource", {"uri": "demo://resource/static/document/features.md"}, {}],
        ["getPrompt", {"name": "args-prompt", "arguments": {"city": "Bonn"}}, {}],
        *(["callTool", {"name": name, "arguments": CALLS[name]}, {}] for name in CALLS),
    ]
    with serving("http") as (direct, _):
        without = await ran(direct["url"], "", mode, plan)
    with serving(transport) as (entry, _):
        more = {"servers": {"up": {**entry, "policy": ALLOW}}}
        async with world(tmp_path, more=more) as w:
            through = await behind(w, mode, plan)
    assert [stable(one) for one in through["found"]] == [stable(one) for one in without["found"]]
    assert len(without["found"][0]["tools"]) > 12


@both_eras
async def test_a_held_call_ends_with_its_result(tmp_path: Path, mode: str) -> None:
    async with world(tmp_path, patience=QUICK) as w:
        calling = asyncio.create_task(behind(w, mode, [["callTool", ACT, LIMIT]]))
        [approval] = await w.pending()
        await w.approve(approval)
        assert text_of(await calling) == "did x 0"
        assert w.upstream.ran == {"x": 1}


async def test_held_past_its_limit_it_gets_a_clean_pending_result_and_its_retry_attaches(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, patience=QUICK) as w:
        twice = [["callTool", ACT, LIMIT], ["callTool", ACT, LIMIT]]
        calling = asyncio.create_task(behind(w, "legacy", twice))
        [approval] = await w.pending()
        await asyncio.sleep(3)
        await w.approve(approval)
        said = await calling
        assert text_of(said).startswith("NOT EXECUTED YET: this call waits for a person until")
        assert text_of(said, 1) == "did x 0"
        assert w.upstream.ran == {"x": 1}


async def test_leg_by_leg_it_waits_longer_than_one_request_may_take(tmp_path: Path) -> None:
    async with world(tmp_path, patience=QUICK) as w:
        calling = asyncio.create_task(behind(w, "auto", [["callTool", ACT, LIMIT]]))
        [approval] = await w.pending()
        await asyncio.sleep(5)
        await w.approve(approval)
        assert text_of(await calling) == "did x 0"
        assert w.upstream.ran == {"x": 1}


@both_eras
async def test_with_progress_it_waits_longer_than_its_limit(tmp_path: Path, mode: str) -> None:
    options = {**LIMIT, "progress": True, "resetTimeoutOnProgress": True}
    async with world(tmp_path, patience=QUICK) as w:
        calling = asyncio.create_task(behind(w, mode, [["callTool", ACT, options]]))
        [approval] = await w.pending()
        await asyncio.sleep(5)
        await w.approve(approval)
        said = await calling
        assert text_of(said) == "did x 0"
        assert len(said["progress"]) > 5
        assert said["progress"] == sorted(set(said["progress"]))
        assert w.upstream.ran == {"x": 1}


def text_of(said: dict[str, Any], at: int = 0) -> str:
    found = said["found"][at]
    return str(found["content"][0]["text"] if "content" in found else found)


async def behind(w: World, mode: str, plan: Plan, *, lasts: float = 60) -> dict[str, Any]:
    return await ran(f"{w.url}/mcp/up", w.keys["bot"], mode, plan, lasts=lasts)


async def ran(url: str, key: str, mode: str, plan: Plan, *, lasts: float = 60) -> dict[str, Any]:
    """What the client found."""
    script = Path(__file__).with_name("client.mjs")
    process = await asyncio.create_subprocess_exec(
        *(str(node()), str(script), url, key, mode, json.dumps(plan)),
        env={"PATH": os.defpath, "PACKAGES": str(HOME)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(lasts):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-2000:]
    found: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
    return found
