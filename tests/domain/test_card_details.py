"""The card of calls that are not plain: hidden values, stages, delays, other time zones."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from approvals.domain.approval import cancel, decide, escalate, expire
from approvals.domain.call import Executor
from approvals.domain.card import card, needs, outcome_line, span_in_words
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.states import Approval, CancelReason
from tests.domain.builders import MINUTE, NOON, PEOPLE, approval, call, decision, defined

LATER = NOON + MINUTE
BERLIN = ZoneInfo("Europe/Berlin")


def approved(asked: Approval) -> Approval:
    step = decide(asked, decision(of=asked), now=LATER, event_id="evt_1")
    assert step is not None
    return step.after


def test_all_times_are_in_the_zone_of_now() -> None:
    shown = card(approval(), directory=PEOPLE, now=NOON.astimezone(BERLIN))
    assert shown.deadline == "If nobody answers: denied 13:15:00 CET (in 15 min)"
    assert shown.lock_screen.endswith("Answer by 13:15 CET or it is denied.")
    expired = expire(approval(), now=NOON + 15 * MINUTE, event_id="evt_1").after
    assert outcome_line(expired, LATER.astimezone(BERLIN)) == "Expired 13:15:00 CET, denied"


def test_a_hidden_value_is_not_shown_flagged_and_stops_the_approval_here() -> None:
    given = call({"symbol": "BTC", "a/b": {"token": "t-1", "x": 1}, "secret": "s-1"})
    asked = approval(call=given, hidden=("/a~1b/token", "/secret"))
    shown = card(asked, directory=PEOPLE, now=NOON)
    assert not shown.complete
    assert [(line.name, line.value, line.flags) for line in shown.arguments] == [
        ("symbol", '"BTC"', ()),
        ("a/b", '{"token":"[hidden]","x":1}', ("a value is hidden here",)),
        ("secret", '"[hidden]"', ("a value is hidden here",)),
    ]
    assert shown.notes[0] == "Some values are hidden here, so this call cannot be approved here."
    assert not any("t-1" in str(part) or "s-1" in str(part) for part in (shown,))


def test_a_card_without_hidden_values_is_complete() -> None:
    assert card(approval(), directory=PEOPLE, now=NOON).complete


def test_stages_say_their_name_and_whether_one_comes_after_the_other() -> None:
    desk = Stage(name="desk\u202e", approvers=frozenset({"group:trading"}), required=2)
    stages = (desk, Stage(approvers=frozenset({"person:carol"})))
    either = approval(Requirement(stages=stages))
    assert needs(either, PEOPLE) == (
        r"2 of 2 people in trading (desk\u202e), and 1 of 1 person in Carol"
    )
    assert ", then 1 of 1" in needs(approval(Requirement(stages=stages, ordered=True)), PEOPLE)


def test_after_an_escalation_the_card_counts_those_who_joined() -> None:
    stage = Stage(approvers=frozenset({"person:bob"}), escalates_to=frozenset({"person:carol"}))
    asked = approval(Requirement(stages=(stage,), escalate_after=MINUTE))
    assert needs(asked, PEOPLE) == "1 of 1 person in Bob"
    more = escalate(asked, actor="service", now=LATER, event_id="evt_1").after
    assert needs(more, PEOPLE) == "1 of 2 people in Bob or Carol"


def test_where_everyone_may_approve_no_group_is_named() -> None:
    stage = Stage(approvers=frozenset({"everyone", "group:trading"}))
    assert needs(approval(Requirement(stages=(stage,))), PEOPLE) == "1 of 2 people"


def test_an_owner_who_may_decide_is_counted() -> None:
    assert needs(approval(Requirement(exclude_owner=False)), PEOPLE) == "1 of 3 people"


def test_a_delayed_call_says_from_when_on_it_may_be_sent() -> None:
    delayed = approved(approval(Requirement(release_delay=2 * MINUTE)))
    assert outcome_line(delayed, LATER) == "Approved by Bob · not sent before 12:03:00 UTC"
    assert outcome_line(delayed, LATER + 2 * MINUTE) == "Approved by Bob · not sent yet"


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        (CancelReason.CANCELLED, "Cancelled"),
        (CancelReason.REVOKED, "Revoked before it was sent"),
        (CancelReason.POLICY_CHANGED, "Cancelled: the policy changed"),
        (CancelReason.DEFINITION_CHANGED, "Cancelled: the tool changed"),
    ],
)
def test_a_withdrawn_call_says_why(reason: CancelReason, line: str) -> None:
    after = cancel(approved(approval()), reason, actor="a", now=LATER, event_id="evt_2").after
    assert outcome_line(after, LATER) == line


def test_the_description_is_the_servers_or_the_calling_programs() -> None:
    asked = approval(call=call(definition=defined("Moves\nmoney."), executor=Executor.CALLER))
    notes = card(asked, directory=PEOPLE, now=NOON).notes
    assert notes[-1] == 'The calling program says: "Moves money."'
    gateway = replace(asked, call=replace(asked.call, executor=Executor.GATEWAY))
    assert card(gateway, directory=PEOPLE, now=NOON).notes[-1].startswith("The server says")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (40, "40 seconds"),
        (120, "2 minutes"),
        (15 * 60, "15 minutes"),
        (2 * 3600, "2 hours"),
    ],
)
def test_a_duration_in_a_sentence_has_its_whole_word(seconds: int, said: str) -> None:
    assert span_in_words(timedelta(seconds=seconds)) == said


def test_revealed_values_are_shown_whole_and_the_card_is_complete() -> None:
    given = call({"secret": "hunter2", "n": 1})
    asked = approval(call=given, hidden=("/secret",))
    shown = card(asked, directory=PEOPLE, now=NOON, revealed=True)
    assert [(line.name, line.value) for line in shown.arguments] == [
        ("secret", '"hunter2"'),
        ("n", "1"),
    ]
    assert shown.complete
    assert not any("hidden" in note for note in shown.notes)
    assert not card(asked, directory=PEOPLE, now=NOON).complete


def test_what_the_agent_says_of_a_call_is_not_shown_while_a_value_is_hidden() -> None:
    """Its words may repeat the value."""
    asked = approval(call=call({"password": "hunter2"}, justification="It is hunter2."))
    hidden = replace(asked, hidden=("/password",))
    shown = card(hidden, directory=PEOPLE, now=NOON)
    assert "The agent says why in words that may repeat what is hidden; not shown here." in (
        shown.notes
    )
    assert "hunter2" not in str(shown)
    revealed = card(hidden, directory=PEOPLE, now=NOON, revealed=True)
    assert 'The agent says (its own words): "It is hunter2."' in revealed.notes
