"""Helm, and what tests ask of the objects that it renders."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
CHART = ROOT / "helm" / "approvals"
VALUES = Path(__file__).parent / "values"
SETS = sorted(file.stem for file in VALUES.glob("*.yaml"))
LONGEST = "a-release-with-the-longest-name-that-helm-takes-xx-53"
NO_HELM = (
    "tests/deploy need helm: the package helm-binary of requirements-dev.lock has it for Linux on "
    "x86_64; elsewhere put helm 3 on PATH."
)

Manifest = dict[str, Any]


class Refused(Exception):
    """Helm did not render; the message is what it said."""


@dataclass(frozen=True, kw_only=True)
class Helm:
    """The command, known to run."""

    command: str

    def run(self, *words: str | Path) -> str:
        done = subprocess.run(
            [self.command, *words], capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0 or "warning" in done.stderr.lower():
            raise Refused(done.stdout + done.stderr)
        return done.stdout

    def render(self, *words: str, values: str = "postgresql", release: str = "demo") -> Objects:
        given = VALUES / f"{values}.yaml"
        text = self.run("template", release, CHART, "--values", given, *words)
        return Objects([found for found in yaml.safe_load_all(text) if found])


class Objects:
    """What one `helm template` made."""

    def __init__(self, all_: Sequence[Manifest]) -> None:
        self.all = all_

    def of(self, kind: str) -> list[Manifest]:
        return [found for found in self.all if found["kind"] == kind]

    def one(self, kind: str) -> Manifest:
        [found] = self.of(kind)
        return found

    def named(self, kind: str, ending: str) -> Manifest:
        [found] = [o for o in self.of(kind) if o["metadata"]["name"].endswith(ending)]
        return found

    @property
    def workloads(self) -> list[Manifest]:
        return [*self.of("Deployment"), *self.of("Job")]

    @property
    def server(self) -> Manifest:
        """The pod that serves."""
        pod: Manifest = self.one("Deployment")["spec"]["template"]
        return pod

    @property
    def container(self) -> Manifest:
        [found] = self.server["spec"]["containers"]
        assert isinstance(found, dict)
        return found


def pod_of(workload: Manifest) -> Manifest:
    pod: Manifest = workload["spec"]["template"]
    return pod


def containers(workload: Manifest) -> list[Manifest]:
    spec = pod_of(workload)["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def plain(container: Manifest) -> dict[str, str]:
    """The variables that are written out."""
    return {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}


def from_secrets(container: Manifest) -> dict[str, Manifest]:
    """The variables that come from somewhere else, with where."""
    return {entry["name"]: entry["valueFrom"] for entry in container["env"] if "valueFrom" in entry}


def selects(selector: Manifest, pod: Manifest) -> bool:
    """Whether these labels, of which there are some, are all on the pod."""
    return bool(selector) and selector.items() <= pod["metadata"]["labels"].items()


def find_helm() -> Helm | None:
    """The wheel's command, or the system's, that says its version."""
    beside = Path(sys.executable).with_name("helm")
    for command in (str(beside), shutil.which("helm")):
        try:
            if command is not None:
                subprocess.run([command, "version"], capture_output=True, timeout=60, check=True)
                return Helm(command=command)
        except (OSError, subprocess.CalledProcessError):
            continue
    return None
