"""JSON that only one reading is possible of: parsed strictly, written canonically.

The usual parsers keep the last of two equal keys, round numbers and accept NaN; what a person
approved and what a tool receives could then differ (SECURITY.md, "Input" 1 and 2).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Self, Union

from approvals.errors import InvalidJson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MAX_DEPTH = 64
MAX_DIGITS = 1000
MAX_EXPONENT = 400

_LEXEME = re.compile(r"-?(?P<whole>\d+)(?:\.(?P<fraction>\d+))?(?:[eE](?P<exponent>[+-]?\d+))?")
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Number(Decimal):
    """A JSON number with fraction or exponent: compares exactly, is written as it was received."""

    __slots__ = ("lexeme",)
    lexeme: str

    def __new__(cls, lexeme: str) -> Self:
        number = super().__new__(cls, lexeme)
        number.lexeme = lexeme
        return number

    def __repr__(self) -> str:
        return f"Number({self.lexeme!r})"


@dataclass(frozen=True, slots=True)
class Written:
    """A value of which the canonical text is there already."""

    text: str


Json = Union[None, bool, int, Number, str, "list[Json]", "dict[str, Json]"]


def parse(raw: bytes) -> Json:
    """Read exactly one JSON value.

    Raises InvalidJson for duplicate keys (also when spelled with escapes), NaN and Infinity,
    numbers beyond 1000 digits, an exponent of ±400 or the range of a double, lone surrogates,
    NUL in names and nesting deeper than 64. The message never repeats a value.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidJson(f"The body is not UTF-8 (byte {error.start}).") from None
    try:
        value: Json = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidJson(f"The body is not JSON: {error.msg} (character {error.pos}).") from None
    except RecursionError:
        raise InvalidJson(_TOO_DEEP) from None
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        _check_depth(value)
    if b"\\u0000" in raw or _ESCAPED_SURROGATE.search(raw):
        _check_text(value)
    return value


def canonical(value: object) -> str:
    """Write `value` with sorted keys and no white space; integers exactly, other numbers as read.

    Two values have one canonical text only if every tool reads them alike; `1`, `1.0` and `1e0`
    stay three texts.
    """
    return _text(value, ordered=True)


def names(texts: Iterable[str]) -> str:
    """The canonical text of a list of texts, which is what most short lists are."""
    return f"[{','.join(map(quoted, texts))}]"


def as_read(value: object) -> str:
    """The same with the names of each object in the order in which they were read."""
    return _text(value, ordered=False)


def _text(value: object, *, ordered: bool) -> str:
    writer = _Writer(ordered=ordered)
    text = writer.encode(value)
    return _filled(text, writer.left_out) if writer.left_out else text


def quoted(text: str) -> str:
    """Write one string as JSON, non-ASCII characters as they are."""
    return encode_basestring(text)


_TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidJson("A name appears twice in one object; each may appear once.")
    return found


def _integer(lexeme: str) -> int | Number:
    if len(lexeme) > MAX_DIGITS + 1 or len(lexeme.lstrip("-")) > MAX_DIGITS:
        raise InvalidJson(f"A number has more than {MAX_DIGITS} digits.")
    return Number(lexeme) if lexeme == "-0" else int(lexeme)  # no int is minus zero


def _number(lexeme: str) -> Number:
    parts = _LEXEME.fullmatch(lexeme)
    assert parts is not None  # noqa: S101 (the scanner only hands over numbers)
    if len(parts["whole"]) + len(parts["fraction"] or "") > MAX_DIGITS:
        raise InvalidJson(f"A number has more than {MAX_DIGITS} digits.")
    exponent = parts["exponent"] or "0"
    if len(exponent) > len("+0000") or abs(int(exponent)) > MAX_EXPONENT:
        raise InvalidJson(f"A number has an exponent beyond ±{MAX_EXPONENT}.")
    if math.isinf(float(lexeme)):
        raise InvalidJson("A number is larger than any double; tools would read infinity.")
    return Number(lexeme)


def _constant(name: str) -> Json:
    raise InvalidJson(f"{name} is not a JSON number.")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_number,
    parse_constant=_constant,
)


class _Writer(json.JSONEncoder):
    """The standard writer, in C. It cannot write a Number or a Written as they are, so it leaves
    places for them, in order."""

    def __init__(self, *, ordered: bool) -> None:
        super().__init__(
            ensure_ascii=False,
            check_circular=False,
            allow_nan=False,
            sort_keys=ordered,
            separators=(",", ":"),
        )
        self.left_out: list[str] = []

    def default(self, o: object) -> str:
        if not isinstance(o, Number | Written):
            raise TypeError(f"{type(o).__name__} is not JSON")
        self.left_out.append(o.lexeme if isinstance(o, Number) else o.text)
        return _PLACE


_PLACE = "\udc00"
"""Half a surrogate pair: no text that was parsed, or that can be sent, has one."""


def _filled(text: str, left_out: Sequence[str]) -> str:
    first, *others = text.split(f'"{_PLACE}"')
    if len(others) != len(left_out):
        raise InvalidJson("A text contains half of a surrogate pair.")
    return first + "".join(chain.from_iterable(zip(left_out, others, strict=True)))


def _check_depth(value: Json) -> None:
    level: list[Json] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    if any(isinstance(node, list | dict) for node in level):
        raise InvalidJson(_TOO_DEEP)


def _children(node: Json) -> Iterator[Json]:
    if isinstance(node, list):
        yield from node
    elif isinstance(node, dict):
        yield from node.values()


def _check_text(value: Json) -> None:
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            _check_surrogates(node)
        elif isinstance(node, dict):
            for name in node:
                _check_surrogates(name)
                if "\0" in name:
                    raise InvalidJson("A name contains a NUL character.")
        stack.extend(_children(node))


def _check_surrogates(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidJson("A text contains half of a surrogate pair.") from None
