"""Reading JSON that only one reading is possible of, and writing it so that nothing changes."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from approvals.domain.strictjson import (
    Json,
    Number,
    Written,
    as_read,
    canonical,
    names,
    parse,
    quoted,
)
from approvals.errors import InvalidJson

calmly = settings(deadline=None, database=None)

DIGITS = st.text("0123456789", min_size=1, max_size=30)
WHOLE = st.one_of(st.just("0"), DIGITS.filter(lambda digits: digits[0] != "0"))
LEXEMES = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "-"]),
        WHOLE,
        st.one_of(st.just(""), DIGITS.map(lambda digits: f".{digits}")),
        st.one_of(
            st.just(""),
            st.builds(
                "{}{}{}".format,
                st.sampled_from("eE"),
                st.sampled_from(["", "+", "-"]),
                st.integers(0, 270),
            ),
        ),
    ),
)
MARKS = st.sampled_from('{}[],:" \n\\é')
WORDS = st.sampled_from(['"a"', '"a":', r'"\u0061":', "1", "-0", ".5", "e9", "NaN", "null", "[1]"])
ESCAPES = st.sampled_from([r"\u0000", r"\ud83d", r"\ude00", r"\"", r"\x"])
PIECES = st.one_of(MARKS, WORDS, ESCAPES)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NAMES = TEXTS.filter(lambda text: "\0" not in text)
NUMBERS = LEXEMES.filter(lambda lexeme: set(lexeme) & set(".eE")).map(Number)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=15,
)


def joined(pieces: list[str]) -> bytes:
    return "".join(pieces).encode()


def lexemes(value: Json) -> list[str]:
    """Every number with a fraction or an exponent, as it stands in the text."""
    if isinstance(value, Number):
        return [value.lexeme]
    if isinstance(value, list):
        return [lexeme for item in value for lexeme in lexemes(item)]
    if isinstance(value, dict):
        return [lexeme for name in sorted(value) for lexeme in lexemes(value[name])]
    return []


@calmly
@given(VALUES)
def test_what_is_written_reads_back_as_the_same_value_with_the_same_lexemes(value: Json) -> None:
    read = parse(canonical(value).encode())
    assert read == value
    assert lexemes(read) == lexemes(value)
    assert canonical(read) == canonical(value)


@calmly
@given(LEXEMES)
@example("1e18")
@example("1000000000000000001")
@example("0.1")
def test_every_accepted_number_is_exactly_the_one_received(lexeme: str) -> None:
    value = parse(lexeme.encode())
    assert isinstance(value, int | Number)
    assert Decimal(value) == Decimal(lexeme)
    assert Decimal(canonical(value)) == Decimal(lexeme)


@calmly
@given(st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=15).map(joined)))
def test_any_bytes_are_read_as_a_reader_of_the_standard_does_or_refused(raw: bytes) -> None:
    try:
        value = parse(raw)
    except InvalidJson:
        return
    assert json.loads(canonical(value)) == json.loads(raw)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("true", True),
        (' \t\r\n{"a": [1, "b"]} ', {"a": [1, "b"]}),
        ("-9007199254740993", -9007199254740993),
        (r'"\ud83d\ude00"', "\U0001f600"),
        (r'"a\u0000b"', "a\0b"),
        (r'{"a": "\u0000"}', {"a": "\0"}),
        (r'{"\\u0000": "\\ud800"}', {r"\u0000": r"\ud800"}),
    ],
)
def test_good_json_is_read(text: str, value: Json) -> None:
    assert parse(text.encode()) == value


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"a":1,"a":1}', id="duplicate key"),
        pytest.param(b'{"a":1,"\\u0061":2}', id="duplicate key spelled with an escape"),
        pytest.param(b'[{"x":{"a":1,"b":2,"a":3}}]', id="duplicate key inside"),
        pytest.param(b'{"\\ud83d\\ude00":1,"\xf0\x9f\x98\x80":2}', id="duplicate astral key"),
        pytest.param(b"NaN", id="NaN"),
        pytest.param(b"Infinity", id="Infinity"),
        pytest.param(b'{"a":-Infinity}', id="minus Infinity"),
        pytest.param(b"1e309", id="just larger than a double"),
        pytest.param(b"1e400", id="1e400"),
        pytest.param(b"-1e400", id="-1e400"),
        pytest.param(b"1e401", id="1e401"),
        pytest.param(b"1e-401", id="1e-401"),
        pytest.param(b"1e99999999999999999999", id="an enormous exponent"),
        pytest.param(b'"\\ud800"', id="lone high surrogate in a value"),
        pytest.param(b'["\\uDFFF"]', id="lone low surrogate in a value"),
        pytest.param(b'"\\ude00\\ud83d"', id="surrogates in the wrong order"),
        pytest.param(b'{"\\udc00":1}', id="lone surrogate in a name"),
        pytest.param(b'"\xed\xa0\x80"', id="surrogate as UTF-8"),
        pytest.param(b'{"a\\u0000":1}', id="NUL in a name"),
        pytest.param(b'[{"x":[{"\\u0000":1}]}]', id="NUL in a name inside"),
        pytest.param(b'"\x00"', id="raw NUL"),
        pytest.param(b'"\n"', id="raw control character"),
        pytest.param(b"[" * 100_000, id="100000 open lists"),
        pytest.param(b'{"a":' * 100_000, id="100000 open objects"),
        pytest.param(b"1" * 1001, id="1001 digits"),
        pytest.param(b"-" + b"1" * 1001, id="minus and 1001 digits"),
        pytest.param(b"1" * 10_000, id="10000 digits"),
        pytest.param(b"0." + b"1" * 1000, id="1001 digits around a point"),
        pytest.param(b"1" * 10_000 + b".5", id="10000 digits before a point"),
        pytest.param(b"\xef\xbb\xbf{}", id="BOM"),
        pytest.param(b"{} {}", id="trailing data"),
        pytest.param(b'{"a":1}\x00', id="trailing NUL"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b'"\xc0\xaf"', id="overlong UTF-8"),
        pytest.param(b'{"a":1', id="cut off"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"[1,]", id="trailing comma"),
        pytest.param(b"{'a':1}", id="single quotes"),
        pytest.param(b"01", id="leading zero"),
        pytest.param(b"+1", id="plus sign"),
        pytest.param(b"1.", id="point without fraction"),
        pytest.param("\u0661".encode(), id="digit of another script"),
        pytest.param(b"\xc2\xa01", id="white space that JSON does not know"),
        pytest.param(b'"\\x41"', id="unknown escape"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidJson):
        parse(raw)


def test_a_refusal_never_repeats_a_value() -> None:
    with pytest.raises(InvalidJson) as refused:
        parse(b'{"password":"hunter2","password":"hunter3"}')
    assert "hunter" not in str(refused.value)
    assert "password" not in str(refused.value)


@pytest.mark.parametrize(
    "lexeme", ["1e-400", "1E-400", "-1e-400", "1e+308", "1e0308", "0e400", "-0.0", "1.0", "1e0"]
)
def test_a_number_at_the_edge_is_accepted_and_written_as_received(lexeme: str) -> None:
    assert canonical(parse(lexeme.encode())) == lexeme


@pytest.mark.parametrize(
    "lexeme", ["9" * 1000, "-" + "9" * 1000, "1." + "9" * 999, "-0." + "1" * 999]
)
def test_a_thousand_digits_are_carried_exactly(lexeme: str) -> None:
    assert canonical(parse(lexeme.encode())) == lexeme


@pytest.mark.parametrize("nest", ["[{}]", '{{"a":{}}}', '[{{"a":[{}]}}]'])
def test_64_levels_are_read_and_65_are_not(nest: str) -> None:
    levels = nest.count("[") + nest.count("{{")
    deep = "1"
    for _ in range(63 // levels):
        deep = nest.format(deep)
    for accepted in (f"[{deep}]", f"[{deep},[],{{}}]"):
        assert canonical(parse(accepted.encode())) == accepted
    for deeper in (f"[[{deep}]]", f"[{deep.replace('1', '[]')}]", f"[{deep.replace('1', '{}')}]"):
        with pytest.raises(InvalidJson):
            parse(deeper.encode())


def test_a_wide_document_is_not_a_deep_one() -> None:
    wide: Json = [[{"a": [number]}] for number in range(100)]
    assert parse(canonical(wide).encode()) == wide


def test_one_one_point_nought_and_one_e_nought_stay_three_texts() -> None:
    assert {canonical(parse(text)) for text in (b"1", b"1.0", b"1e0")} == {"1", "1.0", "1e0"}


def test_an_integer_beyond_two_to_the_53_keeps_its_last_digit() -> None:
    assert canonical(parse(b'{"wei":1000000000000000001}')) == '{"wei":1000000000000000001}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None]}, '{"a":[true,null],"b":1}'),
        ({"b": Number("1.50"), "a": {}, "é": []}, '{"a":{},"b":1.50,"é":[]}'),
        ([Number("1e2"), "x", {"z": 1, "a": Number("2.0")}], '[1e2,"x",{"a":2.0,"z":1}]'),
        ((1, (Number("0.10"),)), "[1,[0.10]]"),
        ("\0", '"\\u0000"'),
    ],
)
def test_names_are_sorted_and_white_space_is_left_out(value: object, text: str) -> None:
    assert canonical(value) == text


def test_what_json_cannot_say_is_not_written() -> None:
    with pytest.raises(TypeError):
        canonical({"a": object()})
    with pytest.raises(ValueError, match="JSON"):
        canonical(float("nan"))


def test_a_text_that_is_canonical_already_is_written_as_it_is() -> None:
    inner = '{"a":1.50}'
    value = {"b": Number("1e2"), "a": Written(inner), "c": [Written(inner)]}
    assert canonical(value) == f'{{"a":{inner},"b":1e2,"c":[{inner}]}}'


def test_no_text_is_taken_for_the_place_of_a_number() -> None:
    with pytest.raises(InvalidJson, match="surrogate"):
        canonical(["\udc00", Number("1.5")])
    assert canonical(['"\udc00', "\udc00"]) == '["\\"\udc00","\udc00"]'


def test_a_quoted_text_keeps_its_characters() -> None:
    assert quoted('é "\\\n') == '"é \\"\\\\\\n"'


@calmly
@given(st.lists(st.text()))
def test_a_list_of_texts_has_one_canonical_text(texts: list[str]) -> None:
    assert names(texts) == canonical(texts)


def test_a_number_shows_its_lexeme() -> None:
    assert repr(Number("1e2")) == "Number('1e2')"
    assert Number("1e2") == 100


def test_what_was_read_is_written_in_its_own_order_and_exactly() -> None:
    text = '{"b":1.50,"a":[100000000000000000001,{"d":null,"c":"\u00e9"}]}'
    assert as_read(parse(text.encode())) == text
    assert canonical(parse(text.encode())) != text
