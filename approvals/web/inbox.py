"""`/`: what waits for people. Rows say what, how bad, who asks and until when; nothing is decided
here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.domain.card import standing
from approvals.domain.states import Status
from approvals.ports import ListFilter
from approvals.web import guard
from approvals.web.live import stream
from approvals.web.page import page, part
from approvals.wire import services

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from approvals.domain.card import Standing
    from approvals.domain.states import Approval
    from approvals.service.services import Services
    from approvals.web.guard import SignedIn

SHOWN = 100


async def inbox(request: Request) -> Response:
    """The calls that wait, youngest first."""
    who = await guard.signed_in(request)
    return page("inbox.html", {"who": who, **await _rows(request, who)})


async def live(request: Request) -> Response:
    """The rows again whenever something changes."""
    who = await guard.signed_in(request)

    async def rows() -> str:
        return part("rows.html", {"who": who, **await _rows(request, who)})

    return stream(request, who, rows)


async def _rows(request: Request, who: SignedIn) -> dict[str, object]:
    use = services(request)
    waiting = ListFilter(statuses=frozenset({Status.PENDING}), limit=SHOWN)
    found = await use.approvals.page(who.person, waiting)
    pending = [approval for approval in found.approvals if approval.status is Status.PENDING]
    return {"rows": [_row(use, approval) for approval in pending], "more": found.more}


def _row(use: Services, approval: Approval) -> tuple[Approval, Standing]:
    book = use.rules.current
    now = use.clock.now().astimezone(book.zone)
    return approval, standing(approval, directory=book.directory, now=now)
