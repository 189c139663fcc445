"""The Dockerfile, read line by line: no image can be built where these tests run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from approvals.config.settings import Settings
from tests.deploy.chart import ROOT
from tests.deploy.environment import unknown

DOCKERFILE = (ROOT / "Dockerfile").read_text()
SECRET = re.compile(r"secret|token|password|credential|api_?key", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One instruction with its continuation lines joined."""

    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        return self.rest.split()

    @property
    def list(self) -> list[str]:
        """The exec form. Raises ValueError for the shell form."""
        found = json.loads(self.rest)
        assert isinstance(found, list)
        return found


def stages(text: str) -> list[list[Step]]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    steps = [
        Step(word=line.split(maxsplit=1)[0], rest=" ".join(line.split()[1:]))
        for line in joined.splitlines()
        if line.strip()
    ]
    starts = [at for at, step in enumerate(steps) if step.word == "FROM"]
    assert starts[0] == 0
    return [steps[a:b] for a, b in zip(starts, [*starts[1:], len(steps)], strict=True)]


STAGES = stages(DOCKERFILE)
BUILD, FINAL = STAGES


def steps(word: str, stage: list[Step]) -> list[Step]:
    return [step for step in stage if step.word == word]


def only(word: str) -> Step:
    [step] = steps(word, FINAL)
    return step


def environment(stage: list[Step]) -> dict[str, str]:
    pairs = [pair.partition("=") for step in steps("ENV", stage) for pair in step.words]
    assert all(middle for _, middle, _ in pairs)
    return {name: value for name, _, value in pairs}


def test_both_stages_are_the_same_python_that_the_project_names() -> None:
    bases = {stage[0].words[0] for stage in STAGES}
    assert bases == {"python:3.13-slim"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "Programming Language :: Python :: 3.13" in project["classifiers"]


def test_the_process_is_not_root_and_nothing_is_run_after_that() -> None:
    assert only("USER").rest == "10001:10001"
    words = [step.word for step in FINAL]
    assert set(words[words.index("USER") :]) <= {
        "USER",
        "EXPOSE",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }
    [user] = [step.rest for step in steps("RUN", FINAL)]
    assert "useradd --uid 10001 --gid 10001" in user
    assert "--owner 10001 --group 10001 --mode 0700 /var/lib/approvals" in user


def test_the_command_is_in_exec_form_so_that_it_gets_sigterm() -> None:
    assert only("ENTRYPOINT").list == ["approvals"]
    assert only("CMD").list == ["serve"]


def test_the_port_is_the_one_of_the_settings() -> None:
    assert only("EXPOSE").rest == str(Settings().port)
    assert environment(FINAL)["APPROVALS_PORT"] == str(Settings().port)


def test_no_secret_no_host_and_no_argument_stands_in_it() -> None:
    assert "://" not in DOCKERFILE
    assert [steps("ARG", stage) for stage in STAGES] == [[], []]
    for stage in STAGES:
        for name, value in environment(stage).items():
            assert not SECRET.search(name + value), name
        assert not any("--mount=type=secret" in step.rest for step in steps("RUN", stage))


def test_every_setting_it_names_is_one() -> None:
    assert unknown(environment(FINAL)) == set()


def test_it_can_run_with_a_read_only_root() -> None:
    given = environment(FINAL)
    assert given["PYTHONDONTWRITEBYTECODE"] == "1"
    assert given["XDG_STATE_HOME"] == "/tmp"
    assert only("WORKDIR").rest == "/var/lib/approvals"


def test_the_final_image_takes_the_environment_and_nothing_else() -> None:
    assert [step.rest for step in steps("COPY", FINAL)] == [
        "--from=build /opt/approvals /opt/approvals"
    ]
    assert environment(FINAL)["PATH"].startswith("/opt/approvals/bin:")
    assert not any("pip" in step.rest for step in steps("RUN", FINAL))
    assert [steps("ADD", stage) for stage in STAGES] == [[], []]


def test_every_package_is_installed_by_its_hash() -> None:
    installs = [
        command
        for step in steps("RUN", BUILD)
        for command in step.rest.split("&&")
        if re.search(r"\bpip\b.* (install|wheel)\b", command)
    ]
    assert len(installs) == 4
    for command in installs:
        if "--no-deps" in command:
            assert "--no-build-isolation" in command or "dist/*.whl" in command
        else:
            assert "--only-binary :all: --require-hashes -r" in command


def test_what_builds_the_wheel_is_complete_in_the_lock() -> None:
    """The names that are picked from the lock: hatchling and what the lock has because of it."""
    [pattern] = re.findall(r"\^\(([a-z|-]+)\)==", DOCKERFILE)
    picked = set(pattern.split("|"))
    lock = (ROOT / "requirements-dev.lock").read_text()
    entries = dict(re.findall(r"^([a-z0-9.-]+)==(.*?)(?=^\S|\Z)", lock, re.DOTALL | re.MULTILINE))
    needed = {
        name
        for name, entry in entries.items()
        if re.search(r"^\s+#(?: via)?\s+hatchling$", entry, re.MULTILINE)
    }
    assert picked == {"hatchling"} | needed
    assert all("--hash=sha256:" in entries[name] for name in picked)


def copied() -> list[str]:
    return [word.removeprefix("./") for step in steps("COPY", BUILD) for word in step.words[:-1]]


def test_only_what_the_build_needs_is_copied_and_all_of_it_exists() -> None:
    assert sorted(copied()) == [
        "LICENSE",
        "README.md",
        "alembic",
        "approvals",
        "pyproject.toml",
        "requirements-dev.lock",
        "requirements.lock",
    ]
    for name in copied():
        assert (ROOT / name).exists(), name


def test_the_context_is_exactly_what_is_copied() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = [rule[1:] for rule in rules if rule.startswith("!")]
    assert sorted(let_in) == sorted(copied())
    assert {"**/__pycache__", "**/*.py[cod]", "**/*.db*", "**/.env*"} <= set(rules)
    last_let_in = max(at for at, rule in enumerate(rules) if rule.startswith("!"))
    assert rules.index("**/.env*") > last_let_in


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that answers /healthz so, and everything else with 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(20)


def ask_health(port: int) -> int:
    """What the check of the image answers, run as it stands there."""
    [command] = re.findall(r"CMD (\[.*\])", only("HEALTHCHECK").rest)
    [python, *words] = json.loads(command)
    assert python == "python"
    return subprocess.run(
        [sys.executable, *words],
        env=os.environ | {"APPROVALS_PORT": str(port), "http_proxy": "http://127.0.0.1:9"},  # noqa: TID251
        stderr=subprocess.DEVNULL,
        timeout=60,
        check=False,
    ).returncode


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (404, 1)])
def test_the_health_check_is_satisfied_by_200_only(status: int, code: int) -> None:
    with answering(status) as port:
        assert ask_health(port) == code


def test_the_health_check_fails_where_nothing_listens() -> None:
    with answering(200) as port:
        pass
    assert ask_health(port) == 1


def test_no_file_of_the_deployment_names_a_registry_or_a_machine() -> None:
    files = [
        ROOT / "Dockerfile",
        ROOT / "docker-compose.yaml",
        *(file for file in (ROOT / "helm").rglob("*") if file.is_file()),
    ]
    assert len(files) > 15
    hosts = re.compile(r"\b[a-z0-9-]+\.(io|com|dev|cloud|internal|local)(:\d+)?/[a-z]+/[a-z]")
    for file in files:
        assert not hosts.search(file.read_text()), file
        assert not re.search(r"/(home|root|work|Users)/", file.read_text()), file
