"""The built wheel in a clean virtual environment: the demo runs, one approval is served by REST."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import httpx2

from tests.e2e.test_killed import free_port
from tests.wheel.conftest import run


def test_the_wheel_carries_the_migrations_and_nothing_of_the_checkout(installed: Path) -> None:
    [package] = installed.parent.glob("lib/python3*/site-packages/approvals")
    assert (package / "_alembic" / "env.py").is_file()
    assert (package / "py.typed").is_file()
    assert not (package.parent / "tests").exists()


def test_the_installed_command_runs_the_demo(installed: Path, tmp_path: Path) -> None:
    output = run(installed / "mcp-approvals", "demo", "--yes", cwd=tmp_path)
    assert "order 12345 CANCELED (requests received: 1)" in output


def test_the_installed_command_serves_one_approval_by_rest(installed: Path, tmp_path: Path) -> None:
    policy = {"version": "1", "default": "deny", "tools": {"act": {"action": "require_approval"}}}
    config = {
        "servers": {"up": {"url": "http://127.0.0.1:9/mcp", "policy": policy}},
        "agents": {"bot": {"servers": ["up"]}},
    }
    (tmp_path / "approvals.yaml").write_text(json.dumps(config))
    port = free_port()
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "APPROVALS_PORT": str(port)}
    process = subprocess.Popen(
        [installed / "approvals", "serve"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url)
        approvals = [installed / "approvals"]
        key = subprocess.check_output(
            [*approvals, "keys", "create", "--agent", "bot"], text=True, env=environment
        )
        asked = httpx2.post(
            f"{url}/v1/approvals",
            headers={"authorization": f"Bearer {key.strip()}"},
            json={"server": "up", "tool": "act", "arguments": {"n": 1}},
            trust_env=False,
        ).json()["approval"]
        said = subprocess.check_output(
            [*approvals, "approve", "--yes", asked["id"]], text=True, env=environment
        )
        assert f"{asked['id']} approved" in said
    finally:
        process.terminate()
        process.wait(20)


def wait_for(url: str) -> None:
    for _ in range(400):
        try:
            if httpx2.get(f"{url}/readyz", trust_env=False).status_code == 200:
                return
        except httpx2.HTTPError:
            time.sleep(0.05)
    raise AssertionError("the service did not start")
