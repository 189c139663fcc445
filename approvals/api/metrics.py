"""/metrics, without a key: counts and times, never a value or a name from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from approvals.api.routes import Operation
from approvals.wire import services

if TYPE_CHECKING:
    from starlette.requests import Request

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


async def metrics(request: Request) -> Response:
    """What this process has counted since its start, and how things stand, for Prometheus.

    Also while the database does not answer: then without what only it knows."""
    use = services(request)
    text = use.meter.exposition(await use.overview.now())
    return Response(text, headers={"content-type": PROMETHEUS, "cache-control": "no-store"})


OPERATIONS = (
    Operation(
        method="GET",
        path="/metrics",
        summary="Counts and times for Prometheus",
        handler=metrics,
        answers={200: "all of them"},
        media_type="text/plain",
        secured=False,
        tags=("health",),
    ),
)
