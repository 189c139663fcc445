"""What people look at beside the approval itself: its card, its history, and what happens now."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from starlette.responses import StreamingResponse

from approvals.api.resources import card_resource, history_resource, refusal_resource
from approvals.api.routes import Operation, answer, person, principal
from approvals.domain.refusal import refusal_of
from approvals.domain.strictjson import canonical
from approvals.errors import ApprovalsError
from approvals.wire import services

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response

    from approvals.service.services import Services

ONLY = "Only people read this."
EVENTS = "text/event-stream"
ALIVE_EVERY = 4.0
"""Seconds after which a quiet stream says that it lives; a revoked key is dead within five."""


async def read_card(request: Request) -> Response:
    """What a person sees of a call: the same words in the same order on every surface, with what
    may be offered to the asker there."""
    by = await person(request, ONLY)
    use = services(request)
    approval = await use.approvals.get(by, request.path_params["id"])
    book = use.rules.current
    now = use.clock.now().astimezone(book.zone)
    shown = partial(card_resource, approval, viewer=by, directory=book.directory, now=now)
    return answer(await asyncio.to_thread(shown))  # arguments may be long


async def read_refusal(request: Request) -> Response:
    """What the agent that asked is told as long as there is no result."""
    by = await principal(request)
    use = services(request)
    approval = await use.approvals.get(by, request.path_params["id"])
    return answer(refusal_resource(refusal_of(approval, *use.rules.current.telling)))


async def read_history(request: Request) -> Response:
    """Every event of one approval, oldest first, exactly as it is chained."""
    by = await person(request, ONLY)
    use = services(request)
    approval = await use.approvals.seen(by, request.path_params["id"])
    found = await use.store.events(approval.id)
    return answer({"events": [history_resource(event) for event in found]})


async def watch(request: Request) -> Response:
    """Hints as server-sent events: `changed` with `{id, version}`. The first one, and any one after
    hints were lost, is `reset`: look at everything anew. The truth is in the approvals."""
    await person(request, ONLY)
    return StreamingResponse(
        _hints(request, services(request)),
        media_type=EVENTS,
        headers={"cache-control": "no-store", "x-content-type-options": "nosniff"},
    )


async def _hints(request: Request, use: Services) -> AsyncIterator[str]:
    with use.news.watching() as watching:
        while not use.waiting.stopping:
            anew, changed = await watching.next(within=ALIVE_EVERY)
            try:
                await person(request, ONLY)  # a key may have been revoked, a session ended
            except ApprovalsError:
                return
            if anew:
                yield "event: reset\ndata: {}\n\n"
            for approval_id, version in changed.items():
                hint = canonical({"id": approval_id, "version": version})
                yield f"event: changed\ndata: {hint}\n\n"
            if not anew and not changed:
                yield ": alive\n\n"


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/approvals/{id}/card",
        summary="What a person sees of a call",
        handler=read_card,
        answers={200: "the card", 403: "forbidden: for people", 404: "not there"},
    ),
    Operation(
        method="GET",
        path="/v1/approvals/{id}/refusal",
        summary="What the agent is told while there is no result",
        handler=read_refusal,
        answers={200: "the refusal", 404: "not there, or not yours"},
    ),
    Operation(
        method="GET",
        path="/v1/approvals/{id}/events",
        summary="The history of one approval",
        handler=read_history,
        answers={200: "its events", 403: "forbidden: for people", 404: "not there"},
    ),
    Operation(
        method="GET",
        path="/v1/events",
        summary="Hints of what changes",
        handler=watch,
        answers={200: "server-sent events", 403: "forbidden: for people"},
        media_type=EVENTS,
    ),
)
