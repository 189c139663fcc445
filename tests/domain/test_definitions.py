"""What differs between two definitions, so that a person can read it."""

from __future__ import annotations

import pytest

from approvals.domain.definitions import Change, changes
from approvals.domain.strictjson import Json, parse


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('{"a":1}', '{"a":1}', []),
        ('{"a":1}', '{"a":2}', [Change("/a", (1,), (2,))]),
        ('{"a":1}', '{"a":true}', [Change("/a", (1,), (True,))]),
        ('{"a":{"b/c":"x"}}', '{"a":{}}', [Change("/a/b~1c", ("x",), ())]),
        ("{}", '{"z":null,"b":[1]}', [Change("/b", (), ([1],)), Change("/z", (), (None,))]),
        ('{"a":[1,{"b":2}]}', '{"a":[1,{"b":3}]}', [Change("/a/1/b", (2,), (3,))]),
        ('{"a":[1]}', '{"a":[1,2]}', [Change("/a", ([1],), ([1, 2],))]),
        ('{"a":[1]}', '{"a":{"0":1}}', [Change("/a", ([1],), ({"0": 1},))]),
        ("[1]", '"x"', [Change("", ([1],), ("x",))]),
    ],
)
def test_everything_that_differs_is_named(before: str, after: str, expected: list[Change]) -> None:
    assert list(changes(_read(before), _read(after))) == expected


def test_numbers_that_are_written_differently_differ() -> None:
    """The hash covers how a number is written, so what is shown must tell them apart too."""
    [found] = changes(_read('{"a":1}'), _read('{"a":1.0}'))
    assert found.pointer == "/a"


def _read(text: str) -> Json:
    return parse(text.encode())
