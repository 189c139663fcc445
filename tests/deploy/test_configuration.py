"""approvals.yaml in the pods: as it was given, and in a form that the service loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from approvals.config.load import load
from tests.deploy.chart import (
    Helm,
    Manifest,
    Objects,
    from_secrets,
    plain,
)


@pytest.mark.parametrize("values", ["postgresql", "full"])
def test_the_mounted_configuration_loads(
    rendered: Mapping[str, Objects], values: str, tmp_path: Path
) -> None:
    """As the kubelet mounts it: each file is a link into a folder that is swapped."""
    found = rendered[values]
    (tmp_path / "..now").mkdir()
    (tmp_path / "..data").symlink_to("..now")
    for name, text in found.named("ConfigMap", "-config")["data"].items():
        (tmp_path / "..data" / name).write_text(text)
        (tmp_path / name).symlink_to(f"..data/{name}")
    config = Path(plain(found.container)["APPROVALS_CONFIG"])
    assert str(config.parent) in {m["mountPath"] for m in found.container["volumeMounts"]}
    environ = dict.fromkeys(from_secrets(found.container), "secret")
    rulebook = load(tmp_path / config.name, starting_person=None, environ=environ)
    assert set(rulebook.servers) == {"exchange"}
    assert (
        set(rulebook.directory.people) == {"postgresql": {"alice"}, "full": {"n", "alice"}}[values]
    )


def test_a_text_as_configuration_arrives_as_it_was_written(helm: Helm, tmp_path: Path) -> None:
    text = "  # first\nservers: {}\n\npeople:\n  no: {}\n  n:\nlast: 1.10   "
    file = tmp_path / "approvals.yaml"
    file.write_text(text)
    policy = tmp_path / "exchange.json"
    policy.write_text('{"default": "deny"}\n')
    made = helm.render(
        *("--set-file", f"config={file}"), *("--set-file", rf"policyFiles.exchange\.json={policy}")
    )
    assert made.one("ConfigMap")["data"] == {
        "approvals.yaml": text,
        "exchange.json": '{"default": "deny"}\n',
    }


def test_another_configuration_makes_other_pods(helm: Helm) -> None:
    def pod(*words: str) -> Manifest:
        return helm.render("--set-literal", *words).server

    assert pod("config=timezone: UTC") == pod("config=timezone: UTC")
    assert pod("config=timezone: UTC") != pod("config=timezone: Europe/Berlin")


def test_a_configuration_of_somebody_else_is_mounted_by_name(
    helm: Helm, rendered: Mapping[str, Objects]
) -> None:
    secret = rendered["existing-config"]
    assert plain(secret.container)["APPROVALS_CONFIG"] == "/etc/approvals/gateway.yaml"
    assert {"secretName": "gateway-config", "defaultMode": 0o440} in [
        volume.get("secret") for volume in secret.server["spec"]["volumes"]
    ]
    words = ("--set", "existingConfig.kind=ConfigMap")
    config_map = helm.render(*words, values="existing-config")
    assert {"name": "gateway-config"} in [
        volume.get("configMap") for volume in config_map.server["spec"]["volumes"]
    ]


def test_without_a_configuration_none_is_mounted(rendered: Mapping[str, Objects]) -> None:
    container = rendered["sqlite"].container
    assert "APPROVALS_CONFIG" not in plain(container)
    assert "/etc/approvals" not in [mount["mountPath"] for mount in container["volumeMounts"]]
