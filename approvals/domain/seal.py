"""Seals: every event that has none yet under one root, chained to the root before it.

A root is a hash under a key that the database does not hold, so whoever alters the database cannot
make the roots that would fit (SECURITY.md, 28).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from approvals.domain.strictjson import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

NO_ROOT = ""
"""What the first seal names as the root before it."""


class Keys(Protocol):
    """The keys outside the database, as whoever checks needs them."""

    def knows(self, claimed: str) -> bool:
        """Whether the key that `claimed` names is here."""
        ...

    def verify(self, purpose: str, text: str, claimed: str) -> bool:
        """Whether `claimed` is the keyed hash of `text`."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Seal:
    """`root` covers the number, the root before, the time, and the hashes of its `events` events;
    `key` is the id of the key it was made with."""

    number: int
    previous: str
    root: str
    key: str
    events: int
    at: datetime


def sealed(
    newest: Seal | None, hashes: Iterable[str], *, at: datetime, keyed: Callable[[str], str]
) -> Seal:
    """The seal after `newest` over events with these hashes."""
    number, previous = following(newest)
    of = sorted(hashes)
    root = keyed(root_text(number, previous, of, at=at))
    return Seal(
        number=number, previous=previous, root=root, key=key_id(root), events=len(of), at=at
    )


def following(newest: Seal | None) -> tuple[int, str]:
    """The number of the next seal, and the root it names as the one before."""
    return (newest.number + 1, newest.root) if newest else (1, NO_ROOT)


def root_text(number: int, previous: str, hashes: Iterable[str], *, at: datetime) -> str:
    """What the key signs. The hashes are sorted here: databases sort text differently."""
    of = sorted(hashes)
    return canonical(
        {
            "at": at.isoformat(),
            "count": len(of),
            "events": of,
            "number": number,
            "previous": previous,
        }
    )


def key_id(keyed_hash: str) -> str:
    """The name of the key that a keyed hash carries before its colon."""
    return keyed_hash.partition(":")[0]
