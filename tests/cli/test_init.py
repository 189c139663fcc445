"""`init` and `connect`: from a client's configuration to servers behind the gateway."""

from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from approvals.demo.stage import served
from tests.cli.test_serve import Machine
from tests.e2e.test_git import commits, git, repo
from tests.e2e.upstream import Upstream
from tests.e2e.world import text
from tests.wrap.wrapped import Person

__all__ = ["repo"]

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parent.parent.parent
STDIO = ROOT / "tests" / "e2e" / "stdio_server.py"
GIT = {"command": sys.executable, "args": ["-m", "mcp_server_git"]}
HUSH = "hush-hush"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.terminate()
        made.process.wait(20)


def configured(machine: Machine, servers: dict[str, object], name: str = ".mcp.json") -> None:
    path = machine.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"mcpServers": servers}))


async def test_three_real_servers_get_policies_that_load_and_park_what_acts(
    machine: Machine, repo: Path
) -> None:
    stdio = [str(STDIO), str(machine.folder)]
    async with served(Upstream().app()) as url:
        bearer = {"Authorization": f"Bearer {HUSH}"}
        configured(
            machine,
            {
                "git": GIT,
                "my notes!": {"command": sys.executable, "args": stdio, "env": {"MODE": "x"}},
                "remote": {"type": "http", "url": f"{url}/mcp", "headers": bearer},
            },
        )
        said = await asyncio.to_thread(machine.run, "init")
        assert "git: 12 tools, 7 only read" in said
        assert "my-notes: " in said
        for name in ("git", "my-notes", "remote"):
            checked = await asyncio.to_thread(machine.run, "policy", "check", f"{name}.yaml")
            assert "loads (" in checked
        assert "git_commit → 1 of everyone" in await asyncio.to_thread(
            machine.run, "policy", "check", "git.yaml"
        )
        assert "server remote: " in await asyncio.to_thread(machine.run, "config", "check")
        await asyncio.to_thread(machine.serve)
        await calls(machine, repo)


async def calls(machine: Machine, repo: Path) -> None:
    """Through the gateway: what reads runs, what acts waits."""
    made = await asyncio.to_thread(machine.run, "keys", "create", "--agent", "agent")
    headers = {"authorization": f"Bearer {made.splitlines()[0]}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
        transport = streamable_http_client(f"{machine.url}/mcp/git", http_client=http)
        async with Client(transport) as agent:
            read = await agent.call_tool("git_status", {"repo_path": str(repo)})
            assert "b" in text(read)
            call = {"repo_path": str(repo), "message": "second"}
            acting = asyncio.create_task(agent.call_tool("git_commit", call))
            async with Person(machine) as person:
                [approval] = await person.pending()
                assert (approval["tool"], commits(repo)) == ("git_commit", 1)
                await person.approve(approval)
            assert not (await acting).is_error
            assert commits(repo) == 2
            assert git(repo, "log", "-1", "--format=%s").strip() == "second"


async def test_secrets_go_into_files_that_only_this_user_reads(machine: Machine) -> None:
    env = {"API_KEY": HUSH, "MODE": "fast", "FROM": "${HOME}"}
    configured(machine, {"up": {"command": "/nowhere", "env": env}}, ".cursor/mcp.json")
    said = machine.run("init")
    assert ".cursor/mcp.json: up" in said
    assert "its tools could not be listed" in said
    config = (machine.folder / "approvals.yaml").read_text()
    assert HUSH not in config + said
    assert '"MODE": "fast"' in config
    assert '"FROM": "${HOME}"' in config
    secret = machine.folder / ".approvals-secrets" / "up.API_KEY"
    assert secret.read_text() == HUSH
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert (secret.parent / ".gitignore").read_text() == "*\n"
    assert "policy (ask)" in machine.run("config", "check")


@pytest.mark.parametrize("taken", ["approvals.yaml", "git.yaml"])
async def test_nothing_is_ever_overwritten(machine: Machine, taken: str) -> None:
    configured(machine, {"git": GIT})
    (machine.folder / taken).write_text("mine")
    said = machine.run("init", code=1)
    assert f"{taken} exists already, and nothing is overwritten. Nothing was written." in said
    assert (machine.folder / taken).read_text() == "mine"
    written = {path.name for path in machine.folder.glob("*.yaml")}
    assert written == {taken}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ('{"mcpServers": {}, "mcpServers": {}}', "twice"),
        ('{"other": 1}', "has none of mcpServers, servers, mcp_servers"),
        ('{"mcpServers": {"x": 1}}', "the server x has neither command nor url"),
        ('{"mcpServers": {}}', "There is no server in it"),
        ('{"mcpServers": {"x": {}}}', "the server x has neither"),
        ('{"mcpServers": {"x": {"url": "http://169.254.169.254/mcp"}}}', "/servers/x/url"),
    ],
)
async def test_a_configuration_that_cannot_be_used_is_said_and_nothing_is_written(
    machine: Machine, content: str, said: str
) -> None:
    (machine.folder / ".mcp.json").write_text(content)
    output = machine.run("init", code=1)
    assert said in output
    assert "Traceback" not in output
    assert {path.name for path in machine.folder.iterdir()} <= {".mcp.json", ".local"}


