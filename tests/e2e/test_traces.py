"""One held call is one trace: what happened when, with names and ids and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from tests.e2e.test_hostile_input import call_body, mcp
from tests.e2e.world import world

pytestmark = pytest.mark.anyio

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALL = {"approvals.agent", "approvals.server", "approvals.tool"}
APPROVAL = {*CALL, "approvals.approval_id", "approvals.status"}


class Traces:
    """A provider whose spans are kept here."""

    def __init__(self) -> None:
        self.provider = TracerProvider(shutdown_on_exit=False)
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    @property
    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        [found] = self.named(name)
        return found


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def is_inside(inner: ReadableSpan, outer: ReadableSpan) -> bool:
    return inner.parent is not None and inner.parent.span_id == own(outer).span_id


def own(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


@pytest.mark.usefixtures("deployment")
async def test_a_held_call_is_one_trace_that_continues_its_callers(tmp_path: Path) -> None:
    traces = Traces()
    async with world(tmp_path, traces=traces.provider) as w:
        body, parent = call_body('{"what":"x"}'), f"00-{TRACE}-{PARENT}-01"
        calling = asyncio.create_task(mcp(w, body, traceparent=parent))
        [approval] = await w.pending()
        await w.approve(approval)
        assert (await calling).json()["result"]["isError"] is False
    request = traces.one("POST /mcp/{server}")
    gate, hold = traces.one("gate"), traces.one("hold")
    release, send = traces.one("release"), traces.one("send")
    assert request.parent is not None
    assert f"{request.parent.span_id:016x}" == PARENT
    assert f"{own(request).trace_id:032x}" == TRACE
    assert is_inside(gate, request)
    assert is_inside(hold, request)
    assert is_inside(release, hold)
    assert is_inside(send, release)
    assert send.kind is SpanKind.CLIENT
    decide = traces.one("decide")
    assert is_inside(decide, traces.one("POST /v1/approvals/{id}/approve"))
    statuses = {
        "gate": "pending",
        "hold": "succeeded",
        "release": "succeeded",
        "send": "sent",
        "decide": "approved",
    }
    for name, status in statuses.items():
        assert attributes(traces.one(name)) == {
            "approvals.approval_id": approval["id"],
            "approvals.status": status,
            "approvals.agent": "bot",
            "approvals.server": "up",
            "approvals.tool": "act",
        }


async def test_a_call_that_is_not_parked_has_no_approval_in_its_trace(tmp_path: Path) -> None:
    traces = Traces()
    async with world(tmp_path, traces=traces.provider) as w, w.agent() as agent:
        await agent.call_tool("look", {"what": "x"})
    assert attributes(traces.one("gate")).keys() == CALL
    assert not traces.named("hold")


async def test_of_an_error_only_its_kind_is_told(tmp_path: Path) -> None:
    traces = Traces()
    async with world(tmp_path, traces=traces.provider) as w:
        approval = await w.parked()
        assert (await w.approve({**approval, "digest": "v1:sha256:0"})).status_code == 409
    decide = traces.one("decide")
    assert decide.status.status_code is StatusCode.ERROR
    assert decide.status.description is None
    assert attributes(decide) == {"error.type": "DigestMismatch"}
    assert not decide.events


async def test_nobody_elses_trace_is_passed_on_to_the_server(tmp_path: Path) -> None:
    """No byte of the client reaches it (docs/decisions/0005), not even the id of its trace."""
    traces = Traces()
    async with world(tmp_path, traces=traces.provider) as w:
        parent = f"00-{TRACE}-{PARENT}-01"
        calling = asyncio.create_task(mcp(w, call_body('{"what":"x"}'), traceparent=parent))
        [approval] = await w.pending()
        await w.approve(approval)
        await calling
        assert w.upstream.seen
        for headers in w.upstream.headers:
            assert not headers.keys() & {"traceparent", "tracestate", "baggage"}
            assert TRACE not in str(headers)


async def test_questions_of_machines_for_health_make_no_traces(tmp_path: Path) -> None:
    traces = Traces()
    async with world(tmp_path, traces=traces.provider) as w:
        for path in ("healthz", "readyz", "metrics"):
            await w.http.get(f"{w.url}/{path}")
    assert traces.all == []


async def test_without_a_provider_nothing_is_recorded_and_nothing_fails(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        parent = "00-not-a-trace-parent-at-all"
        calling = asyncio.create_task(mcp(w, call_body('{"what":"x"}'), traceparent=parent))
        [approval] = await w.pending()
        await w.approve(approval)
        assert (await calling).json()["result"]["isError"] is False
