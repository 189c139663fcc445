"""Hidden values: shown to one person at a time on the web page, on record, and only then approved.

Who asked to see them holds a proof of it, which names the person and the exact call
(SECURITY.md, "Input" 6).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain.rights import rights_of
from approvals.domain.states import Answer, Pending
from approvals.errors import AssuranceTooLow, Forbidden

if TYPE_CHECKING:
    from approvals.domain.states import Approval
    from approvals.domain.strictjson import Json
    from approvals.ports import Clock
    from approvals.service.identity import PersonPrincipal
    from approvals.service.journal import Journal
    from approvals.service.keyring import Keyring
    from approvals.service.rules import Rules

PURPOSE = "revealed"
LASTS = timedelta(minutes=10)
"""How long somebody who has seen hidden values may take to approve."""


class Reveals:
    """Who has seen the hidden values of which call."""

    def __init__(self, *, journal: Journal, keyring: Keyring, rules: Rules, clock: Clock) -> None:
        self._clock = clock
        self._journal = journal
        self._keyring = keyring
        self._rules = rules

    async def reveal(self, by: PersonPrincipal, approval: Approval) -> str:
        """Record that `by` is shown the hidden values now; the proof of it.

        Only who may approve the call is shown them. Raises Forbidden, NotAnApprover, OwnerExcluded
        and AssuranceTooLow errors.
        """
        if not isinstance(approval.state, Pending) or approval.erased is not None:
            raise Forbidden("Values are revealed only while the call waits for people.")
        directory = self._rules.current.directory
        rights_of(by.name, by.assurance, approval, directory, answer=Answer.APPROVE)
        detail: dict[str, Json] = {"approval": approval.id, "values": len(approval.hidden)}
        await self._journal.note("values_revealed", f"person:{by.name}", detail)
        at = round(self._clock.now().timestamp())
        return f"{at}.{self._keyring.hash(PURPOSE, _text(by.name, approval, at))}"

    def check(self, person: str, approval: Approval, proof: str | None) -> None:
        """Raises AssuranceTooLow where this person has not just seen what is hidden of the call."""
        if approval.hidden and not self._is_proof(person, approval, proof or ""):
            raise AssuranceTooLow("Reveal the hidden values of this call before you approve it.")

    def _is_proof(self, person: str, approval: Approval, proof: str) -> bool:
        at, _, made = proof.partition(".")
        if not (at.isascii() and at.isdigit()) or len(at) > len("9999999999"):
            return False
        if not self._keyring.verify(PURPOSE, _text(person, approval, int(at)), made):
            return False
        return self._clock.now().timestamp() - int(at) < LASTS.total_seconds()


def _text(person: str, approval: Approval, at: int) -> str:
    return f"{person}\0{approval.id}\0{approval.digest}\0{at}"
