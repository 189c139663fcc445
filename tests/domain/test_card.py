"""The card: the same facts in the same order on every surface, all of them safe to print."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from approvals.domain.approval import cancel, decide, expire, finish, lapse, send
from approvals.domain.card import (
    ArgumentLine,
    card,
    deadline_line,
    needs,
    outcome_line,
    so_far,
    span,
    standing,
    value_flags,
)
from approvals.domain.directory import Directory, Person
from approvals.domain.quorum import Requirement, Stage
from approvals.domain.risk import Category, Level, risk_of
from approvals.domain.states import (
    Answer,
    Approval,
    CancelReason,
    EarlierRun,
    Outcome,
    ReleaseStatus,
)
from approvals.domain.strictjson import Json, Number
from tests.domain.builders import MINUTE, NOON, PEOPLE, approval, call, decision, defined

LATER = NOON + MINUTE
BOTH = Requirement(stages=(Stage(required=2),))


def notes(asked: Approval, directory: Directory = PEOPLE) -> tuple[str, ...]:
    return card(asked, directory=directory, now=NOON).notes


def answered(
    answer: Answer = Answer.APPROVE, *, asked: Approval | None = None, reason: str | None = None
) -> Approval:
    before = asked or approval()
    said = decision(answer=answer, of=before, reason=reason)
    step = decide(before, said, now=LATER, event_id="evt_1")
    assert step is not None
    return step.after


def released(status: ReleaseStatus | None = None) -> Approval:
    after = send(answered(), token="t", process="p", now=LATER, event_id="evt_2").after
    if status is None:
        return after
    outcome = Outcome(status=status, detail="", at=LATER + MINUTE, delivered=True)
    return finish(after, outcome, token="t", event_id="evt_3").after


def test_the_card_says_what_how_bad_who_asks_what_exactly_and_what_if_nobody_answers() -> None:
    shown = card(approval(), directory=PEOPLE, now=NOON)
    assert shown.question == "Cancel order 12345 on BTCUSD?"
    assert shown.risk == "CRITICAL · Financial"
    assert shown.facts == (
        ("Agent", "trader-bot (owner Alice)"),
        ("Server", "exchange"),
        ("Tool", "binance_us_cancel_order"),
        ("Needs", "1 of 2 people"),
        ("So far", "nobody"),
    )
    assert shown.arguments == (
        ArgumentLine(name="symbol", value='"BTCUSD"'),
        ArgumentLine(name="orderId", value="12345"),
    )
    assert shown.deadline == "If nobody answers: denied 12:15:00 UTC (in 15 min)"
    assert shown.outcome == ""
    assert shown.complete


def test_the_question_that_confirms_says_who_for_and_that_it_runs_once() -> None:
    assert card(approval(), directory=PEOPLE, now=NOON).confirm == (
        "Cancel order 12345 on BTCUSD, for trader-bot. It runs exactly as shown, one time. "
        "It cannot be undone."
    )
    mild = approval(risk=risk_of(Category.WRITE))
    assert card(mild, directory=PEOPLE, now=NOON).confirm == (
        "Cancel order 12345 on BTCUSD, for trader-bot. It runs exactly as shown, one time."
    )


@pytest.mark.parametrize(
    ("required", "said"),
    [(1, "undone."), (2, "One more person must approve."), (3, "2 more people must approve.")],
)
def test_the_question_that_confirms_says_how_many_more_are_needed(required: int, said: str) -> None:
    asked = approval(Requirement(stages=(Stage(required=required),)))
    assert card(asked, directory=PEOPLE, now=NOON).confirm.endswith(said)


def test_the_lock_screen_says_the_same_in_at_most_120_characters() -> None:
    assert card(approval(), directory=PEOPLE, now=NOON).lock_screen == (
        "CRITICAL: trader-bot wants to cancel order 12345 on BTCUSD. "
        "Answer by 12:15 UTC or it is denied."
    )
    long = card(approval(summary="Move " + "x" * 200), directory=PEOPLE, now=NOON).lock_screen
    assert len(long) == 120
    assert long.endswith("x…. Answer by 12:15 UTC or it is denied.")


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("wei", 10**18 + 1, ArgumentLine(name="wei", value="1000000000000000001")),
        ("price", Number("1.50"), ArgumentLine(name="price", value="1.50")),
        ("nested", {"b": [1], "a": None}, ArgumentLine(name="nested", value='{"a":null,"b":[1]}')),
        ("text", r"C:\users", ArgumentLine(name="text", value=r'"C:\\users"')),
        ("lines", "a\nb", ArgumentLine(name="lines", value=r'"a\nb"')),
        (
            "to",
            "alice\u202ebob",
            ArgumentLine(name="to", value=r'"alice\u202ebob"', flags=("hidden characters",)),
        ),
        (
            "to",
            "p\u0430ypal",
            ArgumentLine(name="to", value='"p\u0430ypal"', flags=("mixed scripts in one word",)),
        ),
        (
            "symb\u043el\u200b",
            "a\0",
            ArgumentLine(
                name="symb\u043el\\u200b",
                value=r'"a\u0000"',
                flags=("hidden characters", "mixed scripts in one word", "non-ASCII name"),
            ),
        ),
    ],
)
def test_an_argument_is_shown_whole_exact_and_with_its_flags(
    name: str, value: Json, line: ArgumentLine
) -> None:
    asked = approval(call=call({name: value}))
    assert card(asked, directory=PEOPLE, now=NOON).arguments == (line,)


def test_twenty_kilobytes_of_arguments_are_shown_to_their_end() -> None:
    asked = approval(call=call({"script": "x" * 20_000 + "; rm -rf /"}))
    (line,) = card(asked, directory=PEOPLE, now=NOON).arguments
    assert line.value.endswith('; rm -rf /"')


@pytest.mark.parametrize(
    ("shown", "flags"),
    [
        ('"plain"', []),
        (r'"\u202e"', ["hidden characters"]),
        (r'"\\u202e"', []),
        (r'"\\\u202e"', ["hidden characters"]),
        (r'"\n"', []),
    ],
)
def test_only_a_real_escape_in_a_value_is_a_hidden_character(shown: str, flags: list[str]) -> None:
    assert value_flags(shown) == flags


def test_names_of_tool_and_server_are_escaped() -> None:
    asked = approval(call=call(tool="pay\u202e", server="ex\nchange"))
    facts = dict(card(asked, directory=PEOPLE, now=NOON).facts)
    assert (facts["Tool"], facts["Server"]) == (r"pay\u202e", r"ex\u000achange")


def test_every_stage_is_named_with_the_people_it_needs() -> None:
    desk = Stage(approvers=frozenset({"group:trading", "person:alice"}), required=2)
    asked = approval(Requirement(stages=(desk, Stage())))
    assert needs(asked, PEOPLE) == "2 of 2 people in Alice or trading, and 1 of 2 people"


def test_a_summary_that_begins_with_a_name_keeps_its_capitals_on_the_lock_screen() -> None:
    shown = card(approval(summary="BTC sell"), directory=PEOPLE, now=NOON)
    assert "wants to BTC sell." in shown.lock_screen
    long = card(approval(call=call(agent="a" * 100)), directory=PEOPLE, now=NOON)
    assert len(long.lock_screen) <= 120


def test_who_has_answered_so_far_is_named() -> None:
    half = answered(asked=approval(BOTH))
    assert so_far(half) == "Approved by Bob"
    said = decision("carol", Answer.DENY, of=half)
    assert so_far(replace(half, decisions=(*half.decisions, said))) == (
        "Approved by Bob, Denied by Carol"
    )


def test_why_it_matters_is_always_said() -> None:
    assert notes(approval()) == (
        "Why it matters: moves money or ends a committed trade; it cannot be brought back.",
    )


def test_what_is_unusual_comes_first_and_what_others_say_comes_last_and_labelled() -> None:
    said = defined("Cancel an\n active  order.")
    asked = approval(
        Requirement(exclude_owner=False),
        call=call(definition=said, justification='Stale.\u202e "Trust" me.'),
        message="Larger than half a coin.",
        earlier_run=EarlierRun(status=ReleaseStatus.OUTCOME_UNKNOWN, at=NOON - 12 * MINUTE / 60),
        risk=risk_of(Category.FINANCIAL, level=Level.HIGH, why="because"),
    )
    assert notes(asked) == (
        "The same call ran 12 s ago: outcome unknown",
        "Why it matters: because",
        "The policy says: Larger than half a coin.",
        "This rule lets Alice, who owns the agent, decide.",
        'The server says: "Cancel an active order."',
        r'The agent says (its own words): "Stale.\u202e "Trust" me."',
    )


def test_solo_mode_is_said_on_the_card() -> None:
    solo = Directory(people={"alice": Person(name="alice")})
    assert notes(approval(), solo)[-1] == "Solo mode: one person exists, so the owner may decide."


def test_a_long_description_is_cut_and_an_empty_one_left_out() -> None:
    long = defined("x" * 301)
    asked = approval(call=call(definition=long))
    assert notes(asked)[-1] == f'The server says: "{"x" * 299}…"'
    empty = replace(long, description="")
    assert len(notes(approval(call=call(definition=empty)))) == 1


@pytest.mark.parametrize(
    ("after", "line"),
    [
        (approval(), ""),
        (answered(), "Approved by Bob · not sent yet"),
        (answered(Answer.DENY), "Denied by Bob"),
        (answered(Answer.DENY, reason="Wrong\u202e order"), r"Denied by Bob: Wrong\u202e order"),
        (
            expire(approval(), now=NOON + 15 * MINUTE, event_id="e").after,
            "Expired 12:15:00 UTC, denied",
        ),
        (
            cancel(
                approval(), CancelReason.CANCELLED, actor="agent:x", now=LATER, event_id="e"
            ).after,
            "Cancelled",
        ),
        (
            lapse(answered(), now=NOON + 6 * MINUTE, event_id="e").after,
            "Approved by Bob · not used in time, not run",
        ),
        (released(), "Approved by Bob · sent, waiting for the answer"),
        (released(ReleaseStatus.SUCCEEDED), "Approved by Bob · ran at 12:02:00 UTC"),
        (
            released(ReleaseStatus.FAILED),
            "Approved by Bob · the tool reported an error; it may have acted, 12:02:00 UTC",
        ),
        (
            released(ReleaseStatus.NOT_SENT),
            "Approved by Bob · could not be sent, not run, 12:02:00 UTC",
        ),
        (
            released(ReleaseStatus.OUTCOME_UNKNOWN),
            (
                "Approved by Bob · outcome unknown: check the system behind it before anything "
                "else, 12:02:00 UTC"
            ),
        ),
    ],
)
def test_what_became_of_the_call_is_one_line(after: Approval, line: str) -> None:
    assert outcome_line(after, LATER) == line


def test_the_deadline_counts_down_and_is_gone_once_somebody_has_decided() -> None:
    asked = approval()
    assert deadline_line(asked, NOON + 14 * MINUTE) == (
        "If nobody answers: denied 12:15:00 UTC (in 60 s)"
    )
    assert deadline_line(asked, NOON + 20 * MINUTE).endswith("(in 0 s)")
    assert deadline_line(answered(), LATER) == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (15 * 60, "15 min"),
        (90 * 60, "90 min"),
        (2 * 3600, "2 h"),
        (24 * 3600, "24 h"),
    ],
)
def test_a_duration_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert span(timedelta(seconds=seconds)) == said


def test_arguments_that_differ_only_in_case_carry_a_flag() -> None:
    asked = approval(call=call({"amount": 1, "Amount": 1000000, "to": "bob"}))
    lines = card(asked, directory=PEOPLE, now=NOON).arguments
    flagged = {line.name for line in lines if "another name differs only in case" in line.flags}
    assert flagged == {"amount", "Amount"}


def test_a_list_says_how_a_call_stands_without_its_arguments() -> None:
    found = standing(approval(), directory=PEOPLE, now=NOON)
    shown = card(approval(), directory=PEOPLE, now=NOON)
    facts = dict(shown.facts)
    assert (found.question, found.risk) == (shown.question, shown.risk)
    assert found.who == f"{facts['Agent']} on {facts['Server']}"
    assert (found.needs, found.so_far) == (facts["Needs"], facts["So far"])
    assert (found.deadline, found.outcome) == (shown.deadline, shown.outcome)
