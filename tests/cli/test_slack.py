"""`approvals slack`: what makes the app, and what says that it works."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.slack.desk import desk

APPROVALS = str(Path(sys.executable).with_name("approvals"))


async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        APPROVALS,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **environment},  # noqa: TID251 (to find python)
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.anyio
async def test_the_manifest_is_for_the_way_in_which_clicks_come(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    code, plain, _ = await run("slack", "manifest", **home)
    over_socket = json.loads(plain)
    assert code == 0
    assert over_socket["settings"]["socket_mode_enabled"] is True
    assert "request_url" not in over_socket["settings"]["interactivity"]
    assert over_socket["oauth_config"]["scopes"]["bot"] == ["chat:write", "chat:write.public"]
    public = {"APPROVALS_PUBLIC_URL": "https://approvals.example"}
    _, signed, _ = await run("slack", "manifest", **home, **public)
    settings = json.loads(signed)["settings"]
    assert settings["socket_mode_enabled"] is False
    assert settings["interactivity"] == {
        "is_enabled": True,
        "request_url": "https://approvals.example/slack/interactions",
    }


@pytest.mark.anyio
async def test_a_sample_is_posted_by_an_admin_and_what_slack_says_is_printed(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as d:
        reach = {"HOME": str(tmp_path), "APPROVALS_URL": d.w.people_url}
        key = {"APPROVALS_KEY": d.w.keys["carol"]}
        code, out, _ = await run("slack", "test", "trading", **reach, **key)
        assert (code, "Posted in #trading." in out) == (0, True)
        [sample] = d.slack.cards
        assert list(sample.buttons) == ["try"]
        code, _, err = await run("slack", "test", "#nowhere", **reach, **key)
        assert (code, "Slack refused: channel_not_found" in err) == (1, True)
        bob = {"APPROVALS_KEY": d.w.keys["bob"]}
        code, _, err = await run("slack", "test", "#trading", **reach, **bob)
        assert (code, "Only an admin does this." in err) == (1, True)
