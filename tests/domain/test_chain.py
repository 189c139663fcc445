"""Audit events: each in its place, each covering everything before it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from approvals.domain.chain import GENESIS, NO_EVENTS, Fact, Head, link
from tests.domain.builders import NOON

FACT = Fact(id="evt_1", type="sent", actor="service", at=NOON, detail={"process": "prc"})
EVENT = link(NO_EVENTS, "apr_1", FACT, protected="sha256:p")


def test_a_stream_begins_with_number_one_after_nothing() -> None:
    assert (EVENT.seq, EVENT.previous) == (1, GENESIS)
    assert EVENT.head == Head(seq=1, hash=EVENT.hash)


def test_every_event_names_the_hash_of_the_one_before_it() -> None:
    second = link(EVENT.head, "apr_1", replace(FACT, id="evt_2"))
    third = link(second.head, "apr_1", replace(FACT, id="evt_3"))
    assert [second.seq, third.seq] == [2, 3]
    assert [second.previous, third.previous] == [EVENT.hash, second.hash]


@pytest.mark.parametrize(
    "change",
    [
        {"id": "evt_2"},
        {"type": "lapsed"},
        {"actor": "person:bob"},
        {"at": NOON + timedelta(microseconds=1)},
        {"detail": {"process": "other"}},
        {"detail": {}},
    ],
)
def test_altering_a_fact_alters_its_hash(change: dict[str, object]) -> None:
    altered = replace(FACT, **change)  # type: ignore[arg-type]
    assert link(NO_EVENTS, "apr_1", altered, protected="sha256:p").hash != EVENT.hash


def test_the_stream_the_place_and_the_protected_columns_are_part_of_the_hash() -> None:
    others = (
        link(NO_EVENTS, "apr_2", FACT, protected="sha256:p"),
        link(Head(seq=1), "apr_1", FACT, protected="sha256:p"),
        link(Head(hash="sha256:x"), "apr_1", FACT, protected="sha256:p"),
        link(NO_EVENTS, "apr_1", FACT),
    )
    assert len({EVENT.hash, *(event.hash for event in others)}) == 5


def test_linking_the_same_again_gives_the_same() -> None:
    assert link(NO_EVENTS, "apr_1", FACT, protected="sha256:p") == EVENT


def test_the_detail_is_hashed_in_whatever_order_it_is_given() -> None:
    one = replace(FACT, detail={"a": 1, "b": 2})
    other = replace(FACT, detail={"b": 2, "a": 1})
    assert link(NO_EVENTS, "apr_1", one).hash == link(NO_EVENTS, "apr_1", other).hash
