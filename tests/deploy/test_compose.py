"""docker-compose.yaml, read as YAML: nothing can be started where these tests run."""

from __future__ import annotations

import re
from typing import Any

import yaml

from approvals.config.settings import read_settings
from tests.deploy.chart import ROOT
from tests.deploy.environment import unknown

TEXT = (ROOT / "docker-compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [SERVICES["migrate"], SERVICES["approvals"]]
REQUIRED = {"POSTGRES_PASSWORD", "APPROVALS_SECRET_KEY", "APPROVALS_CONFIG_FOLDER"}
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|KEY|DATABASE_URL")


def test_it_refuses_to_start_without_what_it_cannot_make_up() -> None:
    written = re.findall(r"\$\{([A-Z_]+)([^}]*)\}", TEXT.replace("${NAME}", ""))
    assert {name for name, _ in written} == REQUIRED
    for name, rest in written:
        assert rest.startswith(":?"), name
        assert len(rest) > 10, name


def test_every_secret_comes_from_outside() -> None:
    seen = set()
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if SECRET.search(name):
                seen.add(name)
                assert re.search(r"\$\{[A-Z_]+:\?", value), name
                assert "//approvals:${" in value or value.startswith("${"), name
    assert seen == {"POSTGRES_PASSWORD", "APPROVALS_SECRET_KEY", "APPROVALS_DATABASE_URL"}


def test_one_port_is_open_on_loopback_only() -> None:
    ports = {name: service.get("ports", []) for name, service in SERVICES.items()}
    assert ports.pop("approvals") == ["127.0.0.1:8642:8642"]
    assert not any(ports.values())
    assert not any("network_mode" in service for service in SERVICES.values())


def test_images_are_these() -> None:
    assert {name: service["image"] for name, service in SERVICES.items()} == {
        "postgres": "postgres:18",
        "valkey": "valkey/valkey:9",
        "migrate": "approvals:0.1.0",
        "approvals": "approvals:0.1.0",
    }
    assert all(service["build"] == "." for service in OURS)


def test_the_service_waits_for_the_migration_which_runs_once() -> None:
    migrate = SERVICES["migrate"]
    assert migrate["command"] == ["db", "upgrade"]
    assert migrate["restart"] == "no"
    assert migrate["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["approvals"]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "postgres": {"condition": "service_healthy"},
        "valkey": {"condition": "service_healthy"},
    }


def test_whom_somebody_waits_for_says_that_it_is_healthy() -> None:
    waited_for = {
        name
        for service in SERVICES.values()
        for name, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_healthy"
    }
    assert waited_for == {"postgres", "valkey"}
    for name in waited_for:
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert "--host=127.0.0.1" in SERVICES["postgres"]["healthcheck"]["test"]


def test_our_containers_run_without_rights() -> None:
    for service in OURS:
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not {"user", "privileged", "cap_add"} & set(service)


def test_the_databases_are_in_a_network_without_a_way_out() -> None:
    assert COMPOSE["networks"]["data"] == {"internal": True}
    for name in ("postgres", "valkey", "migrate"):
        assert SERVICES[name]["networks"] == ["data"]


def test_the_configuration_is_a_folder_that_exists_and_is_only_read() -> None:
    [mount] = SERVICES["approvals"]["volumes"]
    assert mount["type"] == "bind"
    assert mount["read_only"] is True
    assert mount["bind"] == {"create_host_path": False}
    config = SERVICES["approvals"]["environment"]["APPROVALS_CONFIG"]
    assert config == f"{mount['target']}/approvals.yaml"


def test_the_database_is_kept_where_this_postgresql_writes_it() -> None:
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert "postgres" in COMPOSE["volumes"]


def test_every_setting_it_names_is_one() -> None:
    for service in OURS:
        assert unknown(service["environment"]) == set()


def test_the_service_accepts_the_environment() -> None:
    for service in OURS:
        given = {
            name: re.sub(r"\$\{[^}]*\}", "0123456789abcdef0123456789abcdef", value)
            for name, value in service["environment"].items()
        }
        assert read_settings(given).secret_key


def test_a_call_that_is_being_sent_has_its_time_after_sigterm() -> None:
    service = SERVICES["approvals"]
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace >= float(service["environment"]["APPROVALS_UPSTREAM_TIMEOUT"]) + 15
