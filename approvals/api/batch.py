"""/v1/decisions: several answers in one request, each judged by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from approvals.api import bodies
from approvals.api.resources import viewed
from approvals.api.routes import Operation, answer, person
from approvals.domain.states import Answer
from approvals.errors import ApprovalsError, InvalidInput
from approvals.service.approvals import Answering
from approvals.wire import services, status_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from approvals.service.identity import PersonPrincipal
    from approvals.service.services import Services

ONLY = "An agent never decides. Ask a person."


async def decide_many(request: Request) -> Response:
    """At most 100 answers. Each has its own status in the answer: some may be too late."""
    by = await person(request, ONLY)
    body = await bodies.read(request, bodies.Decisions)
    ids = [item.approval_id for item in body.root]
    if len(set(ids)) < len(ids):
        raise InvalidInput("An approval is named twice; nothing was decided.")
    use = services(request)
    return answer({"results": await asyncio.gather(*(_one(use, by, one) for one in body.root))})


async def _one(use: Services, by: PersonPrincipal, item: bodies.OneDecision) -> dict[str, object]:
    said = Answer(item.decision)
    answering = Answering(answer=said, digest=item.digest, reason=item.reason, channel="rest")
    about: dict[str, object] = {"approval_id": item.approval_id}
    try:
        approval = await use.approvals.decide(by, item.approval_id, answering)
    except ApprovalsError as error:
        failed = {"code": error.code, "detail": str(error)}
        return {**about, "status": status_of(error), "approval": None, "error": failed}
    shown = viewed(approval, viewer=by, directory=use.rules.current.directory)
    return {**about, "status": 200, "approval": shown, "error": None}


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/decisions",
        summary="Decide several calls",
        handler=decide_many,
        body=bodies.Decisions,
        answers={200: "each with its status", 403: "forbidden", 422: "invalid_input"},
    ),
)
