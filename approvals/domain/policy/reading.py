"""Walk a document and collect every problem with the place it is at and how to mend it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain.directory import EVERYONE
from approvals.domain.display import visible
from approvals.domain.policy.model import ApprovalSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.domain.strictjson import Json

_DURATION = re.compile(r"([1-9][0-9]{0,6})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
MAX_TIMEOUT = timedelta(days=7)

_MISSING = object()


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What is wrong, and the JSON pointer of where."""

    pointer: str
    what: str

    def __str__(self) -> str:
        return f"{visible(self.pointer) or '(the document)'}: {self.what}"


@dataclass(slots=True)
class Problems:
    """All that is wrong with one document, in reading order."""

    found: list[Problem] = field(default_factory=list)


class Place:
    """One value of a document, its JSON pointer, and where problems with it go."""

    __slots__ = ("_problems", "_value", "pointer")

    def __init__(self, value: Json | object, pointer: str, problems: Problems) -> None:
        self._value = value
        self.pointer = pointer
        self._problems = problems

    @property
    def value(self) -> Json:
        return None if self._value is _MISSING else self._value  # type: ignore[return-value]

    @property
    def exists(self) -> bool:
        return self._value is not _MISSING

    def wrong(self, what: str) -> None:
        """Record a problem with this value; `what` continues the sentence "<pointer> …"."""
        problem = Problem(pointer=self.pointer, what=what)
        if problem not in self._problems.found:  # a value may be looked at twice
            self._problems.found.append(problem)

    def child(self, name: str) -> Place:
        """The member `name`, which may not exist."""
        found = self._value.get(name, _MISSING) if isinstance(self._value, dict) else _MISSING
        return Place(found, f"{self.pointer}/{_escaped(name)}", self._problems)

    def only(self, names: Sequence[str]) -> None:
        """Refuse every member that is not one of `names`."""
        if not isinstance(self._value, dict):
            self.wrong("must be an object")
            return
        for name in self._value:
            if name not in names:
                known = ", ".join(names)
                self.child(name).wrong(f"is not a key that is known here ({known})")

    def members(self) -> list[tuple[str, Place]]:
        """All members of an object; none when it is missing."""
        if not self.exists:
            return []
        if not isinstance(self._value, dict):
            self.wrong("must be an object")
            return []
        return [(name, self.child(name)) for name in self._value]

    def items(self) -> list[Place]:
        """All items of a list; none when it is missing."""
        if not self.exists:
            return []
        if not isinstance(self._value, list):
            self.wrong("must be a list")
            return []
        return [
            Place(item, f"{self.pointer}/{index}", self._problems)
            for index, item in enumerate(self._value)
        ]

    def text(self) -> str | None:
        """A text, or None when it is missing."""
        if not self.exists:
            return None
        if not isinstance(self._value, str):
            self.wrong("must be a text")
            return None
        return self._value

    def texts(self) -> list[str]:
        """A list of texts; empty when it is missing."""
        return [text for item in self.items() if (text := item.text()) is not None]

    def one_of(self, choices: Sequence[str], *, required: bool = False) -> str | None:
        """One of `choices`, or None when it is missing."""
        if not self.exists and not required:
            return None
        if self._value not in choices:
            missing = "" if self.exists else "is missing: "
            self.wrong(f"{missing}must be one of {', '.join(choices)}")
            return None
        return str(self._value)

    def count(self) -> int | None:
        """A whole number of at least 1."""
        if not self.exists:
            return None
        if not isinstance(self._value, int) or isinstance(self._value, bool) or self._value < 1:
            self.wrong("must be a whole number of at least 1")
            return None
        return self._value

    def duration(self) -> timedelta | None:
        """A duration such as `30s`, `15m`, `2h`, `1d`; at most 7 days."""
        if not self.exists:
            return None
        length = read_duration(self._value) if isinstance(self._value, str) else None
        if length is None:
            self.wrong('must be a duration such as "30s", "15m", "2h" or "1d"')
            return None
        if length > MAX_TIMEOUT:
            self.wrong("must not be longer than 7d")
            return None
        return length


def read_duration(text: str) -> timedelta | None:
    """`30s`, `15m`, `2h` or `1d`; None for anything else."""
    parts = _DURATION.fullmatch(text)
    return timedelta(**{_UNITS[parts[2]]: int(parts[1])}) if parts else None


def read_approval(place: Place) -> ApprovalSettings:
    """The short form `{approvers, required, timeout}`."""
    if not place.exists:
        return ApprovalSettings()
    place.only(("approvers", "required", "timeout"))
    return ApprovalSettings(
        approvers=_approvers(place.child("approvers")),
        required=place.child("required").count(),
        timeout=place.child("timeout").duration(),
    )


def _approvers(place: Place) -> frozenset[str] | None:
    if not place.exists:
        return None
    names = []
    for item in place.items():
        name = item.text()
        if name is None:
            continue
        kind, _, who = name.partition(":")
        if name != EVERYONE and not (kind in {"person", "group"} and who):
            item.wrong("must be person:NAME, group:NAME or everyone")
        names.append(name)
    if not names and place.value == []:
        place.wrong("names nobody; leave it out for everyone")
    return frozenset(names) or None


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
