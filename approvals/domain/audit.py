"""What is wrong with an audit: its streams, event by event, and its seals.

Pure: rows come in as they are stored, findings go out. Nothing here is trusted because it stands in
the database; what a row says of itself is made again and compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from approvals.domain.chain import GENESIS, Head, link
from approvals.domain.seal import following, key_id, root_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from approvals.domain.chain import Event
    from approvals.domain.seal import Keys, Seal


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What is wrong with one row. `at` is when the row says that it was written."""

    table: str
    row: str
    what: str
    stream: str | None = None
    seq: int | None = None
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredEvent:
    """A row of the audit. `event` is None when it cannot be read; `odd` are columns that hold
    another text than the service writes for their value."""

    id: str
    stream: str
    seq: int
    hash: str
    at: datetime | None
    seal: int | None
    event: Event | None
    odd: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """What the events of a stream say, up to its last one so far.

    `follows` are the hashes that the next event may name: one, unless the last one was altered.
    """

    name: str
    last: StoredEvent | None = None
    follows: frozenset[str] = frozenset({GENESIS})
    hidden: Mapping[str, str] = field(default_factory=dict)
    decisions: tuple[Mapping[str, object], ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def seq(self) -> int:
        return self.last.seq if self.last else 0

    @property
    def head(self) -> Head:
        return Head(seq=self.last.seq, hash=self.last.hash) if self.last else Head()

    @property
    def protected(self) -> str | None:
        """The hash of the approval's columns after the last event; None: it cannot be read."""
        return self.last.event.protected if self.last and self.last.event else None


def followed(stream: Stream, stored: StoredEvent) -> Stream:
    """The stream with its next event."""
    event = stored.event
    if event is None:
        return replace(
            stream,
            last=replace(stored, seq=stream.seq + 1),
            follows=frozenset({stored.hash}),
            findings=(*stream.findings, wrong_event(stored, "cannot be read")),
        )
    made = link(
        Head(seq=event.seq - 1, hash=event.previous),
        event.stream,
        event.fact,
        protected=event.protected,
    )
    words = [*_place(stream, event), *_content(stored, made)]
    detail = event.fact.detail
    hidden = detail.get("hidden")
    return replace(
        stream,
        last=stored,
        follows=frozenset({stored.hash, made.hash}),
        hidden={at: str(hash_) for at, hash_ in hidden.items()}
        if isinstance(hidden, dict)
        else stream.hidden,
        decisions=(*stream.decisions, detail) if "answer" in detail else stream.decisions,
        findings=(*stream.findings, *(wrong_event(stored, what) for what in words)),
    )


def _place(stream: Stream, event: Event) -> Sequence[str]:
    """Whether it stands where it belongs."""
    missing = range(stream.seq + 1, event.seq)
    if event.seq != stream.seq + 1:
        if not missing:
            return [f"has the number {event.seq}, and {stream.seq + 1} is next"]
        last = f" to {missing[-1]}" if len(missing) > 1 else ""
        return [f"comes after a gap: {missing[0]}{last} missing"]
    return [] if event.previous in stream.follows else ["does not follow the event before it"]


def _content(stored: StoredEvent, made: Event) -> Sequence[str]:
    if made.hash != stored.hash:
        return ["was altered: its hash is that of another content"]
    if stored.odd:
        return [f"was altered in {', '.join(stored.odd)}"]
    return []


def wrong_event(stored: StoredEvent, what: str) -> Finding:
    """The finding about this event."""
    return Finding(
        table="events",
        row=stored.id,
        what=what,
        stream=stored.stream,
        seq=stored.seq,
        at=stored.at,
    )


def seal_findings(
    seal: Seal, newest: Seal | None, hashes: Sequence[str], keys: Keys
) -> list[Finding]:
    """What is wrong with a seal after `newest`, whose events have these hashes: the first of it."""
    what = _seal_place(seal, newest) or _seal_content(seal, hashes, keys)
    if what is None:
        return []
    return [Finding(table="seals", row=str(seal.number), what=what, at=seal.at)]


def _seal_place(seal: Seal, newest: Seal | None) -> str | None:
    number, previous = following(newest)
    if seal.number != number:
        return f"comes where {number} is next"
    return None if seal.previous == previous else "does not follow the seal before it"


def _seal_content(seal: Seal, hashes: Sequence[str], keys: Keys) -> str | None:
    if seal.key != key_id(seal.root):
        return "names another key than its root"
    if seal.events != len(hashes):
        return f"covers {seal.events} events, and {len(hashes)} name it"
    if not keys.knows(seal.root):
        return f"was made with the key {seal.key}, which is not here"
    text = root_text(seal.number, seal.previous, hashes, at=seal.at)
    if not keys.verify("seal", text, seal.root):
        return "was altered, or an event under it: its root is that of other events"
    return None
