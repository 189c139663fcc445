"""Conditions of rules: exact, and never quietly "not matched" when they cannot be answered.

A missing path, values of two kinds or any other doubt counts as matched where a match denies or
asks a person, and as not held where `require` wants it to hold (POLICY.md, "Conditions").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, TypeGuard

from approvals.domain.policy.paths import Absent, Facts, Found, Path
from approvals.domain.strictjson import Number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from approvals.domain.strictjson import Json

    class Pattern(Protocol):
        """A compiled RE2 expression: linear in the text, whatever the text is."""

        def search(self, text: str) -> object | None: ...


class Op(StrEnum):
    """The operators of the published language, and three of ours."""

    EQ = "eq"
    NEQ = "neq"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    IN = "in"
    NOT_IN = "not_in"
    EXISTS = "exists"
    REGEX = "regex"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    LEN_GT = "len_gt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """`{path, op, value}`, read and checked; `pattern` is the compiled value of `regex`."""

    path: Path
    op: Op
    value: Json
    pattern: Pattern | None = None
    test: Test = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "test", _TESTS[self.op])

    def __str__(self) -> str:
        return f"{self.path.text} {self.op}"


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a condition has no answer."""

    why: str


Answer = bool | Doubt


def matches(conditions: Sequence[Condition], facts: Facts) -> Sequence[Doubt] | None:
    """Whether a rule of `deny_if` or `require_approval_if` applies: the doubts on the way, or None.

    All conditions must match; one item at `[*]` suffices; a doubt counts as a match.
    """
    doubts: list[Doubt] = []
    for condition in conditions:
        answer = _any(condition, facts.at(condition.path))
        if answer is False:
            return None
        if answer is not True:
            doubts.append(answer)
    return doubts


def failing(conditions: Sequence[Condition], facts: Facts) -> str | None:
    """Why a rule of `require` does not hold, or None: every condition, for every item."""
    for condition in conditions:
        for found in facts.at(condition.path):
            answer = _answer(condition, found)
            if isinstance(answer, Doubt):
                return answer.why
            if not answer:
                return f"{condition} does not hold"
    return None


def _any(condition: Condition, ends: Sequence[Found]) -> Answer:
    """True when one end matches, else the first doubt, else False."""
    doubt: Answer = False
    for found in ends:
        answer = _answer(condition, found)
        if answer is True:
            return True
        doubt = doubt or answer
    return doubt


def same(one: Json, other: Json) -> bool:
    """Equal in kind and value; numbers by value, so 1 and 1.0 are the same."""
    if _kind(one) is not _kind(other):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def is_number(value: Json) -> TypeGuard[int | Number]:
    """A JSON number; `true` is none, though Python counts it as one."""
    return _kind(value) is Decimal


def _answer(condition: Condition, found: Found) -> Answer:
    if isinstance(found, Absent):
        if condition.op is Op.EXISTS and found.missing:
            return condition.value is False
        return Doubt(f"{condition.path.text} {found.why}")
    answer = condition.test(condition, found)
    return Doubt(f"{condition.path.text} is of another kind") if answer is None else answer


def _exists(condition: Condition, found: Json) -> bool:
    del found
    return condition.value is True


def _eq(condition: Condition, found: Json) -> bool | None:
    if _comparable(condition.value, found):
        return same(condition.value, found)
    return None


def _neq(condition: Condition, found: Json) -> bool | None:
    equal = _eq(condition, found)
    return None if equal is None else not equal


def _in(condition: Condition, found: Json) -> bool | None:
    assert isinstance(condition.value, list)  # noqa: S101 (checked when the policy was read)
    if not any(_comparable(choice, found) for choice in condition.value):
        return None
    return any(same(choice, found) for choice in condition.value)


def _not_in(condition: Condition, found: Json) -> bool | None:
    inside = _in(condition, found)
    return None if inside is None else not inside


def _ordered(compare: Callable[[Decimal, Decimal], bool]) -> Test:
    def test(condition: Condition, found: Json) -> bool | None:
        if isinstance(found, bool) or not isinstance(found, int | Decimal):
            return None
        return compare(found, condition.value)  # type: ignore[arg-type]  # a number, once read

    return test


def _regex(condition: Condition, found: Json) -> bool | None:
    if not isinstance(found, str) or condition.pattern is None:
        return None
    return condition.pattern.search(found) is not None


def _contains(condition: Condition, found: Json) -> bool | None:
    if isinstance(found, list):
        if any(same(condition.value, item) for item in found):
            return True
        alike = all(_comparable(condition.value, item) for item in found)
        return False if alike else None
    if isinstance(found, str) and isinstance(condition.value, str):
        return condition.value in found
    return None


def _starts_with(condition: Condition, found: Json) -> bool | None:
    return found.startswith(str(condition.value)) if isinstance(found, str) else None


def _ends_with(condition: Condition, found: Json) -> bool | None:
    return found.endswith(str(condition.value)) if isinstance(found, str) else None


def _len_gt(condition: Condition, found: Json) -> bool | None:
    if isinstance(found, str | list | dict) and isinstance(condition.value, int):
        return len(found) > condition.value
    return None


def _comparable(wanted: Json, found: Json) -> bool:
    """Of one kind; `null` in a rule is compared with anything: it asks whether there is any."""
    return wanted is None or _kind(wanted) is _kind(found)


def _kind(value: Json) -> type:
    """The kinds of JSON; every number is of one."""
    kind = type(value)
    return Decimal if kind is int or kind is Number else kind


if TYPE_CHECKING:
    Test = Callable[[Condition, Json], bool | None]

_TESTS: Mapping[Op, Test] = {
    Op.EQ: _eq,
    Op.NEQ: _neq,
    Op.LT: _ordered(lambda found, bound: found < bound),
    Op.LTE: _ordered(lambda found, bound: found <= bound),
    Op.GT: _ordered(lambda found, bound: found > bound),
    Op.GTE: _ordered(lambda found, bound: found >= bound),
    Op.IN: _in,
    Op.NOT_IN: _not_in,
    Op.EXISTS: _exists,
    Op.REGEX: _regex,
    Op.CONTAINS: _contains,
    Op.STARTS_WITH: _starts_with,
    Op.ENDS_WITH: _ends_with,
    Op.LEN_GT: _len_gt,
}