async def test_other_clients_files_are_read_too(machine: Machine) -> None:
    (machine.folder / "config.toml").write_text(
        '[mcp_servers.one]\ncommand = "/nowhere"\nargs = ["a"]\n'
    )
    assert "one: " in machine.run("init", "config.toml")
    (machine.folder / "approvals.yaml").unlink()
    vscode = {"servers": {"two": {"type": "stdio", "command": "/nowhere"}}}
    (machine.folder / "mcp.json").write_text(json.dumps(vscode))
    assert "two: " in machine.run("init", "mcp.json")


async def test_a_server_that_is_wrapped_already_is_taken_as_it_is_without(machine: Machine) -> None:
    configured(machine, {"git": {"command": "approvals", "args": ["wrap", "--", "/nowhere", "x"]}})
    machine.run("init")
    config = (machine.folder / "approvals.yaml").read_text()
    assert 'command: "/nowhere"' in config
    assert 'args: ["x"]' in config


async def test_without_a_file_it_says_which_it_looked_for(machine: Machine) -> None:
    assert "None of .mcp.json, .cursor/mcp.json" in machine.run("init", code=1)


@pytest.mark.parametrize("client", ["claude-code", "cursor", "vscode", "codex", "python"])
async def test_the_configuration_that_is_printed_is_that_of_the_documentation(
    machine: Machine, client: str
) -> None:
    at = ("--url", "http://127.0.0.1:8642", "--key", "agt_x")
    said = machine.run("connect", "exchange", "--client", client, *at)
    documented = (ROOT / "docs" / "clients" / f"{client}.md").read_text()
    assert "agt_x" not in said
    snippet = [line for line in said.splitlines() if not line.startswith("# ")]
    assert "\n".join(["", *snippet, ""]) in documented


def test_the_program_that_is_printed_lists_the_tools(machine: Machine) -> None:
    server = {"command": sys.executable, "args": [str(STDIO), str(machine.folder)]}
    agents = {"bot": {"servers": ["up"]}}
    config = {"servers": {"up": server}, "agents": agents}
    (machine.folder / "approvals.yaml").write_text(json.dumps(config))
    machine.serve()
    key = machine.run("keys", "create", "--agent", "bot").split()[0]
    said = machine.run("connect", "up", "--client", "python")
    done = subprocess.run(
        [sys.executable, "-"],
        input=said,
        env={**machine.environment, "APPROVALS_AGENT_KEY": key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "'act', 'look'" in done.stdout


async def test_an_unknown_client_is_a_usage_error(machine: Machine) -> None:
    said = machine.run("connect", "exchange", "--client", "emacs", code=2)
    assert "claude-code, cursor, vscode, codex, python" in said
