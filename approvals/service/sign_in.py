"""People on the web pages: a one-time link begins a session, a cookie holds it.

The database keeps hashes of both, so that whoever reads it cannot sign in with what is there.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain.directory import Assurance
from approvals.errors import Unauthenticated
from approvals.service.identity import PersonPrincipal

if TYPE_CHECKING:
    from datetime import datetime

    from approvals.ports import SessionStore
    from approvals.service.journal import Journal
    from approvals.service.keyring import Keyring
    from approvals.service.rules import Rules

LINK_LASTS = timedelta(minutes=15)
SESSION_LASTS = timedelta(hours=12)


class SignIn:
    """Links, sessions, and who somebody is by a session."""

    def __init__(
        self, *, sessions: SessionStore, journal: Journal, keyring: Keyring, rules: Rules
    ) -> None:
        self._keyring = keyring
        self._sessions = sessions
        self._journal = journal
        self._rules = rules

    async def link(self, by: PersonPrincipal) -> tuple[str, datetime]:
        """What a new link holds, and until when it works: for oneself only, so that whoever
        decides on the pages is who they say, as far as their key is."""
        return await self._link(by.name, actor=f"person:{by.name}")

    async def first_link(self, person: str) -> tuple[str, datetime]:
        """A link made on the machine itself, for whoever may start the service there."""
        return await self._link(person, actor="service")

    async def sign_in(self, link: str) -> tuple[str, PersonPrincipal]:
        """Use a link up; what the cookie of the new session holds, and whose it is.

        A session is always a new one: what the browser held before counts for nothing. Raises
        Unauthenticated.
        """
        token = secrets.token_urlsafe(32)
        begun = await self._sessions.sign_in(_hash(link), session=_hash(token), lasts=SESSION_LASTS)
        if begun is None:
            raise Unauthenticated("This link is not known, was used before, or is too old.")
        person = self._principal(begun.person)
        await self._journal.note("signed_in", f"person:{begun.person}", {})
        return token, person

    async def person(self, token: str) -> PersonPrincipal:
        """Whose session it is. Raises Unauthenticated when it is nobody's now."""
        found = await self._sessions.session(_hash(token))
        if found is None:
            raise Unauthenticated("You are signed out.")
        return self._principal(found.person)

    async def sign_out(self, token: str) -> None:
        """End a session, on every replica."""
        found = await self._sessions.session(_hash(token))
        if found and await self._sessions.end_session(_hash(token)):
            await self._journal.note("signed_out", f"person:{found.person}", {})

    def word(self, purpose: str, token: str) -> str:
        """A word that belongs to a session and to one use. Who has the session's cookie alone
        cannot make it."""
        return self._keyring.hash(purpose, token).partition(":")[2]

    def is_word(self, purpose: str, token: str, given: str) -> bool:
        """Whether it is, also when it was made with the secret key before this one."""
        return self._keyring.verifies(purpose, token, given)

    def _principal(self, name: str) -> PersonPrincipal:
        person = self._rules.current.directory.people.get(name)
        if person is None:
            raise Unauthenticated("You are no longer in the configuration.")
        return PersonPrincipal(name=name, roles=person.roles, assurance=Assurance.WEB)

    async def _link(self, person: str, *, actor: str) -> tuple[str, datetime]:
        token = secrets.token_urlsafe(32)
        ends = await self._sessions.add_link(_hash(token), person=person, lasts=LINK_LASTS)
        await self._journal.note("sign_in_link_made", actor, {"person": person})
        return token, ends


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
