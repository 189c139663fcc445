"""`serve` exports traces where OpenTelemetry's own variables say where to, and only then."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import httpx2
import pytest

from approvals.config.settings import exports_traces
from tests.cli.test_serve import APPROVALS, Machine

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
EXPORTER = '''
import os
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

class OTLPSpanExporter(SpanExporter):
    """Writes services and spans into a file."""

    def export(self, spans):
        with open(os.environ["EXPORTED"], "a") as file:
            for span in spans:
                print(span.resource.attributes["service.name"], span.name, file=file)
        return SpanExportResult.SUCCESS
'''
NONE = "raise ImportError('there is none')"


@pytest.mark.parametrize("variable", [*ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_traces_are_asked_for_by_naming_a_place(variable: str) -> None:
    assert exports_traces({variable: "http://collector:4318"})
    assert not exports_traces({variable: "", "OTEL_SERVICE_NAME": "approvals"})


def served_once(folder: Path, exporter: str, more: dict[str, str]) -> tuple[str, list[str]]:
    """Serve one request with this exporter installed; what stands in stderr, and what was exported
    until the process had ended."""
    place = folder / "packages/opentelemetry/exporter/otlp/proto/http"
    place.mkdir(parents=True)
    (place / "trace_exporter.py").write_text(exporter)
    exported = folder / "exported"
    exported.touch()
    machine = Machine(folder)
    packages = {"PYTHONPATH": f"{folder}/packages", "EXPORTED": str(exported)}
    process = subprocess.Popen(
        [APPROVALS, "serve"],
        cwd=folder,
        env={**machine.environment, **packages, **more},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    answered(f"{machine.url}/openapi.json")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    return errors, exported.read_text().splitlines()


def answered(url: str) -> None:
    for _ in range(400):
        try:
            assert httpx2.get(url, trust_env=False, timeout=30).status_code == 200
        except httpx2.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the service did not start")


def test_what_was_traced_is_exported_before_the_process_ends(tmp_path: Path) -> None:
    errors, exported = served_once(tmp_path, EXPORTER, ENDPOINT)
    assert exported == ["approvals GET /openapi.json"]
    assert errors == ""


def test_the_environments_name_of_the_service_stands_before_ours(tmp_path: Path) -> None:
    _, exported = served_once(tmp_path, EXPORTER, {**ENDPOINT, "OTEL_SERVICE_NAME": "mine"})
    assert exported == ["mine GET /openapi.json"]


def test_nothing_is_exported_where_nobody_named_a_place(tmp_path: Path) -> None:
    assert served_once(tmp_path, EXPORTER, {}) == ("", [])


def test_without_an_exporter_the_service_says_what_to_install_and_serves(tmp_path: Path) -> None:
    errors, exported = served_once(tmp_path, NONE, ENDPOINT)
    assert "no traces are exported (there is none); pip install mcp-approvals[otel]" in errors
    assert exported == []
