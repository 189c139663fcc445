"""The record of a call against its stream: what of it is no longer what was written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from approvals.domain import approval as machine
from approvals.domain.audit import StoredEvent, Stream, followed
from approvals.domain.chain import Event, Head
from approvals.domain.digest import digest, identity_text, sha256
from approvals.domain.protected import protected_hash
from approvals.domain.record import (
    StoredApproval,
    StoredDecision,
    record_findings,
    stored_result,
)
from approvals.domain.redact import replaced
from approvals.domain.states import Approval, Outcome, Pending, Released, ReleaseStatus
from approvals.domain.strictjson import Json, canonical
from tests.domain.builders import MINUTE, NOON, approval, call, decision
from tests.domain.test_seal import KEY, Secret

LATER = NOON + MINUTE
RESULT = '{"result":{}}'
ARGUMENTS: dict[str, Json] = {"to": "bob", "pin": "1234"}
HIDDEN = {"/pin": KEY.keyed(canonical("1234"), "hidden")}


def asked(**changes: object) -> Approval:
    base = approval(None, **changes)
    identity = KEY.keyed(identity_text(base.call), "identity")
    return replace(base, identity=identity, head=Head(), **changes)  # type: ignore[arg-type]


def with_hidden() -> Approval:
    shown = canonical(replaced(ARGUMENTS, HIDDEN))
    given = call(ARGUMENTS)
    base = asked(call=given, hidden=("/pin",))
    return replace(base, digest=digest(given, base.requirement, revision=1, arguments=shown))


class Life:
    """An approval and its events."""

    def __init__(self, start: Approval, hidden: dict[str, str] | None = None) -> None:
        parking = machine.park(start, event_id="evt_0", max_pending=9, hidden=hidden or {})
        self.now, self.events = parking.approval, [parking.event]

    def then(self, step: Callable[[Approval], tuple[Approval, Event]]) -> Life:
        self.now, event = step(self.now)
        self.events.append(event)
        return self

    @property
    def stream(self) -> Stream:
        stream = Stream(name=self.now.id)
        for event in self.events:
            stream = followed(stream, row_of(event))
        assert not stream.findings
        return stream


def row_of(event: Event) -> StoredEvent:
    return StoredEvent(
        id=event.fact.id,
        stream=event.stream,
        seq=event.seq,
        hash=event.hash,
        at=event.fact.at,
        seal=1,
        event=event,
    )


def decided(before: Approval) -> tuple[Approval, Event]:
    step = machine.decide(before, decision(of=before), now=LATER, event_id="evt_1")
    assert step is not None
    return step.after, step.event


def sent(before: Approval) -> tuple[Approval, Event]:
    step = machine.send(before, token="t", process="p", now=LATER, event_id="evt_2")
    return step.after, step.event


def ran(size: int = len(RESULT)) -> Callable[[Approval], tuple[Approval, Event]]:
    def step(before: Approval) -> tuple[Approval, Event]:
        outcome = Outcome(
            status=ReleaseStatus.SUCCEEDED,
            detail="",
            at=LATER,
            delivered=True,
            result_hash=sha256(RESULT),
            result_size=size,
        )
        done = machine.finish(before, outcome, token="t", event_id="evt_3")
        return done.after, done.event

    return step


def erased(before: Approval) -> tuple[Approval, Event]:
    made = machine.erase(before, hashes={"arguments": "k:1"}, now=LATER, event_id="evt_4")
    return made.after, made.event


def words(
    life: Life,
    now: Approval | None = None,
    *,
    decisions: tuple[StoredDecision, ...] | None = None,
    odd: tuple[str, ...] = (),
    result: str | None = None,
    keys: Secret = KEY,
    stream: Stream | None = None,
) -> list[tuple[str, str, str]]:
    now = now or life.now
    rows = tuple(
        StoredDecision(seq=seq, decision=said) for seq, said in enumerate(now.decisions, start=1)
    )
    row = StoredApproval(
        id=now.id, approval=now, decisions=rows if decisions is None else decisions, odd=odd
    )
    kept = None if result is None else stored_result(result)
    found = record_findings(row, stream or life.stream, result=kept, keys=keys)
    return [(one.table, one.row, one.what) for one in found]


DECIDED = Life(asked()).then(decided)
ID = DECIDED.now.id
RAN = Life(asked()).then(decided).then(sent).then(ran())


@pytest.mark.parametrize(
    ("life", "result"),
    [
        (Life(asked()), None),
        (DECIDED, None),
        (Life(with_hidden(), HIDDEN), None),
        (RAN, RESULT),
        (Life(asked()).then(decided).then(sent).then(ran(1024 * 1024 + 1)), None),
        (Life(asked()).then(decided).then(sent).then(ran()).then(erased), None),
    ],
    ids=["pending", "approved", "hidden", "ran", "too large to keep", "erased"],
)
def test_a_record_that_nobody_touched_has_no_findings(life: Life, result: str | None) -> None:
    assert words(life, result=result) == []


def test_a_finding_names_table_row_and_stream_and_the_time_of_asking() -> None:
    altered = replace(DECIDED.now, rule="/other")
    row = StoredApproval(id=ID, approval=altered, decisions=())
    [missing, found] = record_findings(row, DECIDED.stream, result=None, keys=KEY)
    assert (missing.table, missing.row) == ("decisions", f"{ID} 1")
    assert (found.table, found.row, found.stream, found.seq) == ("approvals", ID, ID, 2)
    assert found.at == NOON


def test_an_altered_row_does_not_have_the_hash_in_its_last_event() -> None:
    altered = replace(DECIDED.now, state=Pending())
    assert words(DECIDED, altered) == [
        ("approvals", ID, "was altered: its last event has the hash of another content")
    ]


def test_columns_that_say_something_else_are_named() -> None:
    [(_, _, what)] = words(DECIDED, odd=("open_identity", "due_at"))
    assert what == "was altered in open_identity, due_at"


@pytest.mark.parametrize("head", [Head(seq=3, hash="x"), Head(seq=2, hash="x")])
def test_the_row_names_the_last_event_of_its_stream(head: Head) -> None:
    [(_, _, what)] = words(DECIDED, replace(DECIDED.now, head=head))
    assert what == f"names event {head.seq} as its last; its stream ends with 2"


def test_a_version_counts_the_events() -> None:
    said = [what for _, _, what in words(DECIDED, replace(DECIDED.now, version=3))]
    assert said[0] == "has version 3 after 2 events"


def test_a_last_event_that_cannot_be_read_accuses_no_row() -> None:
    stream = DECIDED.stream
    assert stream.last is not None
    unreadable = replace(stream, last=replace(stream.last, event=None))
    assert words(DECIDED, stream=unreadable) == []


def test_a_row_that_cannot_be_read_is_said_with_its_decisions() -> None:
    row = StoredApproval(id=ID, approval=None, decisions=(StoredDecision(seq=1, decision=None),))
    found = record_findings(row, DECIDED.stream, result=None, keys=KEY)
    assert [(one.table, one.row, one.what, one.at) for one in found] == [
        ("decisions", f"{ID} 1", "cannot be read", None),
        ("approvals", ID, "cannot be read", None),
    ]


def test_a_decision_is_what_its_event_says_with_its_number() -> None:
    [said] = DECIDED.now.decisions
    right = StoredDecision(seq=1, decision=said)
    for rows, expected in (
        ([replace(right, decision=replace(said, person="eve"))], "is not what its event says"),
        ([replace(right, odd=("stages",))], "is not what its event says"),
        ([right, replace(right, seq=2)], "is in no event"),
        ([], "is missing; its event is there"),
    ):
        found = words(DECIDED, decisions=tuple(rows))
        seq = 2 if expected == "is in no event" else 1
        assert found == [("decisions", f"{ID} {seq}", expected)]
    moved = words(DECIDED, decisions=(replace(right, seq=3),))
    assert [row for _, row, _ in moved] == [f"{ID} 3", f"{ID} 1"]


@pytest.mark.parametrize(
    "arguments",
    ['{"orderId":12346,"symbol":"BTCUSD"}', '{"orderId": 12345, "symbol":"BTCUSD"}', "{}"],
    ids=["another value", "white space", "nothing"],
)
def test_other_arguments_do_not_have_the_digest(arguments: str) -> None:
    altered = replace(DECIDED.now, call=replace(DECIDED.now.call, arguments=arguments))
    [(_, _, what)] = words(DECIDED, altered)
    assert what == "has other arguments than were decided on: its digest is not theirs"


@pytest.mark.parametrize("arguments", ["{", "[]", "\ud800"])
def test_arguments_that_are_none_are_said(arguments: str) -> None:
    altered = replace(DECIDED.now, call=replace(DECIDED.now.call, arguments=arguments))
    [(_, _, what)] = words(DECIDED, altered)
    assert what == "has arguments that cannot be read"


def test_a_hidden_value_is_held_to_its_keyed_hash() -> None:
    life = Life(with_hidden(), HIDDEN)
    other = replace(life.now.call, arguments='{"pin":"1235","to":"bob"}')
    [(_, _, what)] = words(life, replace(life.now, call=other))
    assert what.startswith("has other arguments")
    gone = replace(life.now.call, arguments='{"to":"bob"}')
    [(_, _, what)] = words(life, replace(life.now, call=gone))
    assert what == "has arguments that cannot be read"


def test_without_its_key_a_hidden_value_is_no_proof() -> None:
    [(_, _, what)] = words(Life(with_hidden(), HIDDEN), keys=Secret("o"))
    assert what == "hides a value under a key that is not here"


def test_the_identity_is_that_of_the_call_where_its_key_is_known() -> None:
    life = Life(replace(asked(), identity=KEY.keyed("another call", "identity")))
    assert [what for _, _, what in words(life)] == ["has the identity of another call"]
    assert words(life, keys=Secret("o")) == []
    keyed = KEY.keyed(canonical(["trader-bot", "idem-1"]), "idempotency")
    life = Life(replace(asked(), idempotency_key="idem-1", identity=keyed))
    assert words(life) == []
    life = Life(replace(asked(), idempotency_key="idem-2", identity=keyed))
    assert [what for _, _, what in words(life)] == ["has the identity of another call"]


def test_a_result_is_the_one_of_the_outcome() -> None:
    assert words(RAN) == [("results", ID, "is missing")]
    for text in ("{}", RESULT.swapcase()):
        assert words(RAN, result=text) == [("results", ID, "is not what the tool answered")]
    assert words(DECIDED, result="{}") == [("results", ID, "is not what the tool answered")]


def test_a_size_that_is_not_that_of_the_result_is_said() -> None:
    assert isinstance(RAN.now.state, Released)
    outcome = RAN.now.state.outcome
    assert outcome is not None
    state = replace(RAN.now.state, outcome=replace(outcome, result_size=3))
    altered = replace(RAN.now, state=state)
    assert protected_hash(altered) != protected_hash(RAN.now)
    assert ("results", ID, "is not what the tool answered") in words(RAN, altered, result=RESULT)


def test_what_was_erased_has_not_come_back() -> None:
    life = Life(asked()).then(decided).then(sent).then(ran()).then(erased)
    assert words(life, result=RESULT) == [("results", ID, "is there, and it was erased")]
    back = replace(life.now, call=replace(life.now.call, arguments='{"a":1}'))
    assert words(life, back) == [("approvals", ID, "has arguments, and they were erased")]
