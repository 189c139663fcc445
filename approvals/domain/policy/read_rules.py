"""Read rules, conditions and limits; each problem names its place and how to mend it."""

from __future__ import annotations

from datetime import timedelta
from decimal import ROUND_FLOOR
from typing import TYPE_CHECKING, TypeGuard

import re2

from approvals.domain.limits import DAY, Limit, Scope, scaled
from approvals.domain.policy.conditions import Condition, Op, is_number
from approvals.domain.policy.model import Rule
from approvals.domain.policy.paths import WEEKDAYS, Each, Path, Root, read_path
from approvals.domain.risk import Category, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from approvals.domain.policy.conditions import Pattern
    from approvals.domain.policy.reading import Place
    from approvals.domain.strictjson import Json

MAX_PATTERN = 10_000
LAST_HOUR = 23
NO_PATH = (
    "is no path; paths are args.NAME (with .NAME, [0] and [*] behind it), agent.name, "
    "agent.labels.NAME, server, tool, risk.level, risk.category, time.weekday, time.hour"
)
WINDOWS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": DAY,
}
MAX_WINDOW = 7 * 86_400

_RE2 = re2.Options()
_RE2.log_errors = False


def read_conditions(place: Place) -> tuple[Condition, ...]:
    """A list of conditions, which must be there; `[]` holds for every call."""
    if not place.exists:
        place.wrong("is missing; [] makes the rule hold for every call")
    return tuple(found for item in place.items() if (found := _condition(item)) is not None)


def read_require(place: Place) -> Rule:
    """One entry of `require`."""
    place.only(("conditions", "on_deny"))
    return Rule(
        pointer=place.inner,
        message=place.child("on_deny").text() or "",
        conditions=read_conditions(place.child("conditions")),
    )


def read_limit(place: Place) -> Limit | None:
    """One entry of `limits`; None when something is wrong with it."""
    place.only(("counter", "window", "max", "scope", "increment"))
    counter = place.needs("counter", "a name for what is counted").text()
    window = place.child("window").one_of(tuple(WINDOWS), required=True)
    scope = place.child("scope").one_of(tuple(Scope), required=True)
    most = _amount(place.needs("max", "the most there may be in one window"))
    increment = _increment(place.child("increment"))
    if counter == "" or (counter and counter.startswith("rate_limit")):
        place.child("counter").wrong("is kept for `rate_limit`, or empty; choose another name")
        return None
    if not (counter and window and scope) or most is None:
        return None
    return Limit(
        pointer=place.inner,
        counter=counter,
        window=WINDOWS[window],
        max_=most,
        scope=Scope(scope),
        increment=increment,
    )


def read_rate_limit(place: Place, *, counter: str) -> Limit | None:
    """`{"max": 10, "window": 60}`: calls by one agent on one server, the window in seconds."""
    if not place.exists:
        return None
    place.only(("max", "window"))
    most = place.needs("max", "how many calls").count()
    seconds = place.needs("window", "its length in seconds").count()
    if seconds is not None and seconds > MAX_WINDOW:
        place.child("window").wrong("must not be longer than 604800 seconds (7 days)")
        return None
    if most is None or seconds is None:
        return None
    return Limit(
        pointer=place.inner,
        counter=counter,
        window=timedelta(seconds=seconds),
        max_=scaled(most),
        scope=Scope.GRANT,
    )


def read_redact(place: Place) -> tuple[Path, ...]:
    """Paths into the arguments whose values nobody is shown."""
    found = []
    for item in place.items():
        path = read_path(item.text() or "")
        if path is None or path.root is not Root.ARGS:
            item.wrong("must be a path into the arguments, such as args.api_secret")
        else:
            found.append(path)
    return tuple(found)


def _condition(place: Place) -> Condition | None:
    place.only(("path", "op", "value"))
    path = _path(place.needs("path", "what the condition looks at"))
    op = place.child("op").one_of(tuple(Op), required=True)
    value = place.needs("value", "what the operator compares with")
    if path is None or op is None or not value.exists:
        return None
    pattern = None
    if op == Op.REGEX:
        pattern = _pattern(value)
    else:
        _check_value(value, Op(op))
    _check_root(value, path, Op(op))
    return Condition(path=path, op=Op(op), value=value.value, pattern=pattern)


def _path(place: Place) -> Path | None:
    text = place.text()
    if text is None:
        return None
    path = read_path(text)
    if path is None:
        place.wrong(NO_PATH)
    return path


