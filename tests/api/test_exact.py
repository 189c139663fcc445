"""What REST answers is the canonical text, whichever writer wrote it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.api.routes import answer
from approvals.domain.strictjson import Json, Number, Written, canonical, parse

numbers = st.sampled_from(["1.50", "-0.0", "1e2", "0.1000000000000000055"]).map(Number)
texts = st.text(st.characters(exclude_categories=["Cs"]))
leaves = st.none() | st.booleans() | st.integers() | st.integers(-(2**64), 2**64) | numbers | texts
names = texts.filter(lambda text: "\0" not in text)
values: st.SearchStrategy[Json] = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(names, inner), max_leaves=20
)


@given(value=values, written=values)
def test_an_answer_is_the_canonical_text(value: Json, written: Json) -> None:
    whole = {"value": value, "arguments": Written(canonical(written)), "a": (1, [value])}
    body = bytes(answer(whole).body)
    assert body == canonical(whole).encode()
    read = parse(body)
    assert isinstance(read, dict)
    assert read["arguments"] == written


@dataclass(frozen=True)
class Record:
    secret: str


@pytest.mark.parametrize("value", [Record("x"), datetime(2026, 1, 1, tzinfo=UTC), {1, 2}])
def test_what_is_no_json_is_never_written(value: object) -> None:
    with pytest.raises(TypeError):
        answer({"a": value})
