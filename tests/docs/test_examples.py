"""Every program in examples/ runs against a real service."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.e2e.world import World, policy, world

pytestmark = pytest.mark.anyio
PROGRAM = Path(__file__).parent.parent.parent / "examples" / "program.py"
SHOP = {
    "servers": {
        "shop": {
            "url": "http://127.0.0.1:9/mcp",
            "policy": policy(tools={"delete": {"require_approval_if": [{"conditions": []}]}}),
        }
    },
    "agents": {"bot": {"servers": ["shop"], "owner": "alice"}},
}


async def started(w: World) -> asyncio.subprocess.Process:
    environment = {"APPROVALS_URL": w.url, "APPROVALS_KEY": w.keys["bot"]}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        PROGRAM,
        "everything",
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )


async def test_the_program_deletes_once_it_may(tmp_path: Path) -> None:
    async with world(tmp_path, more=SHOP) as w:
        program = await started(w)
        [approval] = await w.pending()
        await w.approve(approval)
        output, _ = await program.communicate()
        assert (program.returncode, output) == (0, b"deleted everything\n")
        assert (await w.status(approval["id"]))["release"]["status"] == "succeeded"


async def test_the_program_does_not_delete_when_it_may_not(tmp_path: Path) -> None:
    async with world(tmp_path, more=SHOP) as w:
        program = await started(w)
        [approval] = await w.pending()
        await w.deny(approval, reason="not everything")
        output, _ = await program.communicate()
        assert program.returncode == 1
        assert output.startswith(b"NOT EXECUTED: a person denied this call.")
        assert b"not everything" in output