def _pattern(place: Place) -> Pattern | None:
    text = place.text()
    if text is None:
        return None
    if len(text) > MAX_PATTERN:
        place.wrong(f"is longer than {MAX_PATTERN} characters")
        return None
    try:
        compiled: Pattern = re2.compile(text, _RE2)
    except re2.error as error:
        said = error.args[0] if error.args else "it cannot be read"
        said = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        place.wrong(f"is no RE2 expression ({said}); look-around and \\1 do not exist in RE2")
        return None
    return compiled


def _check_value(place: Place, op: Op) -> None:
    fits, wanted = _VALUES.get(op, (_anything, ""))
    if not fits(place.value):
        place.wrong(f"must be {wanted} for {op}")


def _anything(value: Json) -> bool:
    del value
    return True


def _is_scalar(value: Json) -> bool:
    return value is not None and not isinstance(value, list | dict)


def _is_choice(value: Json) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_scalar, value))


def _is_text(value: Json) -> bool:
    return isinstance(value, str) and bool(value)


def _is_hour(value: Json) -> TypeGuard[int]:
    return _is_length(value) and value <= LAST_HOUR


def _is_length(value: Json) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


_VALUES: Mapping[Op, tuple[Callable[[Json], bool], str]] = {
    **dict.fromkeys((Op.LT, Op.LTE, Op.GT, Op.GTE), (is_number, "a number")),
    **dict.fromkeys((Op.IN, Op.NOT_IN), (_is_choice, "a list of texts, numbers or true/false")),
    **dict.fromkeys((Op.STARTS_WITH, Op.ENDS_WITH), (_is_text, "a text")),
    Op.EXISTS: (lambda value: isinstance(value, bool), "true or false"),
    Op.CONTAINS: (_is_scalar, "a text, a number or true/false"),
    Op.LEN_GT: (_is_length, "a whole number of at least 0"),
}
_EQUALITY = frozenset({Op.EQ, Op.NEQ, Op.IN, Op.NOT_IN})
_ORDER = frozenset({Op.LT, Op.LTE, Op.GT, Op.GTE})
_WORDS: Mapping[Root, tuple[str, ...]] = {
    Root.WEEKDAY: WEEKDAYS,
    Root.RISK_LEVEL: tuple(Level),
    Root.RISK_CATEGORY: tuple(Category),
}


def _check_root(place: Place, path: Path, op: Op) -> None:
    """What stands outside the arguments has a known kind: a rule that cannot match is an error."""
    if path.root is Root.ARGS or op is Op.EXISTS:
        return
    if op not in _EQUALITY:
        _check_operator(place, path, op)
        return
    wanted = [place.value]
    if op in {Op.IN, Op.NOT_IN} and isinstance(place.value, list):
        wanted = place.value
    if path.root is Root.HOUR:
        if not all(map(_is_hour, wanted)):
            place.wrong("must be whole hours from 0 to 23")
    elif path.root in _WORDS and not all(word in _WORDS[path.root] for word in wanted):
        place.wrong(f"must be of {', '.join(_WORDS[path.root])}")
    elif not all(isinstance(word, str) for word in wanted):
        place.wrong("must be a text, as what is compared is one")


def _check_operator(place: Place, path: Path, op: Op) -> None:
    if (op in _ORDER) is not (path.root is Root.HOUR):
        kind = "a number" if path.root is Root.HOUR else "a text"
        place.wrong(f"{op} cannot be asked of {path.text}, which is {kind}")
    elif path.root is Root.HOUR and not _is_hour(place.value):
        place.wrong("must be a whole hour from 0 to 23")
    elif not isinstance(place.value, str) and path.root is not Root.HOUR and op is not Op.LEN_GT:
        place.wrong("must be a text, as what is compared is one")


def _amount(place: Place) -> int | None:
    if not place.exists:
        return None
    value = place.value
    if not is_number(value) or value < 0:
        place.wrong("must be a number that is not negative")
        return None
    return scaled(value, rounding=ROUND_FLOOR)


def _increment(place: Place) -> Path | None:
    """None: one per call."""
    if not place.exists or (place.value == 1 and _is_length(place.value)):
        return None
    path = read_path(place.value) if isinstance(place.value, str) else None
    if path is None or path.root is not Root.ARGS or Each.ITEM in path.steps:
        place.wrong("must be 1, or a path to one amount such as args.amount")
        return None
    return path
