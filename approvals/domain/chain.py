"""Audit events, each linked to the one before it in its stream by a hash.

A stream is one approval, or one process for calls that were never parked. The approval's row keeps
its stream's head, so the compare-and-set that orders decisions orders the chain as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain.digest import sha256
from approvals.domain.strictjson import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

GENESIS = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The newest event of a stream."""

    seq: int = 0
    hash: str = GENESIS


NO_EVENTS = Head()


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """Something that happened, not yet linked into a stream."""

    id: str
    type: str
    actor: str
    at: datetime
    detail: Mapping[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A fact in its place: `previous` names the event before it, `hash` covers all of this."""

    stream: str
    seq: int
    previous: str
    protected: str
    fact: Fact
    hash: str

    @property
    def head(self) -> Head:
        return Head(seq=self.seq, hash=self.hash)


def link(head: Head, stream: str, fact: Fact, *, protected: str = "") -> Event:
    """Put `fact` after `head`; `protected` is the hash of the approval's columns after it."""
    seq = head.seq + 1
    text = canonical(
        {
            "actor": fact.actor,
            "at": fact.at.isoformat(),
            "detail": dict(fact.detail),
            "id": fact.id,
            "previous": head.hash,
            "protected": protected,
            "seq": seq,
            "stream": stream,
            "type": fact.type,
        }
    )
    return Event(
        stream=stream,
        seq=seq,
        previous=head.hash,
        protected=protected,
        fact=fact,
        hash=sha256(text),
    )
