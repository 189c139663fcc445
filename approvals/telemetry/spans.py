"""Spans through the OpenTelemetry API: they cost next to nothing until an SDK is started.

Names and ids only, never an argument, a reason or the words of an error (SECURITY.md 6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from opentelemetry import context
from opentelemetry.trace import SpanKind, StatusCode, get_tracer, set_span_in_context

from approvals import __version__
from approvals.domain.states import Released
from approvals.ports import Step

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, TracerProvider

    from approvals.domain.call import Call
    from approvals.domain.states import Approval, ReleaseStatus, Status


class OpenTelemetryTracer:
    """The Tracer over a provider, or over the one that the process has."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = get_tracer("approvals", __version__, provider)

    def span(self, step: Step) -> OpenTelemetrySpan:
        kind = SpanKind.CLIENT if step is Step.SEND else SpanKind.INTERNAL
        return OpenTelemetrySpan(self._tracer.start_span(step, kind=kind))


class OpenTelemetrySpan:
    """One step, with what it is about. Nothing happens where nobody records it."""

    __slots__ = ("_before", "_records", "_span")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._records = span.is_recording()
        self._before: Token[Context] | None = None

    def __enter__(self) -> Self:
        if self._records:
            self._before = context.attach(set_span_in_context(self._span))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is None:
            return
        context.detach(self._before)
        if kind is not None and issubclass(kind, Exception):
            self._span.set_attribute("error.type", kind.__name__)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()

    def call(self, call: Call) -> None:
        if self._records:
            self._span.set_attributes(
                {
                    "approvals.agent": call.agent,
                    "approvals.server": call.server,
                    "approvals.tool": call.tool,
                }
            )

    def approval(self, approval: Approval) -> None:
        if self._records:
            self.call(approval.call)
            self._span.set_attributes(
                {
                    "approvals.approval_id": approval.id,
                    "approvals.status": str(_status(approval)),
                }
            )


def _status(approval: Approval) -> Status | ReleaseStatus:
    """How it stands, of a released one how the release does."""
    state = approval.state
    return state.release_status if isinstance(state, Released) else state.status
