"""The service as people run it: `approvals serve` in processes of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

POLICY: dict[str, Any] = {
    "version": "1",
    "default": "deny",
    "tools": {
        "look": {},
        "place_order": {
            "require_approval_if": [
                {"conditions": [{"path": "args.quantity", "op": "gt", "value": 0}]}
            ]
        },
    },
}
NOTHING_LISTENS = "http://127.0.0.1:9/mcp"
APPROVALS = str(Path(sys.executable).with_name("approvals"))
STARTS_WITHIN = 30


@dataclass(frozen=True, kw_only=True)
class Service:
    """Replicas of one deployment, and the keys of an agent and of two people."""

    urls: tuple[str, ...]
    pids: tuple[int, ...]
    agent: str
    bob: str

    def rss(self) -> int:
        """Resident memory of the first replica in KiB."""
        status = Path(f"/proc/{self.pids[0]}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None
        return int(found[1])

    def cpu(self) -> float:
        """Processor seconds all replicas used so far."""
        return sum(cpu_of(pid) for pid in self.pids)


def cpu_of(pid: int) -> float:
    """Processor seconds a process used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def service(
    database_url: str | None = None,
    *,
    redis_url: str | None = None,
    replicas: int = 1,
    upstream: str = NOTHING_LISTENS,
    timeout: str = "1h",
    tools: Mapping[str, object] | None = None,
    slack: Mapping[str, str] | None = None,
) -> Iterator[Service]:
    """Running; None: on an SQLite file of its own. `tools` join those of the policy, `slack` are
    settings that let bob press buttons as U0BOB00."""
    with tempfile.TemporaryDirectory(prefix="approvals-bench-") as name:
        folder = Path(name)
        environment = _environment(
            folder, database_url, redis_url, upstream, timeout, tools=tools or {}
        )
        environment |= slack or {}
        if database_url is not None:
            _approvals(environment, "db", "upgrade")
        carol = _approvals(environment, "keys", "create", "--first-admin", "--person", "carol")
        key = re.findall(r"apk_\S+", carol)[0]
        processes = [_started(environment, folder, n) for n in range(replicas)]
        try:
            urls = tuple(url for _, url in processes)
            made = {
                who: _key(urls[0], key, **{kind: who})
                for kind, who in (("agent", "bot"), ("person", "bob"))
            }
            yield Service(
                urls=urls,
                pids=tuple(process.pid for process, _ in processes),
                agent=made["bot"],
                bob=made["bob"],
            )
        finally:
            for process, _ in processes:
                process.send_signal(signal.SIGTERM)
            for process, _ in processes:
                try:
                    process.wait(timeout=30)
                except subprocess.TimeoutExpired:
                    process.kill()


def _environment(
    folder: Path,
    database_url: str | None,
    redis_url: str | None,
    upstream: str,
    timeout: str,
    *,
    tools: Mapping[str, object],
) -> dict[str, str]:
    config = folder / "approvals.yaml"
    agents = {"servers": ["exchange"], "owner": "alice", "max_pending": 1_000_000}
    config.write_text(
        json.dumps(
            {
                "servers": {"exchange": {"url": upstream, "policy": _policy(tools)}},
                "agents": {"bot": agents},
                "people": {
                    "alice": {},
                    "bob": {"slack": "U0BOB00"},
                    "carol": {"roles": ["approver", "admin"]},
                },
                "approval": {"timeout": timeout, "channels": ["log"]},
            }
        )
    )
    found = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}  # noqa: TID251 (bench)
    found |= {
        "APPROVALS_DATABASE_URL": database_url or f"sqlite:///{folder}/bench.db",
        "APPROVALS_SECRET_KEY": "b" * 32,
        "APPROVALS_CONFIG": str(config),
        "APPROVALS_LOG_LEVEL": "ERROR",
        "XDG_STATE_HOME": str(folder),
    }
    if redis_url:
        found["APPROVALS_REDIS_URL"] = redis_url
    return found


def _policy(tools: Mapping[str, object]) -> dict[str, object]:
    return {**POLICY, "tools": {**POLICY["tools"], **tools}}


def _approvals(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [APPROVALS, *arguments],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def _started(
    environment: Mapping[str, str], folder: Path, number: int
) -> tuple[subprocess.Popen[bytes], str]:
    port = free_port()
    log = (folder / f"log{number}").open("wb")
    process = subprocess.Popen(
        [APPROVALS, "serve"],
        env={**environment, "APPROVALS_PORT": str(port), "XDG_STATE_HOME": f"{folder}/{number}"},
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + STARTS_WITHIN
    while not _ready(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((folder / f"log{number}").read_text())
        time.sleep(0.05)
    return process, url


def _ready(url: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(urllib.request.urlopen(f"{url}/readyz", timeout=5).status == 200)  # noqa: PLR2004, S310
    return False


def _key(url: str, admin: str, **owner: str) -> str:
    request = urllib.request.Request(  # noqa: S310 (loopback)
        f"{url}/v1/keys",
        method="POST",
        data=json.dumps(owner).encode(),
        headers={"Authorization": f"Bearer {admin}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (loopback)
        return str(json.load(answer)["key"])
