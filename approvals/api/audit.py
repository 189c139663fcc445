"""/v1/audit: look at it, verify it, take it away. Nothing here changes anything."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse

from approvals.api.cursors import check_known, cursor, limit, place
from approvals.api.resources import event_resource, finding_resource, seal_resource
from approvals.api.routes import Operation, answer, principal
from approvals.domain.summary import json_shown
from approvals.errors import InvalidFilter
from approvals.ports import EventFilter
from approvals.wire import services

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from approvals.domain.audit import StoredEvent
    from approvals.service.verification import Verified

_FILTERS = ("actor", "cursor", "from", "limit", "stream", "to", "type")
_TIMES = ("from", "to")
NDJSON = "application/x-ndjson"


async def list_events(request: Request) -> Response:
    """Events, newest first, each as it stands in the database."""
    by = await principal(request)
    filter_ = _filter(request)
    found = await services(request).audit.page(by, filter_)
    last = found[-1] if len(found) == filter_.limit else None
    return answer(
        {
            "events": [event_resource(event) for event in found],
            "next_cursor": cursor(last.at, last.id) if last and last.at else None,
        }
    )


async def verify(request: Request) -> Response:
    """Whether everything is what was written: every event, seal, approval, decision and result.

    Takes long on a large database. 200 also when something is found.
    """
    by = await principal(request)
    check_known(request.query_params, ())
    return answer(verified_resource(await services(request).audit.verified(by)))


async def export(request: Request) -> Response:
    """Every event of a time, oldest first, one JSON object a line."""
    by = await principal(request)
    check_known(request.query_params, _TIMES)
    since, until = _time(request, "from"), _time(request, "to")
    pages = await services(request).audit.export(by, since=since, until=until)
    headers = {"cache-control": "no-store"}
    return StreamingResponse(_lines(pages), media_type=NDJSON, headers=headers)


def verified_resource(found: Verified) -> dict[str, object]:
    """What was looked at, and what is wrong with it."""
    return {
        "ok": found.found == 0,
        "events": found.events,
        "approvals": found.approvals,
        "seals": found.seals,
        "unsealed": found.unsealed,
        "newest_seal": seal_resource(found.newest) if found.newest else None,
        "found": found.found,
        "findings": [finding_resource(finding) for finding in found.findings],
    }


async def _lines(pages: AsyncIterator[Sequence[StoredEvent]]) -> AsyncIterator[str]:
    async for page in pages:
        yield "".join(f"{json_shown(event_resource(event))}\n" for event in page)


def _filter(request: Request) -> EventFilter:
    query = request.query_params
    check_known(request.query_params, _FILTERS)
    return EventFilter(
        stream=query.get("stream"),
        type=query.get("type"),
        actor=query.get("actor"),
        since=_time(request, "from"),
        until=_time(request, "to"),
        newest_first=True,
        limit=limit(query.get("limit", "50")),
        after=place(query.get("cursor")),
    )


def _time(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is None:
            raise ValueError
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidFilter(
            f"`{name}` is a time with its zone, such as 2026-11-20T14:00:00Z."
        ) from None


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/audit",
        summary="List audit events",
        handler=list_events,
        query=_FILTERS,
        answers={200: "a page", 403: "forbidden", 422: "invalid_filter"},
        tags=("audit",),
    ),
    Operation(
        method="GET",
        path="/v1/audit/verify",
        summary="Verify the audit",
        handler=verify,
        answers={200: "what was looked at and found", 403: "forbidden", 422: "invalid_filter"},
        tags=("audit",),
    ),
    Operation(
        method="GET",
        path="/v1/audit/export",
        summary="Export audit events",
        handler=export,
        query=_TIMES,
        answers={200: "one event a line", 403: "forbidden", 422: "invalid_filter"},
        media_type=NDJSON,
        tags=("audit",),
    ),
)
