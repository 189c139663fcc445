"""A server from PyPI, `mcp-server-git`, behind the gateway; git counts the commits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import ERAS, World, text, world

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("deployment")]
both_eras = pytest.mark.parametrize("era", ERAS)

POLICY = {
    "version": "1",
    "default": "deny",
    "tools": {
        "git_status": {},
        "git_commit": {"require_approval_if": [{"conditions": []}]},
    },
}
MORE = {
    "servers": {"up": {"command": sys.executable, "args": ["-m", "mcp_server_git"]}},
    "agents": {"bot": {"servers": ["up"], "owner": "alice"}},
}


def git(folder: Path, *command: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *command], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit, and one file staged."""
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "-q")
    git(folder, "config", "user.name", "t")
    git(folder, "config", "user.email", "t@example.com")
    (folder / "a").write_text("a")
    git(folder, "add", "a")
    git(folder, "commit", "-qm", "first")
    (folder / "b").write_text("b")
    git(folder, "add", "b")
    return folder


def commits(repo: Path) -> int:
    return len(git(repo, "log", "--format=%h").split())


def more() -> dict[str, Any]:
    up = {**MORE["servers"]["up"], "policy": POLICY}
    return {**MORE, "servers": {"up": up}}


async def commit(w: World, era: str, repo: Path) -> Any:
    async with w.agent(era) as agent:
        arguments = {"repo_path": str(repo), "message": "second"}
        return await agent.call_tool("git_commit", arguments)


@both_eras
async def test_it_is_committed_once_after_an_approval_and_not_before(
    tmp_path: Path, era: str, repo: Path
) -> None:
    async with world(tmp_path, more=more()) as w:
        calling = asyncio.create_task(commit(w, era, repo))
        [approval] = await w.pending()
        assert commits(repo) == 1
        assert (await w.approve(approval)).status_code == 200
        assert not (await calling).is_error
        assert commits(repo) == 2
        again = await w.approve(approval, by="carol")
        assert again.status_code == 409
        assert commits(repo) == 2


@both_eras
async def test_two_who_wait_for_one_commit_both_learn_of_it(
    tmp_path: Path, era: str, repo: Path
) -> None:
    async with world(tmp_path, more=more()) as w:
        first = asyncio.create_task(commit(w, era, repo))
        [approval] = await w.pending()
        w.url = w.people_url  # the second waits on the other replica
        async with w.agent(era) as agent:
            await agent.call_tool("git_status", {"repo_path": str(repo)})
        second = asyncio.create_task(commit(w, era, repo))
        await asyncio.sleep(1)
        await w.approve(approval)
        said = [text(result) for result in await asyncio.gather(first, second)]
        assert said[0].startswith("Changes committed successfully"), said
        assert said[0] == said[1]
        assert commits(repo) == 2


@both_eras
async def test_a_restart_while_it_is_held_and_a_retry_commit_once(
    tmp_path: Path, era: str, repo: Path
) -> None:
    async with world(tmp_path, more=more()) as w:
        calling = asyncio.create_task(commit(w, era, repo))
        [approval] = await w.pending()
        w.services.waiting.stop()  # what SIGTERM does first
        assert text(await calling).startswith("NOT EXECUTED YET")
    async with world(tmp_path, more=more()) as w:
        retried = asyncio.create_task(commit(w, era, repo))
        [same] = await w.pending()
        assert same["id"] == approval["id"]
        await w.approve(same)
        assert not (await retried).is_error
    assert commits(repo) == 2


@both_eras
@pytest.mark.parametrize("how", ["deny", "timeout", "cancel"])
async def test_nothing_is_committed_without_an_approval(
    tmp_path: Path, era: str, repo: Path, how: str
) -> None:
    async with world(tmp_path, more=more(), timeout="2s" if how == "timeout" else "15m") as w:
        calling = asyncio.create_task(commit(w, era, repo))
        [approval] = await w.pending()
        if how == "deny":
            await w.deny(approval)
        elif how == "cancel":
            path = f"/v1/approvals/{approval['id']}/cancel"
            assert (await w.rest("POST", path, by="carol")).status_code == 200
        assert text(await calling).startswith("NOT EXECUTED: ")
        late = await w.approve(approval)
        assert late.status_code == 409
        assert commits(repo) == 1
