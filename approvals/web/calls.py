"""`/a/{id}`: the card of one call, and the buttons. Each button is a form that goes without script.

What is decided is the digest that the page shows; losing a race is news, and no error.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from approvals.domain.card import Card, card, standing
from approvals.domain.offer import Offer, offer
from approvals.domain.risk import Level
from approvals.domain.states import Answer, Status
from approvals.errors import ApprovalsError, NotFound, Unauthenticated
from approvals.service.approvals import Answering
from approvals.web import guard
from approvals.web.live import stream
from approvals.web.page import page, part, seen_elsewhere
from approvals.wire import services, status_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response

    from approvals.domain.states import Approval
    from approvals.service.services import Services
    from approvals.web.guard import SignedIn

MAX_REASON = 1000


class View:
    """One approval as one person sees it. `proof`: that its hidden values were revealed to them."""

    def __init__(
        self, request: Request, who: SignedIn, approval: Approval, proof: str = ""
    ) -> None:
        self._use = services(request)
        self._who = who
        self.approval = approval
        self._proof = proof if self._offer(revealed=True).approve else ""

    async def page(
        self, *, said: str = "", confirming: bool = False, status: int = 200
    ) -> Response:
        """The whole page, made beside the event loop: arguments may be long."""
        return await asyncio.to_thread(self._page, said, status, confirming=confirming)

    def state(self) -> str:
        """What changes of it."""
        return part("live.html", self._standing())

    def _page(self, said: str, status: int, *, confirming: bool) -> Response:
        shown, may = self._card(), self._offer(revealed=bool(self._proof))
        values = {
            **self._standing(),
            "card": shown,
            "level": str(self.approval.risk.level),
            "offer": may if shown.complete else Offer(deny=may.deny, reveal=may.reveal),
            "why_not": may.why_not,
            "proof": self._proof,
            "said": said,
            "confirming": confirming,
        }
        return page("call.html", values, status=status)

    def _standing(self) -> dict[str, object]:
        book = self._use.rules.current
        stands = standing(self.approval, directory=book.directory, now=self._now())
        return {"who": self._who, "approval": self.approval, "standing": stands}

    def _card(self) -> Card:
        directory, revealed = self._use.rules.current.directory, bool(self._proof)
        return card(self.approval, directory=directory, now=self._now(), revealed=revealed)

    def _now(self) -> datetime:
        return self._use.clock.now().astimezone(self._use.rules.current.zone)

    def _offer(self, *, revealed: bool) -> Offer:
        return offer(
            self.approval,
            person=self._who.person.name,
            assurance=self._who.person.assurance,
            directory=self._use.rules.current.directory,
            revealed=revealed,
        )


async def show(request: Request) -> Response:
    """The card."""
    who = await guard.signed_in(request)
    return await (await _view(request, who)).page()


async def live(request: Request) -> Response:
    """How the call stands, again whenever it changes; without buttons once it is decided."""
    who = await guard.signed_in(request)
    view = await _view(request, who)

    async def state() -> str:
        return (await _view(request, who)).state()

    return stream(request, who, state, about=view.approval.id)


async def approve(request: Request) -> Response:
    """Approve what the page showed; a critical call is asked about twice."""
    who, fields = await guard.posted(request)
    view = await _view(request, who, fields)
    critical = view.approval.risk.level is Level.CRITICAL
    waits = view.approval.status is Status.PENDING
    as_shown = fields.get("digest") == view.approval.digest
    if critical and waits and as_shown and fields.get("confirmed") != "yes":
        return await view.page(confirming=True)
    answering = Answering(
        answer=Answer.APPROVE,
        digest=fields.get("digest", ""),
        reason=None,
        channel="web",
        revealed=fields.get("proof") or None,
    )
    return await _decided(request, who, answering)


async def deny(request: Request) -> Response:
    """Deny, with a reason that the agent is told."""
    who, fields = await guard.posted(request)
    reason = fields.get("reason", "").strip()[:MAX_REASON] or None
    answering = Answering(
        answer=Answer.DENY, digest=fields.get("digest") or None, reason=reason, channel="web"
    )
    return await _decided(request, who, answering)


async def reveal(request: Request) -> Response:
    """The card with every value, for this answer only; that it was shown is recorded."""
    who, _ = await guard.posted(request)
    approval = await _approval(services(request), request, who)
    try:
        proof = await services(request).reveals.reveal(who.person, approval)
    except ApprovalsError as error:
        return await _said(View(request, who, approval), error)
    return await View(request, who, approval, proof).page()


async def _decided(request: Request, who: SignedIn, answering: Answering) -> Response:
    approval_id = request.path_params["id"]
    try:
        await services(request).approvals.decide(who.person, approval_id, answering)
    except (NotFound, Unauthenticated):
        raise
    except ApprovalsError as error:
        return await _said(await _view(request, who), error)
    return seen_elsewhere(f"{who.base}/a/{approval_id}")


async def _said(view: View, error: ApprovalsError) -> Response:
    """The call as it is now, and why nothing was done."""
    return await view.page(said=str(error), status=status_of(error))


async def _view(request: Request, who: SignedIn, fields: Mapping[str, str] | None = None) -> View:
    use = services(request)
    approval = await _approval(use, request, who)
    proof = (fields or {}).get("proof", "")
    if proof:
        use.reveals.check(who.person.name, approval, proof)
    return View(request, who, approval, proof)


async def _approval(use: Services, request: Request, who: SignedIn) -> Approval:
    return await use.approvals.get(who.person, request.path_params["id"])
