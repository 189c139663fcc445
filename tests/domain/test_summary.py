"""The one line that says what a call would do."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.domain.call import Call
from approvals.domain.display import is_hidden
from approvals.domain.strictjson import Json, Number
from approvals.domain.summary import json_shown, summarize
from tests.domain.builders import call, defined

TEMPLATE = "Cancel order {orderId} on {symbol}"


def summarized(asked: Call, *, template: str | None) -> str:
    return summarize(asked, asked.shown_arguments, template=template)


def test_the_template_is_filled_in() -> None:
    assert summarized(call(), template=TEMPLATE) == "Cancel order 12345 on BTCUSD"


def test_arguments_that_the_template_does_not_name_are_counted() -> None:
    asked = call({"orderId": 1, "symbol": "A", "force": True, "why": []})
    assert summarized(asked, template=TEMPLATE) == "Cancel order 1 on A + 2 more"


def test_without_a_template_the_tool_and_its_arguments_are_named_in_the_agents_order() -> None:
    assert summarized(call(), template=None) == (
        'binance_us_cancel_order symbol "BTCUSD", orderId 12345'
    )


def test_the_name_of_the_server_is_not_said_twice() -> None:
    asked = call({"id": 1}, server="exchange", tool="exchange_cancel")
    assert summarized(asked, template=None) == "cancel id 1"


def test_at_most_three_scalars_are_named_and_the_rest_is_counted() -> None:
    asked = call({"list": [1], "a": 1, "b": True, "object": {}, "c": None, "d": "x"}, tool="t")
    assert summarized(asked, template=None) == "t a 1, b true, c null + 3 more"


def test_a_call_without_arguments_is_its_tool() -> None:
    assert summarized(call({}, tool="stop"), template=None) == "stop"


def test_a_template_that_names_an_argument_which_is_not_there_is_not_used() -> None:
    asked = call({"orderId": 1}, tool="cancel")
    assert summarized(asked, template=TEMPLATE) == "cancel orderId 1"


def test_neither_the_description_nor_the_words_of_the_agent_are_in_it() -> None:
    asked = call({}, tool="t", definition=defined("Harmless."), justification="Trust me.")
    assert summarized(asked, template=None) == "t"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("BTCUSD", "BTCUSD"),
        ("2026-11-20T12:00:00+00:00", "2026-11-20T12:00:00+00:00"),
        ("bob@example.com/x", "bob@example.com/x"),
        ("alice and pay bob", '"alice and pay bob"'),
        ("", '""'),
        ('a"b', r'"a\"b"'),
        ("größe", '"größe"'),
        ("pay\u202ebob", r'"pay\u202ebob"'),
        ("{symbol}", '"{symbol}"'),
        (10**18 + 1, "1000000000000000001"),
        (Number("1.50"), "1.50"),
        (None, "null"),
        ([1, "a"], '[1,"a"]'),
    ],
)
def test_a_value_stands_without_quotes_only_if_it_is_one_word(value: Json, shown: str) -> None:
    assert summarized(call({"a": value}), template="Do {a}") == f"Do {shown}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x" * 40, "x" * 40),
        ("x" * 41, '"' + "x" * 37 + '…"'),
        (int("1" * 41), "1" * 38 + "…"),
        ("a b" + "c" * 40, '"a b' + "c" * 34 + '…"'),
    ],
)
def test_a_long_value_is_cut_where_it_can_be_seen(value: Json, shown: str) -> None:
    assert summarized(call({"a": value}), template="{a}") == shown
    assert len(shown) <= 40


def test_a_long_name_is_cut_and_a_hidden_character_in_it_is_shown() -> None:
    asked = call({"n" * 41: 1, "b\u200b": 2}, tool="t\u200b")
    assert summarized(asked, template=None) == f"t\\u200b {'n' * 39}… 1, b\\u200b 2"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"b": 1, "a": [Number("1.0")]}, '{"a":[1.0],"b":1}'),
        ("größe", '"größe"'),
        ("\0\x7f\u202e", r'"\u0000\u007f\u202e"'),
        ("\U000e0061", r'"\udb40\udc61"'),
        (r"\u202e", r'"\\u202e"'),
    ],
)
def test_a_value_is_shown_as_json_without_anything_hidden(value: Json, shown: str) -> None:
    assert json_shown(value) == shown


@settings(deadline=None, database=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_shown_json_means_the_same_text(text: str) -> None:
    shown = json_shown(text)
    assert json.loads(shown) == text
    assert not any(is_hidden(character) for character in shown)
