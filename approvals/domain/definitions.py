"""Pinned definitions: what a tool was when it was first seen, and what an admin accepted since.

An agent reads a definition and acts by it, so a server that changes one changes what agents do
(SECURITY.md, 19). Which ones are accepted is kept for each place: a server under one address.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain.pointers import below
from approvals.domain.strictjson import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from approvals.domain.strictjson import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """Since when calls of a definition go on, and who said so; `by` None: it was the first seen."""

    at: datetime
    by: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """A definition that a server showed. `entry` is canonical JSON of what `hash` covers of it."""

    place: str
    server: str
    tool: str
    hash: str
    entry: str
    seen_at: datetime
    accepted: Accepted | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """The hash of a definition that is known of a tool."""

    tool: str
    hash: str
    is_accepted: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A value at a JSON pointer that is there before, after, or both times and different.

    `before` and `after` have one value, or none where there was nothing.
    """

    pointer: str
    before: tuple[Json, ...]
    after: tuple[Json, ...]


def changes(before: Json, after: Json, pointer: str = "") -> Iterator[Change]:
    """Everything that differs, in the order of names; lists of one length are gone into."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            place = below(pointer, name)
            if name in before and name in after:
                yield from changes(before[name], after[name], place)
            else:
                yield Change(place, _at(before, name), _at(after, name))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for n, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from changes(one, other, below(pointer, n))
    elif canonical(before) != canonical(after):
        yield Change(pointer, (before,), (after,))


def _at(found: Mapping[str, Json], name: str) -> tuple[Json, ...]:
    return (found[name],) if name in found else ()
