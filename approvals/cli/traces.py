"""Traces leave the process only where an SDK is installed and the environment says where to.

The SDK and its exporter read the standard `OTEL_…` variables themselves (endpoint, headers,
sampler, resource); `pip install mcp-approvals[otel]` brings both.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from approvals import __version__
from approvals.config.settings import exports_traces

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger(__name__)


def provider() -> TracerProvider | None:
    """Where spans go; None: nowhere, or where the process's own provider sends them.

    What is left is exported when the process ends.
    """
    if not exports_traces():
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        logger.warning("no traces are exported (%s); pip install mcp-approvals[otel]", error)
        return None
    ours = {"service.name": "approvals", "service.version": __version__}
    resource = Resource.create(ours).merge(OTELResourceDetector().detect())
    made = TracerProvider(resource=resource)
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return made
