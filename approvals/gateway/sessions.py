"""Session ids of the upstream, sealed to the agent they were given to.

The agent gets `<upstream id>.<keyed hash>`. Another agent cannot use it, and nothing is kept here,
so it survives restarts and works on every replica.
"""

from __future__ import annotations

import secrets
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain.strictjson import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.domain.strictjson import Json
    from approvals.ports import Give
    from approvals.service.keyring import Keyring


class Sessions:
    """Seals and opens session ids."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal(self, session: str, *, agent: str, server: str) -> str:
        """What the agent is given in place of the upstream's session id."""
        mac = self._keyring.hash("session", canonical([agent, server, session]))
        return f"{session}.{mac.replace(':', '.')}"

    def open(self, sealed: str, *, agent: str, server: str) -> str | None:
        """The upstream's session id; None when it was not sealed for this agent and server."""
        session, _, mac = sealed.rpartition(".")
        session, _, key = session.rpartition(".")
        if not session:
            return None
        text = canonical([agent, server, session])
        return session if self._keyring.verify("session", text, f"{key}:{mac}") else None


MAX_QUESTIONS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a server asks while an approved call of `owner` runs, under its own `id`."""

    id: Json
    owner: object
    give: Give


class Busy:
    """Upstream sessions in which an approved call is being sent.

    A client that leaves ends its session; that must not end the call that a person approved.
    """

    def __init__(self) -> None:
        self._sending: Counter[str] = Counter()
        self._questions: dict[tuple[str, str], Question] = {}

    @contextmanager
    def sending(self, session: str) -> Iterator[None]:
        """While inside, the session is in use."""
        self._sending[session] += 1
        try:
            yield
        finally:
            self._sending[session] -= 1
            if not self._sending[session]:
                del self._sending[session]

    def ask(self, session: str, question: Question) -> str | None:
        """Remember a question of the server; the id under which a client is asked it. None: too
        many of this call have no answer yet."""
        if sum(q.owner is question.owner for q in self._questions.values()) >= MAX_QUESTIONS:
            return None
        id_ = f"approvals-{secrets.token_hex(16)}"
        self._questions[session, id_] = question
        return id_

    def asked(self, session: str, id_: Json) -> Question | None:
        """The question that was asked under this id; once."""
        return self._questions.pop((session, id_), None) if isinstance(id_, str) else None

    def asked_as(self, owner: object, theirs: Json) -> str | None:
        """The id under which the server's question `theirs` was asked for the call of `owner`."""
        return next(
            (
                id_
                for (_, id_), question in self._questions.items()
                if question.owner is owner and question.id == theirs
            ),
            None,
        )

    def forget(self, owner: object) -> None:
        """Questions of a call that has come back need no answer."""
        self._questions = {k: q for k, q in self._questions.items() if q.owner is not owner}

    def is_busy(self, session: str) -> bool:
        return session in self._sending
