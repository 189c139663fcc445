"""SQLite, the migration of PostgreSQL, and the pod in which no server runs."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from approvals.cli.main import app
from tests.deploy.chart import (
    CHART,
    VALUES,
    Helm,
    Objects,
    containers,
    from_secrets,
    plain,
    pod_of,
)


def test_sqlite_is_one_replica_with_a_volume_that_outlives_the_release(
    rendered: Mapping[str, Objects],
) -> None:
    found = rendered["sqlite"]
    deployment, claim = found.one("Deployment"), found.one("PersistentVolumeClaim")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert claim_names(found) == [claim["metadata"]["name"]]
    url = plain(found.container)["APPROVALS_DATABASE_URL"]
    assert url == "sqlite:////var/lib/approvals/approvals.db"


def test_sqlite_uses_a_claim_that_exists_already(helm: Helm) -> None:
    found = helm.render("--set", "sqlite.existingClaim=mine", values="sqlite")
    assert found.of("PersistentVolumeClaim") == []
    assert claim_names(found) == ["mine"]


def claim_names(objects: Objects) -> list[str]:
    volumes = objects.server["spec"]["volumes"]
    return [v["persistentVolumeClaim"]["claimName"] for v in volumes if v["name"] == "database"]


def test_with_postgresql_a_new_pod_is_ready_before_an_old_one_goes(
    rendered: Mapping[str, Objects],
) -> None:
    for name in ("postgresql", "full", "existing-config", "odd"):
        strategy = rendered[name].one("Deployment")["spec"]["strategy"]
        assert strategy["type"] == "RollingUpdate"
        assert strategy["rollingUpdate"]["maxUnavailable"] == 0


def test_the_migration_runs_first_and_needs_the_two_secrets_only(
    rendered: Mapping[str, Objects],
) -> None:
    for name in ("postgresql", "full", "existing-config"):
        found = rendered[name]
        job = found.one("Job")
        assert job["metadata"]["annotations"] == {
            "helm.sh/hook": "pre-install,pre-upgrade",
            "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
        }
        assert job["spec"]["backoffLimit"] == 3
        assert job["spec"]["activeDeadlineSeconds"] == 600
        [container] = containers(job)
        assert container["args"] == ["db", "upgrade"]
        assert plain(container) == {}
        wanted = {"APPROVALS_DATABASE_URL", "APPROVALS_SECRET_KEY"}
        assert set(from_secrets(container)) == wanted
        assert "envFrom" not in container
        spec = pod_of(job)["spec"]
        assert [set(volume) for volume in spec["volumes"]] == [{"name", "emptyDir"}]
        assert spec["restartPolicy"] == "Never"
        made = {o["metadata"]["name"] for o in found.of("ServiceAccount")}
        assert spec["serviceAccountName"] not in made


@pytest.mark.parametrize("values", ["full", "sqlite"])
def test_in_maintenance_one_pod_waits_and_nothing_serves(helm: Helm, values: str) -> None:
    serving = helm.render(values=values)
    waiting = helm.render("--set", "maintenance=true", values=values)
    deployment = waiting.one("Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert waiting.of("HorizontalPodAutoscaler") == waiting.of("PodDisruptionBudget") == []
    container = waiting.container
    assert not {"startupProbe", "livenessProbe", "readinessProbe", "lifecycle"} & set(container)
    assert "args" not in container
    assert container["env"] == serving.container["env"]
    assert container["volumeMounts"] == serving.container["volumeMounts"]


def test_the_command_of_maintenance_ends_at_sigterm(helm: Helm) -> None:
    [python, *words] = helm.render("--set", "maintenance=true").container["command"]
    assert python == "python"
    process = subprocess.Popen([sys.executable, *words])
    try:
        for _ in range(400):
            if process_handles_sigterm(process.pid):
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait(20)


def process_handles_sigterm(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    [caught] = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("maintenance", ["true", "false"])
def test_the_notes_name_a_command_that_exists(helm: Helm, tmp_path: Path, maintenance: str) -> None:
    """Helm shows the notes to a cluster only, so here they are rendered as a template."""
    chart = tmp_path / "approvals"
    shutil.copytree(CHART, chart)
    notes = (CHART / "templates" / "NOTES.txt").read_text()
    text = f'{{{{ define "notes" }}}}{notes}{{{{ end }}}}notes: {{{{ include "notes" . | quote }}}}'
    (chart / "templates" / "notes.yaml").write_text(text)
    words = ("--show-only", "templates/notes.yaml", "--set", f"maintenance={maintenance}")
    values = VALUES / "postgresql.yaml"
    shown = yaml.safe_load(helm.run("template", "demo", chart, "--values", values, *words))["notes"]
    assert "deploy/demo-approvals -- approvals keys create --first-admin\n" in shown
    create = get_command(app).commands["keys"].commands["create"]  # type: ignore[attr-defined]  # a group
    assert {"--first-admin", "--person"} <= {word for p in create.params for word in p.opts}
