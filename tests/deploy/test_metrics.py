"""Alert rules, dashboard and the operator's page name metrics that there are."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pytest
import yaml

from approvals.ports import Backlog, Kept, Standing
from approvals.telemetry.meter import PrometheusMeter
from tests.deploy.chart import CHART, ROOT, Helm, Manifest, Objects
from tests.telemetry.reading import samples

RULES = (CHART / "rules" / "approvals.yaml").read_text()
DASHBOARD = (CHART / "dashboards" / "approvals.json").read_text()
PAGE = (ROOT / "docs" / "reference" / "operate.md").read_text()
EVERYTHING = Standing(
    kept=Kept(
        at=datetime(2026, 11, 20, tzinfo=UTC),
        backlog=Backlog(pending=0, oldest=None),
        freezes=0,
        processes=1,
        configurations=1,
    ),
    file_loads=True,
    unreadable=0,
    listening=True,
    hints_lost=0,
)
LABELS_OF_PROMETHEUS = {"namespace"}


def alerts() -> list[Manifest]:
    return [rule for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"]]


def panels() -> list[Manifest]:
    return [panel for panel in json.loads(DASHBOARD)["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[str]:
    for alert in alerts():
        yield alert["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"]


def exposition() -> str:
    meter = PrometheusMeter()
    meter.job("expire_due")
    return meter.exposition(EVERYTHING).decode()


def series() -> dict[str, list[dict[str, str]]]:
    """The labels of every series that the service shows, by name."""
    found: dict[str, list[dict[str, str]]] = {}
    for sample in samples(exposition()):
        name, _, labels = sample.partition("{")
        found.setdefault(name, []).append(dict(re.findall(r'(\w+)="([^"]*)"', labels)))
    return found


def test_every_expression_names_metrics_and_labels_that_there_are() -> None:
    known = series()
    asked = [found for text in expressions() for found in named(text)]
    assert len(asked) > 45
    for name, matchers in asked:
        assert name in known, name
        wanted = {label: value for label, value in matchers if label not in LABELS_OF_PROMETHEUS}
        assert any(wanted.items() <= labels.items() for labels in known[name]), (name, wanted)


def named(expression: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """The metrics of an expression, each with what it asks of labels."""
    return [
        (name, re.findall(r'(\w+)=~?"([^"]*)"', selector))
        for name, selector in re.findall(r"\b(approvals_\w+)(\{[^}]*\})?", expression)
    ]


def test_every_sum_is_over_labels_that_there_are() -> None:
    known = {label for all_ in series().values() for labels in all_ for label in labels}
    for text in expressions():
        for labels in re.findall(r" by \(([^)]*)\)", text):
            assert set(labels.split(", ")) <= known | LABELS_OF_PROMETHEUS, text


def test_every_alert_has_a_severity_and_says_what_is_wrong_and_what_to_do() -> None:
    for alert in alerts():
        assert alert["alert"].startswith("Approvals")
        assert alert["labels"]["severity"] in {"critical", "warning"}
        for sentence in ("summary", "description"):
            assert alert["annotations"][sentence].endswith(".")
    names = [alert["alert"] for alert in alerts()]
    assert len(set(names)) == len(names)


def test_the_page_tells_what_to_do_about_every_alert_and_no_other() -> None:
    assert set(re.findall(r"`(Approvals\w+)`", PAGE)) == {alert["alert"] for alert in alerts()}


def test_the_page_has_every_metric_and_no_other() -> None:
    kinds = re.findall(r"# TYPE (approvals_\w+)", exposition())
    assert sorted(re.findall(r"^\| `(approvals_\w+)", PAGE, flags=re.MULTILINE)) == sorted(kinds)


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_every_panel_has_a_title_a_sentence_a_unit_and_asks_the_chosen_prometheus(
    panel: Manifest,
) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    for asked in (panel, *panel["targets"]):
        assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:
        for _, matchers in named(target["expr"]):
            assert ("namespace", "$namespace") in matchers


def test_no_panel_lies_on_another() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD)["panels"]]
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below
    ids = [panel["id"] for panel in json.loads(DASHBOARD)["panels"]]
    assert len(set(ids)) == len(ids)


def test_the_chart_makes_both_as_they_stand_there(rendered: Mapping[str, Objects]) -> None:
    found = rendered["full"]
    rule, dashboard = found.one("PrometheusRule"), found.named("ConfigMap", "-dashboard")
    assert rule["spec"] == yaml.safe_load(RULES)
    assert json.loads(dashboard["data"]["approvals.json"]) == json.loads(DASHBOARD)
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "yes"
    for made in (rule, dashboard):
        assert made["metadata"]["labels"]["app.kubernetes.io/name"] == "approvals"


def test_neither_is_made_unless_it_is_asked_for(helm: Helm) -> None:
    assert helm.render().of("PrometheusRule") == []
    for value, kind in (("rules", "PrometheusRule"), ("dashboard", "ConfigMap")):
        names = [o["metadata"]["name"] for o in helm.render().of(kind)]
        asked = helm.render("--set", f"metrics.{value}.enabled=true").of(kind)
        assert len(asked) == len(names) + 1
    assert asked[-1]["metadata"]["labels"]["grafana_dashboard"] == "1"
