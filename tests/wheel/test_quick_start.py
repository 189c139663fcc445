"""The first ten minutes, by script: from a clean environment to a commit that a person let through.

`pytest -s --long tests/wheel/test_quick_start.py` prints the stopwatch.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.docs.pages import HERE, shims
from tests.e2e.test_git import commits, repo
from tests.e2e.test_killed import free_port
from tests.web.chromium import window
from tests.wheel.conftest import run

__all__ = ["repo"]

pytestmark = [pytest.mark.anyio, pytest.mark.long]


class Stopwatch:
    """Seconds since the beginning, step by step."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def lap(self, step: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} s  {step}")


@asynccontextmanager
async def serving(folder: Path, environment: dict[str, str]) -> AsyncIterator[str]:
    """`approvals serve` without any file; the sign-in link that it prints."""
    process = await asyncio.create_subprocess_exec(
        folder / "tools" / "approvals",
        "serve",
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    said = ""
    try:
        async with asyncio.timeout(60):
            while not (found := re.search(r"sign in +(\S+)", said)):
                said += (await process.stdout.readline()).decode()
        yield found.group(1)
    finally:
        process.terminate()
        await process.wait()


async def test_from_nothing_to_a_commit_that_a_person_let_through(
    installed: Path, tmp_path: Path, repo: Path
) -> None:
    made = shims(tmp_path, installed)
    (tmp_path / "tools" / "approvals").symlink_to(installed / "approvals")
    call = {"name": "git_commit", "arguments": {"repo_path": str(repo), "message": "second"}}
    environment = {
        "HOME": str(tmp_path),
        "PATH": f"{made}:{tmp_path / 'tools'}:{os.environ['PATH']}",  # noqa: TID251
        "APPROVALS_PORT": str(free_port()),
        "CLAUDE_RECORD": str(tmp_path / "claude.json"),
        "CLAUDE_CALL": json.dumps(call),
    }
    watch = Stopwatch()
    output = await asyncio.to_thread(run, made / "uvx", "mcp-approvals", "demo", "--yes")
    assert "sent once, exactly as shown" in output
    watch.lap("the demo was seen")
    async with serving(tmp_path, environment) as link, window() as seen:
        watch.lap("the service runs, without a file")
        await seen.page.goto(link)
        await seen.page.get_by_role("button", name="Sign in").click()
        watch.lap("signed in with the link it printed")
        words = ["mcp", "add", "git", "--", "approvals", "wrap", "--", "uvx", "mcp-server-git"]
        claude = await asyncio.create_subprocess_exec(
            sys.executable, HERE / "claude.py", *words, cwd=tmp_path, env=environment
        )
        await seen.page.get_by_role("link", name="commit").click(timeout=60_000)
        watch.lap("an agent's git_commit is held, and on the page")
        assert commits(repo) == 1
        await seen.page.get_by_text(str(repo)).first.wait_for()
        await seen.page.get_by_role("button", name="Approve").click()
        assert await claude.wait() == 0
        watch.lap("approved; it ran, and the agent has its result")
        assert seen.errors == []
    assert commits(repo) == 2
    assert not json.loads((tmp_path / "claude.json").read_text())["error"]
