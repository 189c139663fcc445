"""`serve` and the commands that talk to it, as processes with an empty home."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from tests.e2e.test_killed import free_port

APPROVALS = Path(sys.executable).with_name("approvals")
POLICY = {
    "version": "1",
    "default": "deny",
    "tools": {"act": {"require_approval_if": [{"conditions": []}], "summary": "Act on {what}"}},
}


WAIT = """
import httpx2, sys
url, key = sys.argv[1:]
print(httpx2.get(url, headers={"authorization": key}, timeout=60, trust_env=False).json()["status"])
"""


@dataclass
class Machine:
    """A folder as home and working folder, with one service on a free port."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "PATH": os.environ["PATH"],  # noqa: TID251
            "APPROVALS_PORT": str(self.port),
        }

    def run(self, *words: str, code: int = 0, more: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            [APPROVALS, *words],
            cwd=self.folder,
            env={**self.environment, **(more or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def serve(self, more: dict[str, str] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [APPROVALS, "serve"],
            cwd=self.folder,
            env={**self.environment, **(more or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(400):
            try:
                ready = httpx2.get(f"{self.url}/readyz", trust_env=False, timeout=30)
                if ready.status_code == 200 and self.state.exists():
                    self.process = process
                    return process
            except httpx2.HTTPError:
                time.sleep(0.05)
        raise AssertionError("the service did not start")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def state(self) -> Path:
        return self.folder / ".local" / "state" / "approvals" / "state.json"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.terminate()
        made.process.wait(20)


@pytest.fixture
def running(machine: Machine) -> Iterator[Machine]:
    """A service whose file names a server and an agent, and nobody else: solo mode."""
    config = {
        "servers": {"up": {"url": "http://127.0.0.1:9/mcp", "policy": POLICY}},
        "agents": {"bot": {"servers": ["up"]}},
    }
    (machine.folder / "approvals.yaml").write_text(json.dumps(config))
    process = machine.serve()
    yield machine
    process.terminate()
    assert process.wait(20) == 0


def ask(machine: Machine, what: object) -> dict[str, object]:
    """A program asks over REST with a key of bot."""
    key = machine.run("keys", "create", "--agent", "bot").split()[0]
    response = httpx2.post(
        f"{machine.url}/v1/approvals",
        headers={"authorization": f"Bearer {key}"},
        json={"server": "up", "tool": "act", "arguments": {"what": what}},
        trust_env=False,
    )
    assert response.status_code == 201, response.text
    found: dict[str, object] = response.json()["approval"]
    return found


def test_the_command_line_finds_the_service_lists_shows_and_approves(running: Machine) -> None:
    asked = ask(running, "file")
    assert "Act on file" in running.run("list", "--status", "pending")
    short = str(asked["id"])[:9]
    shown = running.run("show", short)
    assert "Act on file?" in shown
    assert '"file"' in shown
    assert "approved" in running.run("approve", short, "--yes", "--reason", "fine")
    assert json.loads(running.run("show", short, "-o", "json"))["status"] == "approved"
    assert "Approved by" in running.run("deny", short, code=1)


def test_deny_and_cancel(running: Machine) -> None:
    denied, gone = ask(running, "one"), ask(running, "two")
    assert "denied" in running.run("deny", str(denied["id"]), "--reason", "no")
    assert "cancelled" in running.run("cancel", str(gone["id"]))
    assert "no: " not in running.run("show", str(gone["id"]))
    assert ": no" in running.run("show", str(denied["id"]))


def test_approving_without_yes_and_without_a_person_decides_nothing(running: Machine) -> None:
    asked = ask(running, "file")
    running.run("approve", str(asked["id"]), code=1)
    assert "If nobody answers" in running.run("show", str(asked["id"]))


def test_what_an_agent_wrote_reaches_the_terminal_without_escape_sequences(
    running: Machine,
) -> None:
    asked = ask(running, "\x1b[2J\u202eevil\u200b")
    for output in (running.run("show", str(asked["id"])), running.run("list")):
        assert "\x1b" not in output
        assert "\u202e" not in output
        assert "\\u202e" in output


def test_the_state_file_is_private_and_its_key_survives_a_restart(machine: Machine) -> None:
    first = machine.serve()
    before = machine.state.read_text()
    assert stat.S_IMODE(machine.state.stat().st_mode) == 0o600
    first.terminate()
    assert first.wait(20) == 0
    second = machine.serve()
    assert machine.state.read_text() == before
    second.terminate()
    assert second.wait(20) == 0
    assert stat.S_IMODE((machine.folder / "approvals.db.secret").stat().st_mode) == 0o600


def test_keys_are_listed_and_revoked(running: Machine) -> None:
    key = running.run("keys", "create", "--agent", "bot", "--label", "ci").split()[0]
    listed = running.run("keys", "list")
    assert key not in listed
    [line] = [line for line in listed.splitlines() if "ci" in line]
    key_id = line.split()[0]
    assert "is revoked" in running.run("keys", "revoke", key_id)
    assert "revoked" in running.run("keys", "list")


def test_on_another_host_the_first_admin_is_made_by_hand(machine: Machine) -> None:
    away = {"APPROVALS_HOST": "0.0.0.0"}
    process = machine.serve(away)
    assert json.loads(machine.state.read_text())["key"] is None
    refused = machine.run("keys", "create", "--first-admin", code=1, more=away)
    assert "Another approvals server already uses" in refused
    process.terminate()
    assert process.wait(20) == 0
    key = machine.run("keys", "create", "--first-admin", more=away).strip()
    assert key.startswith("apk_")
    process = machine.serve(away)
    assert "No approvals yet" in machine.run("list", more={"APPROVALS_KEY": key})
    process.terminate()
    assert process.wait(20) == 0


def test_the_local_key_goes_to_the_local_service_only(running: Machine) -> None:
    elsewhere = f"http://127.0.0.1:{free_port()}"
    for words, more in (
        (["list", "--url", elsewhere], {}),
        (["list"], {"APPROVALS_URL": elsewhere}),
    ):
        said = running.run(*words, code=1, more=more)
        assert said.startswith("No key is known. Give --key or APPROVALS_KEY. The first one")
    assert "No approvals yet" in running.run("list", "--url", running.url)


def test_a_number_and_a_text_of_the_same_digits_look_different(running: Machine) -> None:
    number, word = ask(running, 0.5), ask(running, "0.5")
    assert "what         0.5\n" in running.run("show", str(number["id"]))
    assert 'what         "0.5"\n' in running.run("show", str(word["id"]))
    exact = running.run("show", str(number["id"]), "-o", "json")
    assert json.loads(exact)["arguments"] == {"what": 0.5}


def test_a_secret_that_was_cut_off_is_explained(machine: Machine) -> None:
    (machine.folder / "approvals.db.secret").write_text("")
    said = machine.run("serve", code=1)
    assert "approvals.db.secret does not load" in said
    assert "Traceback" not in said


def test_the_database_is_for_its_owner_only(running: Machine) -> None:
    for file in running.folder.glob("approvals.db*"):
        if not file.name.endswith(".lock"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_without_a_service_a_command_says_how_to_start_one(machine: Machine) -> None:
    said = machine.run("list", code=1)
    assert said == "approvals is not running here. Start it with: approvals serve\n"


def test_a_configuration_that_does_not_load_is_explained_and_nothing_starts(
    machine: Machine,
) -> None:
    (machine.folder / "approvals.yaml").write_text("servers:\n  up: {url: nowhere, odd: 1}\n")
    said = machine.run("serve", code=1)
    assert "approvals.yaml, line 2: /servers/up/odd" in said
    assert "approvals.yaml, line 2: /servers/up/url: must be" in said
    assert "Traceback" not in said


def test_a_bad_setting_is_explained(machine: Machine) -> None:
    said = machine.run(
        "serve", code=1, more={"APPROVALS_PORT": "eighty", "APPROVALS_LOG_LEVEL": "loud"}
    )
    assert "APPROVALS_PORT must be a port number" in said
    assert "APPROVALS_LOG_LEVEL must be one of" in said


def test_a_second_service_on_the_same_database_does_not_start(running: Machine) -> None:
    said = running.run("serve", code=1, more={"APPROVALS_PORT": str(free_port())})
    assert "Another approvals server already uses" in said


def test_sighup_reads_the_configuration_again_and_a_bad_one_changes_nothing(
    machine: Machine,
) -> None:
    config = machine.folder / "approvals.yaml"
    config.write_text("people: {alice: {}, bob: {}}\n")
    process = machine.serve()
    before = configuration(machine)
    config.write_text("people: {alice: {}, bob: {}, carol: {}}\npeeple: {}\n")
    process.send_signal(signal.SIGHUP)
    assert until(machine, problems=1) == {
        **before,
        "file": "does not load, the older is used",
        "problems": 1,
    }
    config.write_text("people: {alice: {}, bob: {}, carol: {}}\n")
    process.send_signal(signal.SIGHUP)
    assert until(machine, problems=0)["hash"] != before["hash"]
    assert httpx2.get(f"{machine.url}/readyz", trust_env=False).json()["people"] == 3


def configuration(machine: Machine) -> dict[str, object]:
    found: dict[str, object] = httpx2.get(f"{machine.url}/readyz", trust_env=False).json()[
        "configuration"
    ]
    return found


def until(machine: Machine, *, problems: int) -> dict[str, object]:
    """What `/readyz` says of the configuration once it has so many problems."""
    for _ in range(200):
        found = configuration(machine)
        if found["problems"] == problems:
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def test_policy_check_says_how_each_rule_is_read(machine: Machine) -> None:
    policy = {
        "version": "1",
        "default": "deny",
        "hide": ["secret_*"],
        "tools": {
            "a": {"deny_if": [{"conditions": [], "on_deny": "requires human approval"}]},
            "b": {"deny_if": [{"conditions": [], "on_deny": "Human approval needed."}]},
            "c": {},
        },
    }
    (machine.folder / "p.json").write_text(json.dumps(policy))
    said = machine.run("policy", "check", "p.json")
    assert "secret_*: hidden (/hide/0)" in said
    assert "a → 1 of everyone, 15 min (/tools/a/deny_if/0)" in said
    assert "b → denied: Human approval needed. (/tools/b/deny_if/0)" in said
    assert "c runs (/tools/c)" in said
    assert "any other tool is denied (/default)" in said
    assert "warning: /tools/b/deny_if/0/on_deny speaks of approval and only denies" in said
    (machine.folder / "q.json").write_text('{"version":"1"}')
    assert "/default" in machine.run("policy", "check", "q.json", code=1)


def test_the_database_says_its_revision_and_is_upgraded(machine: Machine) -> None:
    assert "at nothing yet, this version needs 0007" in machine.run("db", "current")
    assert "at 0007, this version needs 0007" in machine.run("db", "upgrade")


def test_every_command_has_help(machine: Machine) -> None:
    top = machine.run("--help")
    for command in ("serve", "demo", "list", "show", "approve", "deny", "cancel"):
        assert command in top
        assert "Usage" in machine.run(command, "--help")
    machine.run("no-such-command", code=2)


def test_sigterm_ends_a_held_request_with_an_answer_and_the_call_stays_pending(
    running: Machine,
) -> None:
    asked = ask(running, "held")
    key = json.loads(running.state.read_text())["key"]
    waiting = subprocess.Popen(
        [
            sys.executable,
            "-c",
            WAIT,
            f"{running.url}/v1/approvals/{asked['id']}?wait=50",
            f"Bearer {key}",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(1.5)
    assert running.process is not None
    running.process.send_signal(signal.SIGTERM)
    assert waiting.communicate(timeout=20)[0].strip() == "pending"
