"""Cards stay within Slack's limits, whatever is on them; nothing on them is markup."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from approvals.channels.slack.blocks import (
    MAX_CHARACTERS,
    Message,
    digest_message,
    escape,
    message,
    reply_blocks,
    size_of,
)
from approvals.channels.slack.interactions import Place
from approvals.channels.slack.views import denial, details
from approvals.domain.rulebook import Rulebook
from approvals.domain.states import Answer, Approval, Denied
from approvals.ports.telling import Drawn
from approvals.service.telling import draw
from tests.domain.builders import MINUTE, NOON, PEOPLE, approval, call, decision
from tests.hostile import LONG, MANY, STRINGS, hidden_in
from tests.slack.fake import check_blocks, check_message, check_text, texts

PAGES = "https://approvals.example"
PLAIN: dict[str, Any] = {
    "parse": "none",
    "link_names": False,
    "mrkdwn": False,
    "unfurl_links": False,
    "unfurl_media": False,
}


def drawn(asked: Approval) -> Drawn:
    return draw(asked, Rulebook(directory=PEOPLE, pages=PAGES), now=NOON + MINUTE)


def asked_with(arguments: dict[str, Any], **changes: object) -> Approval:
    return approval(call=call(arguments), **changes)  # type: ignore[arg-type]


def checked(said: Message) -> Message:
    """Refused by Slack, it would raise."""
    check_message({"text": said.text, "blocks": said.blocks, **PLAIN})
    assert size_of(said.blocks) <= MAX_CHARACTERS
    assert not hidden_in(said.text + "".join(texts(said.blocks)))
    return said


def whole(said: Message) -> str:
    return "\n".join(texts(said.blocks))


def test_a_card_has_what_a_person_needs_in_this_order() -> None:
    said = checked(message(drawn(approval())))
    assert said.text == (
        "CRITICAL: trader-bot wants to cancel order 12345 on BTCUSD. "
        "Answer by 12:15 UTC or it is denied."
    )
    shown = whole(said)
    order = [
        "Cancel order 12345 on BTCUSD?",
        "Agent\ntrader-bot (owner Alice)",
        "Risk\nCRITICAL · Financial",
        "Needs\n1 of 2 people",
        "So far\nnobody",
        'symbol   "BTCUSD"\norderId  12345\n(all 2 arguments shown)',
        "Why it matters:",
        "If nobody answers: denied 12:15:00 UTC (in 14 min) · apr_0123456789abcdef · sha ",
        "Approve",
        "Deny…",
        "Details",
    ]
    places = [shown.index(words) for words in order]
    assert places == sorted(places)
    assert said.approves
    [approve] = [
        element
        for block in said.blocks
        if isinstance(block, dict) and block["type"] == "actions"
        for element in block["elements"]  # type: ignore[union-attr]
        if element["action_id"] == "approve"  # type: ignore[index, call-overload]
    ]
    assert isinstance(approve, dict)
    assert "style" not in approve
    assert approve["value"] == f"{approval().id}:{approval().digest}"
    assert "It cannot be undone." in str(approve["confirm"])


@pytest.mark.parametrize("kind", sorted(STRINGS))
def test_hostile_text_is_text(kind: str) -> None:
    text = STRINGS[kind]
    asked = asked_with({"a": text, text[:50]: 1}, message=text)
    asked = replace(asked, call=replace(asked.call, justification=text, session=text))
    said = decision("bob", of=asked, reason=text)
    for one in (asked, replace(asked, decisions=(said,), state=Denied(at=NOON + MINUTE))):
        checked(message(drawn(one)))
        view = details(drawn(one), NOON.tzinfo)  # type: ignore[arg-type]
        check_blocks(view["blocks"], most=100)  # type: ignore[arg-type]
        assert not hidden_in("".join(texts(view["blocks"])))
    check_blocks(reply_blocks(text), most=50)  # type: ignore[arg-type]
    check_text(escape(text))


def test_many_keys_fit_whole_and_large_values_do_not() -> None:
    many = checked(message(drawn(asked_with(MANY))))
    assert many.approves
    assert "(all 200 arguments shown)" in whole(many)
    for value in (LONG, LONG * 50, "&" * 6_000, "😀" * 6_000, "\u202e" * 2_000):
        said = checked(message(drawn(asked_with({"what": value, "n": 1}))))
        assert not said.approves
        assert "Review" in whole(said)
        assert "what  (" in whole(said)
    keys = checked(message(drawn(asked_with({f"{'k' * 300}{n}": n for n in range(3_000)}))))
    assert not keys.approves
    assert "(3000 arguments, too much to show here: Review them)" in whole(keys)


def test_what_is_just_small_enough_is_shown_whole_and_one_more_is_not() -> None:
    """The boundary is Slack's, not ours: on one side every byte is there."""
    fits = [n for n in range(9_000, 12_000, 7) if at(n).approves]
    assert fits
    last = max(fits)
    assert whole(at(last)).count("y") >= last
    assert not any(at(last + more).approves for more in (7, 50, 500))


def at(length: int) -> Message:
    return checked(message(drawn(asked_with({"what": "y" * length}))))


def test_random_arguments_are_shown_whole_or_not_approved() -> None:
    random_ = random.Random(7)
    letters = 'aé<&>`*_~"\\\n\t\u202e\u200b😀 '
    for _ in range(80):
        arguments = {
            "".join(random_.choices(letters, k=random_.randint(1, 30))): "".join(
                random_.choices(letters, k=int(10 ** random_.uniform(0, 4)))
            )
            for _ in range(random_.randint(0, 12))
        }
        asked = asked_with(arguments)
        said = checked(message(drawn(asked)))
        if said.approves:
            for line in drawn(asked).card.arguments:
                assert line.value in whole(said)
                assert line.name in whole(said)


def test_what_is_over_has_no_buttons_and_says_how_it_ended() -> None:
    asked = approval()
    for reason in ("wrong order", "\u202e" * 1000):
        said = decision("bob", Answer.DENY, of=asked, reason=reason)
        over = replace(asked, decisions=(said,), state=Denied(at=NOON + MINUTE))
        ended = checked(message(drawn(over)))
        assert "Denied by Bob: " in whole(ended)
        assert "actions" not in {block["type"] for block in ended.blocks}  # type: ignore[call-overload, index]
    assert size_of(reply_blocks("\u202e" * 9000)) < 1000


def test_a_digest_names_some_and_counts_the_rest() -> None:
    hostile = [asked_with({"a": text}) for text in STRINGS.values()]
    waiting = [drawn(one) for one in hostile[:10]]
    said = checked(digest_message(waiting, more=180, page=PAGES))
    assert "190 more calls wait for a decision" in whole(said)
    assert "and 180 more" in whole(said)
    assert f"All of them: {PAGES}" in whole(said)


def test_the_dialog_of_a_denial_carries_what_it_is_about() -> None:
    place = Place(channel="C024BE91L", name="trading", ts="1503435956.000247")
    value = f"apr_{'x' * 60}:v1:sha256:{'0' * 64}"
    view = denial(value, place)
    assert len(str(view["private_metadata"])) <= 3000
    assert view["callback_id"] == "denial"
    check_blocks(view["blocks"], most=100)  # type: ignore[arg-type]
