"""/v1/deliveries: what channels were told, and were not; /v1/slack/test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from approvals.api import bodies
from approvals.api.cursors import check_known, cursor, limit, place
from approvals.api.routes import Operation, answer, person
from approvals.errors import InvalidFilter
from approvals.ports.telling import DeliveryFilter, Ending
from approvals.resource import time_text
from approvals.wire import services

if TYPE_CHECKING:
    from starlette.requests import Request

    from approvals.ports.telling import DeliveryRecord

ONLY = "Deliveries are looked at by people."
WAITING = "waiting"
_FILTERS = ("approval", "channel", "status", "limit", "cursor")


async def list_deliveries(request: Request) -> Response:
    """Those of one approval, or all that wait or were given up, oldest first."""
    await person(request, ONLY)
    filter_ = _filter(request)
    found = await services(request).redelivery.list(filter_)
    last = found[-1].delivery if len(found) == filter_.limit else None
    return answer(
        {
            "deliveries": [delivery_resource(record) for record in found],
            "next_cursor": cursor(last.at, last.id) if last else None,
        }
    )


async def redeliver(request: Request) -> Response:
    """Tell it again now, whatever became of it."""
    by = await person(request, ONLY)
    body = await bodies.read(request, bodies.Again)
    return answer(delivery_resource(await services(request).redelivery.redeliver(by, body.id)))


async def slack_test(request: Request) -> Response:
    """Post a sample with a button that decides nothing and says what it has passed."""
    by = await person(request, ONLY)
    body = await bodies.read(request, bodies.Sample)
    await services(request).redelivery.sample(by, f"slack:{body.channel}")
    return Response(status_code=204)


def delivery_resource(record: DeliveryRecord) -> dict[str, object]:
    """One delivery, with its attempts: of many the first twenty and the last."""
    one = record.delivery
    return {
        "id": one.id,
        "approval_id": one.approval_id,
        "channel": one.channel,
        "event": one.event,
        "at": time_text(one.at),
        "status": str(record.ended or WAITING),
        "tries": one.attempts,
        "digested": one.digested,
        "due_at": None if record.ended else time_text(record.due_at),
        "done_at": time_text(record.done_at),
        "attempts": [
            {"at": time_text(attempt.at), "error": attempt.error or None}
            for attempt in record.attempts
        ],
    }


def _filter(request: Request) -> DeliveryFilter:
    query = request.query_params
    check_known(query, _FILTERS)
    status = query.get("status")
    if status not in {None, WAITING, *Ending}:
        raise InvalidFilter(f"`status` is one of {', '.join((WAITING, *Ending))}.")
    if status == Ending.TOLD and "approval" not in query:
        raise InvalidFilter("What was told is listed for one `approval`.")
    return DeliveryFilter(
        approval_id=query.get("approval"),
        channel=query.get("channel"),
        ended=Ending(status) if status in set(Ending) else None,
        waiting=status == WAITING,
        limit=limit(query.get("limit", "50")),
        after=place(query.get("cursor")),
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/deliveries",
        summary="List what channels were told",
        handler=list_deliveries,
        query=_FILTERS,
        answers={200: "a page", 403: "forbidden", 422: "invalid_filter"},
        tags=("deliveries",),
    ),
    Operation(
        method="POST",
        path="/v1/deliveries/redeliver",
        summary="Tell a channel again",
        handler=redeliver,
        body=bodies.Again,
        answers={200: "it is due now", 403: "forbidden", 404: "no such delivery"},
        tags=("deliveries",),
    ),
    Operation(
        method="POST",
        path="/v1/slack/test",
        summary="Post a sample in Slack",
        handler=slack_test,
        body=bodies.Sample,
        answers={
            204: "it is posted",
            403: "forbidden",
            422: "no such channel",
            502: "Slack said no",
        },
        tags=("deliveries",),
    ),
)
