"""A stream is followed event by event: what is altered, missing or out of place is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from approvals.domain.audit import StoredEvent, Stream, followed
from approvals.domain.chain import NO_EVENTS, Event, Fact, Head, link
from approvals.domain.strictjson import Json
from tests.domain.builders import MINUTE, NOON

MOMENT = timedelta(microseconds=1)


def chain(count: int = 3, name: str = "apr_1", **details: dict[str, Json]) -> list[Event]:
    events: list[Event] = []
    for n in range(1, count + 1):
        fact = Fact(
            id=f"evt_{n}",
            type="sent",
            actor="service",
            at=NOON + n * MINUTE,
            detail=details.get(f"detail_{n}", {}),
        )
        head = events[-1].head if events else NO_EVENTS
        events.append(link(head, name, fact, protected=f"sha256:{n}"))
    return events


def stored(event: Event, **changes: object) -> StoredEvent:
    row = StoredEvent(
        id=event.fact.id,
        stream=event.stream,
        seq=event.seq,
        hash=event.hash,
        at=event.fact.at,
        seal=None,
        event=event,
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def walked(*rows: StoredEvent) -> Stream:
    stream = Stream(name="apr_1")
    for row in rows:
        stream = followed(stream, row)
    return stream


def words(*rows: StoredEvent) -> list[tuple[str, str]]:
    return [(finding.row, finding.what) for finding in walked(*rows).findings]


FIRST, SECOND, THIRD = chain()
FACT = SECOND.fact


def test_a_chain_that_nobody_touched_has_no_findings() -> None:
    stream = walked(*map(stored, chain()))
    assert stream.findings == ()
    assert stream.head == THIRD.head
    assert (stream.seq, stream.protected) == (3, "sha256:3")


def test_a_stream_without_events_has_no_head_and_protects_nothing() -> None:
    assert (Stream(name="x").head, Stream(name="x").seq) == (Head(), 0)
    assert Stream(name="x").protected is None


@pytest.mark.parametrize(
    "altered",
    [
        replace(SECOND, fact=replace(FACT, id="evt_9")),
        replace(SECOND, fact=replace(FACT, type="lapsed")),
        replace(SECOND, fact=replace(FACT, actor="person:mallory")),
        replace(SECOND, fact=replace(FACT, at=FACT.at + MOMENT)),
        replace(SECOND, fact=replace(FACT, detail={"a": 1})),
        replace(SECOND, protected="sha256:other"),
        replace(SECOND, stream="apr_2"),
    ],
    ids=["id", "type", "actor", "at", "detail", "protected", "stream"],
)
def test_an_altered_event_is_named_and_the_one_after_it_is_not(altered: Event) -> None:
    [(_, what)] = words(stored(FIRST), stored(altered), stored(THIRD))
    assert what == "was altered: its hash is that of another content"


def test_an_altered_hash_is_said_of_the_event_that_has_it() -> None:
    altered = stored(replace(SECOND, hash="sha256:x"), hash="sha256:x")
    [(row, what)] = words(stored(FIRST), altered, stored(THIRD))
    assert (row, what) == ("evt_2", "was altered: its hash is that of another content")


def test_an_event_with_a_hash_of_its_own_making_is_not_followed_by_the_next() -> None:
    made = link(FIRST.head, "apr_1", replace(FACT, actor="person:mallory"), protected="sha256:2")
    assert words(stored(FIRST), stored(made), stored(THIRD)) == [
        ("evt_3", "does not follow the event before it")
    ]


def test_an_altered_previous_hash_breaks_the_chain_before_and_the_hash_after_it() -> None:
    altered = stored(replace(SECOND, previous="sha256:x"))
    assert words(stored(FIRST), altered, stored(THIRD)) == [
        ("evt_2", "does not follow the event before it"),
        ("evt_2", "was altered: its hash is that of another content"),
    ]


def test_missing_events_are_named_by_number() -> None:
    assert words(stored(SECOND)) == [("evt_2", "comes after a gap: 1 missing")]
    assert words(stored(THIRD)) == [("evt_3", "comes after a gap: 1 to 2 missing")]


def test_a_number_below_the_next_is_said() -> None:
    [(row, what), *_] = words(stored(replace(FIRST, seq=-1), seq=-1))
    assert (row, what) == ("evt_1", "has the number -1, and 1 is next")


def test_an_event_that_cannot_be_read_is_named_and_the_next_one_follows_its_hash() -> None:
    unreadable = replace(stored(SECOND), event=None, seq=0)
    stream = walked(stored(FIRST), unreadable)
    assert [(one.row, one.what) for one in stream.findings] == [("evt_2", "cannot be read")]
    assert (stream.seq, stream.protected) == (2, None)
    assert words(stored(FIRST), unreadable, stored(THIRD)) == [("evt_2", "cannot be read")]


def test_a_column_of_another_text_is_named() -> None:
    [(row, what)] = words(stored(FIRST, odd=("detail", "at")))
    assert (row, what) == ("evt_1", "was altered in detail, at")


def test_a_finding_says_stream_number_and_time() -> None:
    [finding] = walked(stored(FIRST, odd=("detail",))).findings
    assert (finding.table, finding.stream, finding.seq) == ("events", "apr_1", 1)
    assert finding.at == FIRST.fact.at


def test_the_keyed_hashes_of_hidden_values_and_the_decisions_are_remembered() -> None:
    said: dict[str, Json] = {"answer": "approve", "person": "bob"}
    stream = walked(*map(stored, chain(detail_1={"hidden": {"/pin": "k:1"}}, detail_2=said)))
    assert stream.hidden == {"/pin": "k:1"}
    assert stream.decisions == (said,)
    assert walked(*map(stored, chain(detail_1={"hidden": 7}))).hidden == {}
