"""Check arguments against a tool's inputSchema: nobody is asked about a call that cannot run.

A courtesy, not a guard: a schema that cannot be used is not used, and the call is parked as it is.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NoReturn

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import extend, validator_for
from referencing import Registry
from referencing.exceptions import NoSuchResource, Unresolvable

from approvals.domain.display import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jsonschema.protocols import Validator

    from approvals.domain.strictjson import Json

logger = logging.getLogger(__name__)

MAX_REASON = 300


def why_not(arguments: Mapping[str, Json], schema: Json) -> str | None:
    """The first reason why `arguments` do not fit, naming the place and never the value."""
    if not isinstance(schema, dict):
        return None
    try:
        kind = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema)
        validator = _without_patterns(kind)(schema, registry=_NO_REGISTRY)
        problem = next(validator.iter_errors(arguments), None)
    except (SchemaError, ArithmeticError, TypeError, ValueError, RecursionError, Unresolvable):
        logger.warning("a tool's inputSchema cannot be used; its arguments are not checked")
        return None
    if problem is None:
        return None
    place = "/".join(str(part) for part in problem.absolute_path) or "the arguments"
    return shortened(f"{place}: {_says(problem.validator, problem.validator_value)}", MAX_REASON)


def _without_patterns(kind: type[Validator]) -> type[Validator]:
    """Python's regular expressions can be made to run for hours; patterns are the tool's."""
    members = kind.VALIDATORS["additionalProperties"]

    def other_members(
        validator: Validator, value: object, instance: object, schema: Mapping[str, Json]
    ) -> Iterable[object]:
        return () if "patternProperties" in schema else members(validator, value, instance, schema)

    changed = {
        "pattern": _holds,
        "patternProperties": _holds,
        "additionalProperties": other_members,
    }
    without: type[Validator] = extend(kind, changed)
    return without


def _holds(*_: object) -> Iterable[object]:
    return ()


def _says(rule: object, wanted: object) -> str:
    match rule:
        case "required":
            return f"required are {wanted}."
        case "type":
            return f"must be of type {wanted}."
        case "additionalProperties":
            return "has members that the tool does not know."
    return f"does not satisfy `{rule}` {wanted}."


def _fetch_nothing(uri: str) -> NoReturn:
    raise NoSuchResource(uri)


_NO_REGISTRY: Registry[Json] = Registry(retrieve=_fetch_nothing)  # type: ignore[call-arg]
