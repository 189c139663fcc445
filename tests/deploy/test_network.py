"""Who reaches which pod, by which path."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from approvals.api.document import OPERATIONS
from tests.deploy.chart import Helm, Manifest, Objects, pod_of, selects

FOR_MACHINES = {"/readyz", "/metrics"}
"""Paths for the cluster itself, which no Ingress exposes."""


def test_every_selector_finds_the_pods_that_serve_and_no_others(objects: Objects) -> None:
    deployment = objects.one("Deployment")
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        *(service["spec"]["selector"] for service in objects.of("Service")),
        *(o["spec"]["selector"]["matchLabels"] for o in objects.of("PodDisruptionBudget")),
    ]
    for selector in selectors:
        assert selects(selector, objects.server)
        for job in objects.of("Job"):
            assert not selects(selector, pod_of(job))


def test_labels_of_the_user_stand_beside_ours(rendered: Mapping[str, Objects]) -> None:
    labels = rendered["full"].server["metadata"]["labels"]
    assert labels["team"] == "platform"
    assert labels["app.kubernetes.io/component"] == "server"


def test_a_spread_without_a_selector_is_about_our_pods(rendered: Mapping[str, Objects]) -> None:
    [spread] = rendered["full"].server["spec"]["topologySpreadConstraints"]
    assert selects(spread["labelSelector"]["matchLabels"], rendered["full"].server)
    assert spread["topologyKey"] == "topology.kubernetes.io/zone"


def test_both_services_lead_to_a_port_that_exists(objects: Objects) -> None:
    ports = {port["name"] for port in objects.container["ports"]}
    for who in ("agents", "admin"):
        [port] = objects.named("Service", f"-{who}")["spec"]["ports"]
        assert port["targetPort"] in ports


def test_each_ingress_leads_to_its_service_by_a_port_that_exists(
    rendered: Mapping[str, Objects],
) -> None:
    found = rendered["full"]
    for who in ("agents", "admin"):
        service = found.named("Service", f"-{who}")
        [rule] = found.named("Ingress", f"-{who}")["spec"]["rules"]
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            assert backend["name"] == service["metadata"]["name"]
            assert backend["port"]["name"] in {p["name"] for p in service["spec"]["ports"]}


def test_each_ingress_has_its_own_class_host_certificate_and_annotations(
    rendered: Mapping[str, Objects],
) -> None:
    agents, admin = (rendered["full"].named("Ingress", who) for who in ("-agents", "-admin"))
    assert agents["spec"]["ingressClassName"] == "nginx"
    assert admin["spec"]["ingressClassName"] == "inside"
    assert agents["spec"]["rules"][0]["host"] == "agents.example"
    assert admin["spec"]["rules"][0]["host"] == "approvals.example"
    assert agents["spec"]["tls"] == [{"hosts": ["agents.example"], "secretName": "agents-tls"}]
    assert admin["spec"]["tls"] == [{"hosts": ["approvals.example"], "secretName": "admin-tls"}]
    assert agents["metadata"]["annotations"] == {"example/timeout": "160"}
    assert "annotations" not in admin["metadata"]


@pytest.mark.parametrize("who", ["agents", "admin"])
def test_an_ingress_is_made_only_when_it_is_asked_for(helm: Helm, who: str) -> None:
    found = helm.render("--set", f"ingress.{who}.enabled=true,ingress.{who}.host=one.example")
    assert [o["metadata"]["name"] for o in found.of("Ingress")] == [f"demo-approvals-{who}"]


def reaches(ingress: Manifest, path: str) -> bool:
    """As the rules of an Ingress are written down: Exact, or whole elements of a path."""
    assert "defaultBackend" not in ingress["spec"]
    [rule] = ingress["spec"]["rules"]
    for entry in rule["http"]["paths"]:
        prefix = entry["path"].rstrip("/")
        if entry["pathType"] == "Exact" and path == entry["path"]:
            return True
        if entry["pathType"] == "Prefix" and (path == prefix or path.startswith(f"{prefix}/")):
            return True
        assert entry["pathType"] in {"Exact", "Prefix"}
    return False


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        ("/mcp/exchange", True),
        ("/v1/approvals", True),
        ("/v1/approvals/apr_1/release/outcome", True),
        ("/v1/keys", False),
        ("/v1/approvalsandmore", False),
        ("/v1/policies/reload", False),
        ("/v1/freezes", False),
        ("/openapi.json", False),
        ("/healthz", False),
        ("/readyz", False),
        ("/metrics", False),
        ("/", False),
    ],
)
def test_the_ingress_of_agents_leads_to_what_agents_use(
    rendered: Mapping[str, Objects], path: str, *, reached: bool
) -> None:
    assert reaches(rendered["full"].named("Ingress", "-agents"), path) is reached


def test_the_ingress_of_people_leads_to_every_route_but_those_for_machines(
    rendered: Mapping[str, Objects],
) -> None:
    admin = rendered["full"].named("Ingress", "-admin")
    paths = {operation.path for operation in OPERATIONS} | FOR_MACHINES
    assert {path for path in paths if not reaches(admin, path)} == FOR_MACHINES
    assert reaches(admin, "/openapi.json")
    assert reaches(admin, "/errors/forbidden")
    assert not reaches(admin, "/mcp/exchange")
    assert not reaches(admin, "/")


def test_a_network_policy_covers_every_pod(rendered: Mapping[str, Objects]) -> None:
    for name in ("postgresql", "full", "sqlite", "existing-config"):
        spec = rendered[name].one("NetworkPolicy")["spec"]
        assert set(spec["policyTypes"]) == {"Ingress", "Egress"}
        for workload in rendered[name].workloads:
            assert selects(spec["podSelector"]["matchLabels"], pod_of(workload))


def test_only_the_port_that_serves_is_open(rendered: Mapping[str, Objects]) -> None:
    for name, peers in (("postgresql", 0), ("full", 2)):
        [rule] = rendered[name].one("NetworkPolicy")["spec"]["ingress"]
        assert rule["ports"] == [{"port": 8642, "protocol": "TCP"}]
        assert len(rule.get("from", [])) == peers


def test_listed_upstreams_are_all_that_is_reached_beside_dns_and_databases(
    rendered: Mapping[str, Objects],
) -> None:
    egress = rendered["full"].one("NetworkPolicy")["spec"]["egress"]
    assert [[port["port"] for port in rule["ports"]] for rule in egress] == [
        [53, 53, 5353, 5353],
        [6432],
        [6379],
        [443],
    ]
    assert [rule.get("to") for rule in egress] == [
        None,
        [{"podSelector": {"matchLabels": {"app": "pooler"}}}],
        [{"podSelector": {"matchLabels": {"app": "valkey"}}}],
        [{"ipBlock": {"cidr": "192.0.2.0/24", "except": ["192.0.2.1/32"]}}],
    ]


def test_everywhere_is_not_the_metadata_service(rendered: Mapping[str, Objects]) -> None:
    dns, database, everywhere = rendered["postgresql"].one("NetworkPolicy")["spec"]["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert {port["protocol"] for port in dns["ports"]} == {"UDP", "TCP"}
    assert [port["port"] for port in database["ports"]] == [5432]
    blocks = {p["ipBlock"]["cidr"]: p["ipBlock"]["except"] for p in everywhere["to"][1:]}
    assert blocks == {
        "0.0.0.0/0": ["169.254.0.0/16"],
        "::/0": ["fe80::/10", "fd00:ec2::254/128"],
    }
    assert everywhere["to"][0] == {"namespaceSelector": {}}
    assert "ports" not in everywhere


def test_sqlite_without_redis_reaches_no_database(rendered: Mapping[str, Objects]) -> None:
    egress = rendered["sqlite"].one("NetworkPolicy")["spec"]["egress"]
    ports = {port["port"] for rule in egress for port in rule.get("ports", [])}
    assert ports == {53}


def test_prometheus_reads_each_pod_once(rendered: Mapping[str, Objects]) -> None:
    """The validator has no schema of this kind."""
    found = rendered["full"]
    monitor = found.one("ServiceMonitor")
    selector = monitor["spec"]["selector"]["matchLabels"]
    [service] = [s for s in found.of("Service") if selects(selector, s)]
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint == {"port": "http", "path": "/metrics", "interval": "15s"}
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["metadata"]["labels"]["app.kubernetes.io/name"] == "approvals"
