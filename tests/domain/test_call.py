"""A call: its one canonical text, and the order in which a person reads it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from approvals.domain.call import (
    MAX_ARGUMENTS,
    MAX_DESCRIPTION,
    canonical_arguments,
    read_definition,
)
from approvals.domain.risk import Category
from approvals.domain.strictjson import Json, Number, parse
from approvals.errors import InvalidArguments
from tests.domain.builders import call

CANCEL: dict[str, Json] = {
    "name": "cancel_order",
    "description": "Cancel an active order.",
    "inputSchema": {"type": "object"},
}


def test_arguments_written_in_another_order_are_the_same_text() -> None:
    one, other = parse(b'{"b": 1, "a": {"d": 1.0, "c": 2}}'), parse(b'{"a":{"c":2,"d":1.0},"b":1}')
    assert canonical_arguments(one) == canonical_arguments(other) == '{"a":{"c":2,"d":1.0},"b":1}'


@pytest.mark.parametrize("arguments", [None, [], "text", 1, Number("1.0"), True])
def test_arguments_are_an_object(arguments: Json) -> None:
    with pytest.raises(InvalidArguments):
        canonical_arguments(arguments)


def test_one_mebibyte_of_arguments_is_carried_and_one_byte_more_is_not() -> None:
    around = len('{"a":""}')
    canonical_arguments({"a": "x" * (MAX_ARGUMENTS - around)})
    with pytest.raises(InvalidArguments):
        canonical_arguments({"a": "x" * (MAX_ARGUMENTS - around + 1)})


def test_the_size_of_arguments_is_counted_in_bytes() -> None:
    with pytest.raises(InvalidArguments):
        canonical_arguments({"a": "é" * (MAX_ARGUMENTS // 2)})


def test_arguments_are_shown_in_the_order_the_agent_wrote_them() -> None:
    asked = call({"symbol": "BTCUSD", "orderId": 12345, "all": False})
    assert asked.arguments == '{"all":false,"orderId":12345,"symbol":"BTCUSD"}'
    assert list(asked.shown_arguments) == ["symbol", "orderId", "all"]


def test_every_argument_is_shown_whatever_the_order_says() -> None:
    asked = replace(call({"b": 1, "a": 2, "c": 3}), argument_order=("c", "gone", "c"))
    assert asked.shown_arguments == {"a": 2, "b": 1, "c": 3}
    assert list(asked.shown_arguments) == ["c", "a", "b"]


def test_shown_numbers_keep_their_lexeme() -> None:
    shown = call({"price": Number("1.50")}).shown_arguments["price"]
    assert isinstance(shown, Number)
    assert shown.lexeme == "1.50"


def test_a_definition_is_its_name_its_description_and_a_hash_of_all_of_it() -> None:
    read = read_definition(CANCEL)
    assert (read.name, read.description) == ("cancel_order", "Cancel an active order.")
    assert read.hash.startswith("sha256:")


@pytest.mark.parametrize(
    "change",
    [{"description": "x"}, {"inputSchema": {}}, {"annotations": {"readOnlyHint": True}}],
)
def test_any_change_of_a_definition_changes_its_hash(change: dict[str, Json]) -> None:
    assert read_definition(CANCEL | change).hash != read_definition(CANCEL).hash


def test_what_a_server_says_in_meta_is_not_part_of_a_definition() -> None:
    assert read_definition({**CANCEL, "_meta": {"seen": 1}}) == read_definition(CANCEL)


@pytest.mark.parametrize("description", [{}, {"description": None}, {"description": 5}])
def test_a_definition_without_a_text_as_description_has_an_empty_one(
    description: dict[str, Json],
) -> None:
    assert read_definition({"name": "x", **description}).description == ""


@pytest.mark.parametrize("name", [{}, {"name": ""}, {"name": 5}, {"name": None}])
def test_a_definition_without_a_name_is_refused(name: dict[str, Json]) -> None:
    with pytest.raises(InvalidArguments):
        read_definition(name)


def test_how_bad_a_tool_is_comes_from_its_definition_else_from_its_bare_name() -> None:
    read = read_definition({"name": "tidy_up", "description": "Deletes all files of a user."})
    assert call(tool="tidy_up", definition=read).classified == read.classified
    assert read.classified.risk.category is Category.DESTRUCTIVE
    assert call(tool="get_price").classified.risk.category is Category.READ
    assert call(tool="get_price").classified is call(tool="get_price").classified


def test_annotations_raise_the_risk_of_a_definition_and_never_lower_it() -> None:
    worse = read_definition({"name": "get_price", "annotations": {"destructiveHint": True}})
    better = read_definition({"name": "delete_user", "annotations": {"readOnlyHint": True}})
    assert worse.classified.risk.category is Category.DESTRUCTIVE
    assert better.classified.risk.category is Category.DESTRUCTIVE


def test_of_a_long_description_the_beginning_is_kept_and_all_of_it_is_hashed() -> None:
    one, other = ("x" * MAX_DESCRIPTION + end for end in ("a", "b"))
    read = [read_definition({"name": "t", "description": said}) for said in (one, other)]
    assert {len(definition.description) for definition in read} == {MAX_DESCRIPTION}
    assert read[0].hash != read[1].hash


def test_the_address_of_a_server_is_part_of_what_its_tool_is() -> None:
    entry: dict[str, Json] = {"name": "act"}
    hashes = {read_definition(entry, address=place).hash for place in (None, "one", "two")}
    assert len(hashes) == 3
