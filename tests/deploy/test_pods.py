"""What each pod may do, what it is told, and how it starts and stops."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from approvals.cli.serve import GRACE
from approvals.config.settings import Settings, read_settings
from tests.deploy.chart import (
    Objects,
    containers,
    from_secrets,
    plain,
    pod_of,
)
from tests.deploy.environment import STAND_INS, unknown

WRITTEN_OUT = {
    "APPROVALS_HOST",
    "APPROVALS_PORT",
    "APPROVALS_PUBLIC_URL",
    "APPROVALS_CONFIG",
    "APPROVALS_LOG_LEVEL",
    "APPROVALS_LOG_FORMAT",
    "APPROVALS_UPSTREAM_TIMEOUT",
    "XDG_STATE_HOME",
}
"""The variables that hold no secret."""


def test_no_secret_is_made_and_none_is_written_out(objects: Objects) -> None:
    assert objects.of("Secret") == []
    for workload in objects.workloads:
        for container in containers(workload):
            for name, value in plain(container).items():
                local_file = name == "APPROVALS_DATABASE_URL" and value.startswith("sqlite:///")
                assert name in WRITTEN_OUT or local_file, name
            for source in from_secrets(container).values():
                assert set(source) == {"secretKeyRef"}
            for source in container.get("envFrom", []):
                assert set(source) <= {"secretRef", "prefix"}


def test_the_secret_key_and_the_urls_come_from_the_secrets_that_are_named(
    rendered: Mapping[str, Objects],
) -> None:
    assert from_secrets(rendered["full"].container) == {
        name: {"secretKeyRef": {"name": secret, "key": key}}
        for name, secret, key in (
            ("APPROVALS_DATABASE_URL", "approvals-database", "url"),
            ("APPROVALS_SECRET_KEY", "approvals-secret", "both"),
            ("APPROVALS_REDIS_URL", "approvals-redis", "url"),
            ("EXCHANGE_TOKEN", "upstreams", "exchange"),
        )
    }
    assert rendered["full"].container["envFrom"] == [{"secretRef": {"name": "more-upstreams"}}]
    assert set(from_secrets(rendered["sqlite"].container)) == {"APPROVALS_SECRET_KEY"}


def test_every_container_runs_without_rights(objects: Objects) -> None:
    for workload in objects.workloads:
        spec = pod_of(workload)["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True
        assert (pod["runAsUser"], pod["runAsGroup"], pod["fsGroup"]) == (10001, 10001, 10001)
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_tmp_is_the_one_writable_folder_but_for_the_database(objects: Objects) -> None:
    for workload in objects.workloads:
        volumes = {volume["name"]: volume for volume in pod_of(workload)["spec"]["volumes"]}
        for container in containers(workload):
            writable = {
                mount["mountPath"]: volumes[mount["name"]]
                for mount in container["volumeMounts"]
                if not mount.get("readOnly")
            }
            assert "emptyDir" in writable.pop("/tmp")
            database = plain(container).get("APPROVALS_DATABASE_URL")
            if database is not None:
                folder = str(Settings(database_url=database).database_path.parent)
                assert "persistentVolumeClaim" in writable.pop(folder)
            assert writable == {}


def test_the_state_file_of_serve_can_be_written(objects: Objects) -> None:
    assert plain(objects.container)["XDG_STATE_HOME"] == "/tmp"


def test_probes_ask_the_health_routes_at_the_port_that_is_listened_on(objects: Objects) -> None:
    container = objects.container
    paths = {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    for probe, path in paths.items():
        assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 8642}]
    assert plain(container)["APPROVALS_PORT"] == "8642"
    assert plain(container)["APPROVALS_HOST"] == "0.0.0.0"


def test_a_call_that_is_being_sent_has_its_time_after_sigterm(objects: Objects) -> None:
    spec = objects.server["spec"]
    upstream = float(plain(objects.container)["APPROVALS_UPSTREAM_TIMEOUT"])
    assert spec["terminationGracePeriodSeconds"] >= upstream + 15 + pre_stop(objects)


def test_fifteen_seconds_are_more_than_open_requests_get() -> None:
    assert GRACE + 3 <= 15


def pre_stop(objects: Objects) -> int:
    hook = objects.container.get("lifecycle", {}).get("preStop")
    if hook is None:
        return 0
    [command, seconds] = hook["exec"]["command"]
    assert command == "sleep"
    return int(seconds)


def test_a_pod_leaves_its_services_before_it_stops_where_another_one_answers(
    rendered: Mapping[str, Objects],
) -> None:
    waits = {name: pre_stop(found) for name, found in rendered.items()}
    assert waits == {"postgresql": 5, "full": 5, "existing-config": 5, "sqlite": 0, "odd": 0}


def test_every_variable_that_looks_like_a_setting_is_one(objects: Objects) -> None:
    for workload in objects.workloads:
        for container in containers(workload):
            assert unknown({*plain(container), *from_secrets(container)}) == set()


def test_the_service_accepts_the_environment(objects: Objects) -> None:
    container = objects.container
    given = {name: STAND_INS.get(name, "x") for name in from_secrets(container)}
    settings = read_settings({**given, **plain(container)})
    upstream = float(plain(container)["APPROVALS_UPSTREAM_TIMEOUT"])
    assert settings.upstream_timeout == timedelta(seconds=upstream)
    assert settings.secret_key
    assert not settings.on_loopback
