"""Values that nobody is shown where they could be copied on: by `redact` paths and by name.

A hidden value occurs in no log line, list, message or error (SECURITY.md, "Input" 6). In doubt a
value is hidden: a path that runs into a value of another kind hides that value as a whole.
"""

from __future__ import annotations

import re
from functools import lru_cache, reduce
from itertools import pairwise
from typing import TYPE_CHECKING

from approvals.domain.pointers import below, steps
from approvals.domain.policy.paths import Each, Path, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from approvals.domain.strictjson import Json

HIDDEN = "[hidden]"
MAX_PLACES = 1000
"""Of more hidden values than this the whole argument is hidden: a list of places has its limits."""

MAX_POINTERS = 16 * 1024
"""Characters of all pointers: each repeats the names on its way."""

MAX_REMEMBERED = 100
"""Characters of a name; longer ones are looked at each time."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")
_SECRET_WORDS = frozenset(
    {
        "apikey",
        "authorization",
        "bearer",
        "cookie",
        "credential",
        "credentials",
        "cvc",
        "cvv",
        "jwt",
        "mnemonic",
        "otp",
        "passcode",
        "passphrase",
        "passwd",
        "password",
        "passwords",
        "privatekey",
        "pwd",
        "secret",
        "secretkey",
        "secrets",
        "totp",
    }
)
# A `map_pin` or a `pass_rate` opens nothing; a name that ends so may.
_SECRET_LAST = frozenset({"pass", "pin"})
# Words that are written together: `clientsecret`, `dbpassword`, `accesstoken`.
_SECRET_ENDS = (
    "accesskey",
    "accesstoken",
    "apikey",
    "authtoken",
    "bearertoken",
    "encryptionkey",
    "idtoken",
    "passwd",
    "password",
    "privatekey",
    "privkey",
    "refreshtoken",
    "secret",
    "secretkey",
)
_SECRET_PAIRS = frozenset(
    {
        ("access", "key"),
        ("account", "key"),
        ("api", "key"),
        ("api", "keys"),
        ("auth", "key"),
        ("encryption", "key"),
        ("hmac", "key"),
        ("pass", "phrase"),
        ("pass", "word"),
        ("private", "key"),
        ("private", "keys"),
        ("recovery", "phrase"),
        ("secret", "key"),
        ("seed", "phrase"),
        ("signing", "key"),
        ("ssh", "key"),
        ("token", "value"),
    }
)
# A token that only marks where a list goes on, or that is counted, opens no door.
_HARMLESS_TOKENS = frozenset(
    {
        "completion",
        "continuation",
        "cursor",
        "input",
        "max",
        "min",
        "next",
        "num",
        "output",
        "page",
        "prompt",
        "sync",
        "total",
    }
)

Place = tuple[Step, ...]


def is_secret(name: str) -> bool:
    """Whether an argument of this name holds something that opens a door."""
    words = [word for word in map(str.casefold, _WORD.findall(name)) if not word.isdecimal()]
    whole = "".join(character for character in name.casefold() if character.isalpha())
    if whole.endswith(_SECRET_ENDS):
        return True
    if _SECRET_WORDS.intersection(words) or any(word.endswith(_SECRET_ENDS) for word in words):
        return True
    if words and words[-1] in _SECRET_LAST:
        return True
    if any(pair in _SECRET_PAIRS for pair in pairwise(words)):
        return True
    return _is_token(words)


def hidden_places(arguments: dict[str, Json], paths: Sequence[Path]) -> tuple[str, ...]:
    """JSON pointers of every value to hide, in reading order."""
    found: dict[Place, None] = {}
    for path in paths:
        found |= dict.fromkeys(_at(arguments, path.steps, ()))
    found |= dict.fromkeys(_by_name(arguments, ()))
    pointers = tuple(_pointer(place) for place in found)
    if len(found) > MAX_PLACES or sum(map(len, pointers)) > MAX_POINTERS:
        return tuple(dict.fromkeys(_pointer(place[:1]) for place in found))
    return pointers


def redacted(value: Json, hidden: Sequence[str]) -> Json:
    """A copy with the text `[hidden]` at each of these JSON pointers."""
    return replaced(value, dict.fromkeys(hidden, HIDDEN))


def replaced(value: Json, by: Mapping[str, str]) -> Json:
    """A copy with another text at each of these JSON pointers."""
    return _copy(value, by, "") if by else value


def _copy(value: Json, hidden: Mapping[str, str], at: str) -> Json:
    if at in hidden:
        return hidden[at]
    if isinstance(value, dict):
        return {name: _copy(v, hidden, below(at, name)) for name, v in value.items()}
    if isinstance(value, list):
        return [_copy(item, hidden, below(at, index)) for index, item in enumerate(value)]
    return value


def _at(value: Json, steps: tuple[Step, ...], place: Place) -> Iterator[Place]:
    if not steps:
        yield place
        return
    step, *rest = steps
    match step, value:
        case Each(), list():
            for index, item in enumerate(value):
                yield from _at(item, tuple(rest), (*place, index))
        case int(), list():
            if step < len(value):
                yield from _at(value[step], tuple(rest), (*place, step))
        case str(), dict() if not isinstance(step, Each):
            for name in value:  # a tool may read names without regard to case
                if name.casefold() == step.casefold():
                    yield from _at(value[name], tuple(rest), (*place, name))
        case _:
            yield place


def _by_name(value: Json, place: Place) -> Iterator[Place]:
    if isinstance(value, dict):
        for name, member in value.items():
            if _opens_a_door(name):
                yield (*place, name)
            else:
                yield from _by_name(member, (*place, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _by_name(item, (*place, index))


def _opens_a_door(name: str) -> bool:
    return _remembered(name) if len(name) <= MAX_REMEMBERED else is_secret(name)


@lru_cache(maxsize=4096)
def _remembered(name: str) -> bool:
    return is_secret(name)


def _is_token(words: list[str]) -> bool:
    if not words or words[-1] not in {"token", "tokens"}:
        return False
    if len(words) == 1:
        return words == ["token"]
    return words[-2] not in _HARMLESS_TOKENS


def _pointer(place: Place) -> str:
    return reduce(below, place, "")


def values_at(arguments: dict[str, Json], pointers: Sequence[str]) -> dict[str, Json]:
    """The values at these JSON pointers, all of which exist."""
    found: dict[str, Json] = {}
    for pointer in pointers:
        value: Json = arguments
        for name in steps(pointer):
            value = value[int(name)] if isinstance(value, list) else value[name]  # type: ignore[index]
        found[pointer] = value
    return found
