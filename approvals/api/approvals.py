"""/v1/approvals: ask, look, wait, decide, withdraw."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.responses import Response

from approvals.api import bodies
from approvals.api.cursors import check_known, cursor, limit, place
from approvals.api.resources import refusal_resource, viewed
from approvals.api.routes import Operation, agent, answer, principal
from approvals.domain.call import Call, Executor, canonical_arguments, read_definition
from approvals.domain.policy.model import Ruling
from approvals.domain.refused import Code
from approvals.domain.risk import Level
from approvals.domain.states import Answer, Approval, Pending, Status
from approvals.errors import InvalidFilter, InvalidInput, TooManyPending
from approvals.ports import ListFilter
from approvals.service.approvals import Answering, see
from approvals.service.gate import Allowed, Arrival, Held, Refused, Undelivered
from approvals.service.waiting import MAX_LONG_POLL
from approvals.wire import services

if TYPE_CHECKING:
    from starlette.requests import Request

    from approvals.domain.call import ToolDefinition
    from approvals.service.identity import AgentPrincipal, Principal

MAX_KEY = 200
_FILTERS = frozenset({"status", "agent", "server", "tool", "risk", "limit", "cursor"})


async def create(request: Request) -> Response:
    """Ask about a call: allowed, refused, or parked until somebody decides."""
    by = await agent(request, "An agent's key (agt_…) asks; a person's key decides.")
    body = await bodies.read(request, bodies.NewCall)
    call = Call(
        executor=Executor.CALLER,
        server=body.server,
        tool=body.tool,
        arguments=canonical_arguments(body.arguments),
        agent=by.name,
        owner=by.owner,
        session=body.session,
        definition=_definition(body),
        justification=body.justification,
        argument_order=tuple(body.arguments),
    )
    gate = services(request).gate
    arrival = await gate.arrive(call, gate.judge(call), idempotency_key=_idempotency(request))
    if isinstance(arrival, Undelivered):
        await services(request).releases.hand_over(arrival.approval, _nobody_leaves())
    return _arrived(request, by, arrival)


async def get(request: Request) -> Response:
    """Read one, or wait up to `wait` seconds (at most 55) until it has been decided.

    With If-None-Match waits for any newer version, and answers 304 when there is none.
    """
    by = await principal(request)
    use, id_ = services(request), request.path_params["id"]
    wait, known = _wait(request), request.headers.get("if-none-match")

    def news(found: Approval) -> bool:
        shown = use.approvals.shown(see(by, found))
        if known is not None:
            return _etag(shown) != known
        return not isinstance(shown.state, Pending)

    if wait:
        approval = use.approvals.shown(await use.waiting.until(id_, news, within=wait))
    else:
        approval = await use.approvals.get(by, id_)
    if known is not None and _etag(approval) == known:
        return Response(status_code=304, headers={"etag": known, "cache-control": "no-store"})
    return one(request, by, approval)


async def list_approvals(request: Request) -> Response:
    """Approvals that the asker may see, youngest first."""
    by = await principal(request)
    page = await services(request).approvals.page(by, _filter(request))
    directory = services(request).rules.current.directory
    last = page.approvals[-1] if page.approvals else None
    return answer(
        {
            "approvals": [viewed(a, viewer=by, directory=directory) for a in page.approvals],
            "next_cursor": cursor(last.created_at, last.id) if page.more and last else None,
        }
    )


async def approve(request: Request) -> Response:
    """Say yes to exactly what the digest names."""
    by = await principal(request)
    body = await bodies.read(request, bodies.Approve)
    return await _decide(request, by, Answer.APPROVE, body)


async def deny(request: Request) -> Response:
    """Say no."""
    by = await principal(request)
    body = await bodies.read(request, bodies.Deny)
    return await _decide(request, by, Answer.DENY, body)


_DECIDED = {
    200: "the approval after it; the same person's same decision again changes nothing",
    403: "not_an_approver, owner_excluded, assurance_too_low, forbidden",
    404: "not there, or not yours to see",
    409: "already_decided, expired, cancelled, you_already_decided, digest_mismatch",
    422: "invalid_input",
}

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/approvals",
        summary="Ask about a call",
        handler=create,
        body=bodies.NewCall,
        headers=("Idempotency-Key",),
        answers={
            200: "allowed, refused, or already known",
            201: "parked",
            422: "invalid_input, invalid_arguments, idempotency_mismatch",
            429: "too_many_pending",
        },
    ),
    Operation(
        method="GET",
        path="/v1/approvals",
        summary="List approvals",
        handler=list_approvals,
        query=sorted(_FILTERS),
        answers={200: "a page", 422: "invalid_filter"},
    ),
    Operation(
        method="GET",
        path="/v1/approvals/{id}",
        summary="Read an approval, or wait for its decision",
        handler=get,
        query=("wait",),
        headers=("If-None-Match",),
        answers={200: "the approval", 304: "nothing newer", 404: "not there", 422: "bad wait"},
    ),
    Operation(
        method="POST",
        path="/v1/approvals/{id}/approve",
        summary="Approve a call",
        handler=approve,
        body=bodies.Approve,
        answers=_DECIDED,
    ),
    Operation(
        method="POST",
        path="/v1/approvals/{id}/deny",
        summary="Deny a call",
        handler=deny,
        body=bodies.Deny,
        answers=_DECIDED,
    ),
)


def _nobody_leaves() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


async def _decide(
    request: Request, by: Principal, said: Answer, body: bodies.Approve | bodies.Deny
) -> Response:
    answering = Answering(answer=said, digest=body.digest, reason=body.reason, channel="rest")
    approval = await services(request).approvals.decide(by, request.path_params["id"], answering)
    return one(request, by, approval)


def _definition(body: bodies.NewCall) -> ToolDefinition | None:
    if body.definition is None:
        return None
    definition = read_definition(body.definition)
    if definition.name != body.tool:
        raise InvalidInput("`definition` is of another tool.")
    return definition


def _arrived(request: Request, by: AgentPrincipal, arrival: Arrival) -> Response:
    directory = services(request).rules.current.directory
    verdict, approval, refusal, status = str(Ruling.REQUIRE_APPROVAL), None, None, 200
    match arrival:
        case Allowed():
            verdict = str(Ruling.ALLOW)
        case Refused(refusal=said) if said.code is Code.TOO_MANY_PENDING:
            raise TooManyPending(said.message, retry_after=said.retry_after or 1)
        case Refused():
            verdict, refusal, approval = str(Ruling.DENY), arrival.refusal, arrival.approval
        case Held() | Undelivered():
            approval = arrival.approval
            status = 201 if isinstance(arrival, Held) and arrival.created else 200
    return answer(
        {
            "verdict": verdict,
            "approval": viewed(approval, viewer=by, directory=directory) if approval else None,
            "refusal": refusal_resource(refusal) if refusal else None,
        },
        status=status,
    )


def one(request: Request, by: Principal, approval: Approval) -> Response:
    """An approval as the asker may see it, with its version as ETag."""
    directory = services(request).rules.current.directory
    return answer(
        viewed(approval, viewer=by, directory=directory),
        headers={"etag": _etag(approval)},
    )


def _etag(approval: Approval) -> str:
    return f'"{approval.version}"'


def _idempotency(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= MAX_KEY:
        raise InvalidInput(f"An Idempotency-Key has 1 to {MAX_KEY} characters.")
    return key


def _wait(request: Request) -> timedelta:
    text = request.query_params.get("wait", "0")
    if not text.isdigit() or not text.isascii() or len(text) > 3:  # noqa: PLR2004
        raise InvalidInput("`wait` is a whole number of seconds, at most 55.")
    return min(timedelta(seconds=int(text)), MAX_LONG_POLL)


def _filter(request: Request) -> ListFilter:
    query = request.query_params
    check_known(query, sorted(_FILTERS))
    return ListFilter(
        statuses=frozenset(_status(text) for text in query.getlist("status")),
        agent=query.get("agent"),
        server=query.get("server"),
        tool=query.get("tool"),
        risk=_risk(query.get("risk")),
        limit=limit(query.get("limit", "50")),
        after=place(query.get("cursor")),
    )


def _status(text: str) -> Status:
    try:
        return Status(text)
    except ValueError:
        raise InvalidFilter(f"`status` is one of {', '.join(Status)}.") from None


def _risk(text: str | None) -> Level | None:
    if text is None:
        return None
    try:
        return Level(text)
    except ValueError:
        raise InvalidFilter(f"`risk` is one of {', '.join(Level)}.") from None
