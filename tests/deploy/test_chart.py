"""The objects of the chart for each set of values: which, valid, and with names that fit."""

from __future__ import annotations

from collections.abc import Mapping

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest

from tests.deploy.chart import (
    CHART,
    SETS,
    VALUES,
    Helm,
    Manifest,
    Objects,
    containers,
)

OLDEST, NEWEST = "1.25", "1.37"
NO_SCHEMA = {"ServiceMonitor", "PrometheusRule"}
"""Kinds of the Prometheus operator, which are not Kubernetes's own."""

ALWAYS = {"Deployment", "Service"}
USUAL = ALWAYS | {"ServiceAccount", "NetworkPolicy"}
KINDS = {
    "postgresql": USUAL | {"ConfigMap", "Job", "PodDisruptionBudget"},
    "full": USUAL
    | {"ConfigMap", "Job", "PodDisruptionBudget", "HorizontalPodAutoscaler", "Ingress"}
    | NO_SCHEMA,
    "sqlite": USUAL | {"PersistentVolumeClaim"},
    "existing-config": USUAL | {"Job", "PodDisruptionBudget"},
    "odd": ALWAYS,
}


@pytest.mark.parametrize("values", SETS)
def test_the_chart_lints_without_a_warning(helm: Helm, values: str) -> None:
    said = helm.run("lint", "--strict", CHART, "--values", VALUES / f"{values}.yaml")
    assert "0 chart(s) failed" in said
    assert "[WARNING]" not in said


@pytest.mark.parametrize("values", SETS)
def test_each_set_of_values_makes_these_kinds_and_no_others(
    rendered: Mapping[str, Objects], values: str
) -> None:
    assert {found["kind"] for found in rendered[values].all} == KINDS[values]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_object_is_valid_in_kubernetes(objects: Objects, version: str) -> None:
    for found in objects.all:
        if found["kind"] not in NO_SCHEMA:
            assert problem_of(found, version) is None


def test_the_versions_are_the_oldest_and_the_newest_that_can_be_checked() -> None:
    known = kubernetes_validate.utils.all_versions()
    assert known[0].startswith(f"{OLDEST}.")
    assert known[-1].startswith(f"{NEWEST}.")


def problem_of(found: Manifest, version: str) -> str | None:
    """What does not fit, without the schema it does not fit."""
    try:
        kubernetes_validate.validate(found, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{found['kind']} {list(error.path)}: {error.message}"
    return None


def test_every_name_fits_where_kubernetes_is_strictest(objects: Objects) -> None:
    names = [found["metadata"]["name"] for found in objects.all]
    for name in names:
        assert len(name) <= 63
        assert name.replace("-", "").isalnum()
        assert name == name.lower()
        assert name[0].isalpha()
        assert name[-1] != "-"
    kinds = [(found["kind"], found["metadata"]["name"]) for found in objects.all]
    assert len(set(kinds)) == len(kinds)


def test_the_autoscaler_alone_sets_the_replicas(rendered: Mapping[str, Objects]) -> None:
    for found in rendered.values():
        deployment = found.one("Deployment")
        scalers = found.of("HorizontalPodAutoscaler")
        assert ("replicas" in deployment["spec"]) is (scalers == [])
        for scaler in scalers:
            target = scaler["spec"]["scaleTargetRef"]
            assert (target["kind"], target["name"]) == (
                "Deployment",
                deployment["metadata"]["name"],
            )
            assert "cpu" in found.container["resources"]["requests"]


def test_one_replica_has_no_disruption_budget(helm: Helm) -> None:
    assert helm.render("--set", "replicas=1").of("PodDisruptionBudget") == []


def test_a_digest_stands_before_a_tag(rendered: Mapping[str, Objects], helm: Helm) -> None:
    images = {name: found.container["image"] for name, found in rendered.items()}
    assert images["postgresql"] == "approvals:0.1.0"
    assert images["sqlite"] == "approvals:0.1.0-rc.1"
    assert images["full"] == f"approvals@sha256:{'0123456789abcdef' * 4}"
    tagged = helm.render("--set", "image.tag=other", values="full")
    assert tagged.container["image"] == images["full"]
    for found in rendered.values():
        [image] = {c["image"] for workload in found.workloads for c in containers(workload)}
        assert image == found.container["image"]


def test_names_that_look_like_numbers_stay_names(helm: Helm) -> None:
    words = ("--set-string", "fullnameOverride=e10,nameOverride=e3")
    secrets = ("--set-string", "secretKey.existingSecret.name=123,redis.existingSecret.key=0")
    for found in helm.render(*words, *secrets, values="full", release="1e3").all:
        if found["kind"] not in NO_SCHEMA:
            assert problem_of(found, NEWEST) is None
