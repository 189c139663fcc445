"""Check arguments against a tool's inputSchema: nobody is asked about a call that cannot run.

A courtesy, not a guard: what would take long, and a schema that cannot be used, is not checked, and
the call is parked as it is.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, cast

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import NoSuchResource

from approvals.domain.display import shortened, visible
from approvals.domain.strictjson import Json, Number, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jsonschema.protocols import Validator

    Evolve = Callable[..., Validator]
    Keyword = Callable[[Validator, object, object, object], Iterable[object] | None]

logger = logging.getLogger(__name__)

MAX_REASON = 300
MAX_CHECKED = 64 * 1024
"""Bytes of arguments up to which they are checked."""
MAX_WORK = 5_000
"""Keywords that one check may apply, times the kibibytes of arguments each may look at."""

# Python's regular expressions can be made to run for hours, and comparing all pairs of a list too.
_LEFT_TO_THE_TOOL = frozenset(
    {"pattern", "patternProperties", "unevaluatedProperties", "unevaluatedItems", "uniqueItems"}
)


class _TooMuch(Exception):
    """The check would take too long."""


class _OtherDraft(Exception):
    """A part is of another draft of JSON Schema than the whole."""


@dataclass(slots=True)
class _Work:
    """What one check has done; `cost`: of applying one keyword."""

    cost: int
    done: int = 0

    def one(self) -> None:
        """Raises _TooMuch."""
        self.done += self.cost
        if self.done > MAX_WORK:
            raise _TooMuch


_WORK: ContextVar[_Work] = ContextVar("work")
"""Of the check that runs; the validators, which are made once, have no other way to it."""


def why_not(arguments: str, schema: Json) -> str | None:
    """The first reason why these canonical `arguments` do not fit, naming the place only."""
    if not isinstance(schema, dict) or len(arguments) > MAX_CHECKED:
        return None
    try:
        kind = validator_for(schema, default=Draft202012Validator)
        validator = _bounded(kind)(schema, registry=_NO_REGISTRY)
        _WORK.set(_Work(cost=1 + len(arguments) // 1024))
        problem = next(validator.iter_errors(parse(arguments.encode("utf-8"))), None)
    except Exception as error:  # noqa: BLE001 (the schema is the server's, and may be anything)
        name = type(error).__name__
        logger.warning("arguments were not checked against a tool's inputSchema (%s)", name)
        return None
    if problem is None:
        return None
    place = "/".join(visible(str(part)) for part in problem.absolute_path) or "the arguments"
    return shortened(f"{place}: {_says(problem)}", MAX_REASON)


@cache
def _bounded(kind: type[Validator]) -> type[Validator]:
    """The same validator, counting its work and leaving out what may take for ever."""
    keywords = {
        name: _holds if name in _LEFT_TO_THE_TOOL else _counted(keyword)
        for name, keyword in kind.VALIDATORS.items()
    }
    keywords["additionalProperties"] = _unless_patterns(keywords["additionalProperties"])
    types = kind.TYPE_CHECKER.redefine("integer", _is_integer)
    bounded: Any = extend(kind, keywords, type_checker=types)
    bounded.evolve = _bounded_in_all_parts(kind, bounded.evolve)
    return cast("type[Validator]", bounded)


def _bounded_in_all_parts(kind: type[Validator], evolve: Evolve) -> Evolve:
    """A part that names its draft, also the root that a reference leads back to, would be given the
    standard validator of that draft, which has no bounds."""

    def evolved(validator: Validator, **changes: object) -> Validator:
        schema = changes.get("schema")
        if isinstance(schema, dict) and "$schema" in schema:
            if validator_for(schema, default=kind) is not kind:
                raise _OtherDraft
            changes["schema"] = {name: v for name, v in schema.items() if name != "$schema"}
        return evolve(validator, **changes)

    return evolved


def _counted(keyword: Keyword) -> Keyword:
    def check(
        validator: Validator, value: object, instance: object, schema: object
    ) -> Iterable[object] | None:
        _WORK.get().one()
        return keyword(validator, value, instance, schema)

    return check


def _unless_patterns(keyword: Keyword) -> Keyword:
    def check(
        validator: Validator, value: object, instance: object, schema: object
    ) -> Iterable[object] | None:
        if isinstance(schema, dict) and "patternProperties" in schema:
            return ()
        return keyword(validator, value, instance, schema)

    return check


def _holds(*_: object) -> Iterable[object]:
    return ()


def _is_integer(_: object, value: object) -> bool:
    """1.0 is an integer to JSON Schema."""
    if isinstance(value, Number):
        return value == value.to_integral_value()
    return isinstance(value, int) and not isinstance(value, bool)


def _says(problem: ValidationError) -> str:
    wanted = problem.validator_value
    match problem.validator:
        case "required" if isinstance(wanted, list) and isinstance(problem.instance, dict):
            missing = [visible(str(name)) for name in wanted if name not in problem.instance]
            return f"{' and '.join(missing)} must be given."
        case "type":
            return f"must be of type {wanted}."
        case "additionalProperties":
            return "has members that the tool does not know."
    return f"does not satisfy `{problem.validator}` {visible(str(wanted))}."


def _fetch_nothing(uri: str) -> NoReturn:
    raise NoSuchResource(uri)


_NO_REGISTRY: Registry[Json] = Registry(retrieve=_fetch_nothing)  # type: ignore[call-arg]
