"""Values that cannot work are refused with a sentence, and typing errors by the schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
import yaml

from approvals.config.settings import read_settings
from tests.deploy.chart import CHART, ROOT, Helm, Manifest, Refused

SCHEMA: Manifest = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS: Manifest = yaml.safe_load((CHART / "values.yaml").read_text())
OPEN = {"/definitions/terms", "/properties/global", "/properties/config"}
"""Objects whose content belongs to Kubernetes, Helm and the service."""

ONE_REPLICA = (
    "SQLite serves one replica: set replicas to 1 and autoscaling.enabled to false, "
    "or database.kind to postgresql"
)


@pytest.mark.parametrize(
    ("values", "given", "sentence"),
    [
        ("sqlite", "replicas=2", ONE_REPLICA),
        ("sqlite", "autoscaling.enabled=true", ONE_REPLICA),
        ("postgresql", "image.repository=", "image.repository has to name the image"),
        (
            "postgresql",
            "secretKey.existingSecret.name=",
            "secretKey.existingSecret.name has to name a Secret",
        ),
        (
            "postgresql",
            "database.existingSecret.name=",
            "database.existingSecret.name has to name a Secret",
        ),
        (
            "postgresql",
            "terminationGracePeriodSeconds=79",
            "terminationGracePeriodSeconds has to be at least 80 (upstreamTimeout + 15 + preStop",
        ),
        ("postgresql", "terminationGracePeriodSeconds=0", "has to be at least 80"),
        ("existing-config", "upstreamTimeout=3600,preStopSeconds=60", None),
        ("existing-config", "terminationGracePeriodSeconds=3619", "has to be at least 3620"),
        ("sqlite", "terminationGracePeriodSeconds=74", "has to be at least 75"),
        ("postgresql", "existingConfig.name=other", "give config or existingConfig.name"),
        ("existing-config", r"policyFiles.a\.json=x", "policyFiles stand beside config"),
        ("postgresql", "ingress.admin.enabled=true", "ingress.admin.host has to name a host"),
        ("full", "ingress.admin.host=agents.example", "have to differ, or agents reach"),
        ("full", "autoscaling.minReplicas=10", "minReplicas is more than autoscaling.maxReplicas"),
        ("full", "resources.requests.cpu=null", "autoscaling needs resources.requests.cpu"),
        ("full", "extraEnv[0].name=APPROVALS_PORT", "extraEnv cannot set APPROVALS_PORT"),
        (
            "postgresql",
            "config.servers.exchange.headers.X-Api-Key=abc",
            "config: X-Api-Key in the headers of exchange stands there in plain",
        ),
        ("postgresql", "config.servers.exchange.env.GITHUB_TOKEN=abc", "stands there in plain"),
        ("postgresql", "config.channels.webhook:ops.secret=abc", "the secret of webhook:ops"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(
    helm: Helm, values: str, given: str, sentence: str | None
) -> None:
    if sentence is None:
        helm.render("--set", given, values=values)
        return
    with pytest.raises(Refused, match=re.escape(sentence)):
        helm.render("--set", given, values=values)


def test_all_problems_are_told_at_once(helm: Helm) -> None:
    with pytest.raises(Refused) as refused:
        helm.run("template", CHART)
    said = str(refused.value)
    for value in ("image.repository", "secretKey.existingSecret", "database.existingSecret"):
        assert f"- {value}" in said


def test_a_plain_secret_is_found_in_a_text_too(helm: Helm) -> None:
    text = "servers: {up: {url: http://up/mcp, headers: {Authorization: Bearer abc}}}"
    with pytest.raises(Refused, match="Authorization in the headers of up stands there in plain"):
        helm.render("--set-literal", f"config={text}")


@pytest.mark.parametrize("release", ["1-release", "a.release"])
def test_a_release_whose_name_no_service_can_have_needs_another_one(
    helm: Helm, release: str
) -> None:
    with pytest.raises(Refused, match="give fullnameOverride"):
        helm.render(release=release)
    helm.render("--set", "fullnameOverride=other", release=release)


@pytest.mark.parametrize(
    "given",
    [
        "replicsa=2",
        "image.tga=1",
        "services.agents.prot=1",
        "ingress.public.enabled=true",
        "networkPolicy.egress.upstream=listed",
        "secretKey.value=0123456789abcdef0123456789abcdef",
        "database.url=postgresql://a:b@c/d",
        "redis.existingSecret.password=x",
        "extraEnv[0].name=TOKEN,extraEnv[0].value=x",
        "extraEnvFrom[0].configMapRef.name=x",
        "database.kind=mysql",
        "logLevel=LOUD",
        "replicas=0",
        "replicas=two",
        "upstreamTimeout=0",
        "upstreamTimeout=3601",
        "image.digest=sha256:12",
        "ingress.agents.host=Not A Host",
        "publicUrl=approvals.example",
        "fullnameOverride=Capital",
        "maintenance=yes",
        r"policyFiles.approvals\.yaml=x",
        "networkPolicy.from[0].namespaceSelektor.matchLabels.a=b",
    ],
)
def test_a_value_that_is_no_value_is_refused_by_the_schema(helm: Helm, given: str) -> None:
    with pytest.raises(Refused, match="values don't meet the specifications of the schema"):
        helm.render("--set", given)


def test_every_object_of_the_schema_names_its_members() -> None:
    unnamed = {place for place, node in objects_in(SCHEMA) if "additionalProperties" not in node}
    assert unnamed - OPEN == set()
    for place, node in objects_in(SCHEMA):
        if place not in OPEN:
            assert node["additionalProperties"] in (False, {"type": "string"}), place


def objects_in(node: object, place: str = "") -> Iterator[tuple[str, Manifest]]:
    if isinstance(node, dict):
        if node.get("type") == "object" or "object" in node.get("type", ""):
            yield place, node
        for name, below in node.items():
            yield from objects_in(below, f"{place}/{name}")
    elif isinstance(node, list):
        for at, below in enumerate(node):
            yield from objects_in(below, f"{place}/{at}")


def test_values_and_schema_name_the_same() -> None:
    assert members(DEFAULTS, SCHEMA) == []
    assert set(SCHEMA["properties"]) - set(DEFAULTS) == {"global"}


def members(values: Manifest, schema: Manifest, place: str = "") -> list[str]:
    """Where one has a member that the other has not; maps with free names are left out."""
    schema = resolved(schema)
    named = schema.get("properties", {})
    optional = {"global"} | (set(named) if place.startswith(".resources") else set())
    different = [
        f"{place}.{name}"
        for name in (set(named) - set(values) - optional) | (set(values) - set(named))
    ]
    for name, below in values.items():
        if isinstance(below, dict) and below:
            different += members(below, named[name], f"{place}.{name}")
    return different


def resolved(schema: Manifest) -> Manifest:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Manifest = SCHEMA["definitions"][reference.rpartition("/")[2]]
    return found


def test_every_paragraph_of_the_values_says_what_it_is() -> None:
    paragraphs = (CHART / "values.yaml").read_text().split("\n\n")
    assert len(paragraphs) > 20
    for paragraph in paragraphs:
        assert "# " in paragraph, paragraph


@pytest.mark.parametrize("value", ["logLevel", "logFormat"])
def test_the_service_takes_every_word_that_the_schema_takes(value: str) -> None:
    name = {"logLevel": "log_level", "logFormat": "log_format"}[value]
    for word in SCHEMA["properties"][value]["enum"]:
        settings = read_settings({f"APPROVALS_{name.upper()}": word})
        assert getattr(settings, name) == word


def test_the_page_names_values_that_exist() -> None:
    page = (ROOT / "docs" / "reference" / "deploy.md").read_text()
    [table] = re.findall(r"\| value \|.*?\n\n", page, flags=re.DOTALL)
    first = [row.split("|")[1] for row in table.strip().splitlines()[2:]]
    named = [name for cell in first for name in re.findall(r"`([^`]+)`", cell)]
    assert len(named) > 15
    for name in named:
        found: object = DEFAULTS
        for part in name.split("."):
            assert isinstance(found, dict), name
            assert part in found, name
            found = found[part]
