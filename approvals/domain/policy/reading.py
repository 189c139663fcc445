"""Walk a document and collect every problem with the place it is at and how to mend it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING

from approvals.domain.display import visible
from approvals.domain.pointers import below

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
        return f"{visible(self.pointer) or '(the document)'}: {visible(self.what)}"


@dataclass(slots=True)
class Problems:
    """All that is wrong with one document, in reading order."""

    _found: dict[Problem, None] = field(default_factory=dict)

    @property
    def found(self) -> list[Problem]:
        return list(self._found)

    def add(self, problem: Problem) -> None:
        """A value may be looked at twice; what is wrong with it is told once."""
        self._found[problem] = None


class Place:
    """One value of a document, its JSON pointer, and where problems with it go."""

    __slots__ = ("_problems", "_start", "_value", "pointer")

    def __init__(
        self, value: Json | object, pointer: str, problems: Problems, *, start: int = 0
    ) -> None:
        self._value = value
        self.pointer = pointer
        self._problems = problems
        self._start = start

    @property
    def inner(self) -> str:
        """The pointer from the document that stands inside another one; see `as_document`."""
        return self.pointer[self._start :]

    def as_document(self) -> Place:
        """The same value as a document of its own; problems still name the whole pointer."""
        return Place(self._value, self.pointer, self._problems, start=len(self.pointer))

    @property
    def value(self) -> Json:
        return None if self._value is _MISSING else self._value  # type: ignore[return-value]

    @property
    def exists(self) -> bool:
        return self._value is not _MISSING

    def as_empty(self) -> Place:
        """An empty object in the place of a value that is none."""
        return Place({}, self.pointer, self._problems, start=self._start)

    def wrong(self, what: str) -> None:
        """Record a problem with this value; `what` continues the sentence "<pointer> …"."""
        self._problems.add(Problem(pointer=self.pointer, what=what))

    def child(self, name: str) -> Place:
        """The member `name`, which may not exist."""
        found = self._value.get(name, _MISSING) if isinstance(self._value, dict) else _MISSING
        return Place(found, below(self.pointer, name), self._problems, start=self._start)

    def only(self, names: Sequence[str]) -> None:
        """Refuse every member that is not one of `names`."""
        if not isinstance(self._value, dict):
            self.wrong("must be an object")
            return
        for name in self._value:
            if name not in names:
                near = get_close_matches(name, names, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                self.child(name).wrong(
                    f"is not a key that is known here ({', '.join(names)}){hint}"
                )

    def needs(self, name: str, why: str) -> Place:
        """The member `name`; when it is missing, that is a problem."""
        found = self.child(name)
        if not found.exists and isinstance(self._value, dict):
            found.wrong(f"is missing: {why}")
        return found

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
            Place(item, below(self.pointer, index), self._problems, start=self._start)
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

    def count(self, *, least: int = 1) -> int | None:
        """A whole number of at least `least`."""
        if not self.exists:
            return None
        whole = isinstance(self._value, int) and not isinstance(self._value, bool)
        if not whole or self._value < least:  # type: ignore[operator]
            self.wrong(f"must be a whole number of at least {least}")
            return None
        return self._value  # type: ignore[return-value]

    def flag(self) -> bool | None:
        """`true` or `false`."""
        if not self.exists:
            return None
        if not isinstance(self._value, bool):
            self.wrong("must be true or false")
            return None
        return self._value

    def duration(self, *, zero: bool = False) -> timedelta | None:
        """A duration such as `30s`, `15m`, `2h`, `1d`; at most 7 days."""
        if not self.exists:
            return None
        if zero and self._value == "0s":
            return timedelta(0)
        length = read_duration(self._value) if isinstance(self._value, str) else None
        if length is None:
            least = ' (or "0s")' if zero else ""
            self.wrong(f'must be a duration such as "30s", "15m", "2h" or "1d"{least}')
            return None
        if length > MAX_TIMEOUT:
            self.wrong("must not be longer than 7d")
            return None
        return length


def read_duration(text: str) -> timedelta | None:
    """`30s`, `15m`, `2h` or `1d`; None for anything else."""
    parts = _DURATION.fullmatch(text)
    return timedelta(**{_UNITS[parts[2]]: int(parts[1])}) if parts else None
