"""Text of other people, made safe to look at."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.domain.display import flags_of, is_hidden, shortened, visible

CYRILLIC_A = "\u0430"
RIGHT_TO_LEFT = "\u202e"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cancel_order", "cancel_order"),
        ("größe 東京 naïve", "größe 東京 naïve"),
        ("a\nb\tc\r", r"a\u000ab\u0009c\u000d"),
        ("a\0b\x7f\x1b[31m", r"a\u0000b\u007f\u001b[31m"),
        (f"alice{RIGHT_TO_LEFT}bob", r"alice\u202ebob"),
        ("a\u2066b\u2069", r"a\u2066b\u2069"),
        ("zero\u200bwidth\u200d\ufeff", r"zero\u200bwidth\u200d\ufeff"),
        ("soft\u00adhyphen", r"soft\u00adhyphen"),
        ("no\u00a0break\u2003em\u3000wide", r"no\u00a0break\u2003em\u3000wide"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("tag\U000e0061", r"tag\u{e0061}"),
        ("variant\ufe0f\U000e0100", r"variant\ufe0f\u{e0100}"),
        ("filler\u3164\uffa0\u115f\u1160", r"filler\u3164\uffa0\u115f\u1160"),
        ("blank\u2800joiner\u034f", r"blank\u2800joiner\u034f"),
        ("private\ue000\U000f0000", r"private\ue000\u{f0000}"),
        ("unassigned\u0378", r"unassigned\u0378"),
        ("half\ud800", r"half\ud800"),
    ],
)
def test_what_cannot_be_seen_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


@settings(deadline=None, database=None)
@given(st.text())
def test_whatever_comes_the_shown_text_is_one_line_of_visible_characters(text: str) -> None:
    shown = visible(text)
    assert not any(is_hidden(character) for character in shown)
    assert len(shown.splitlines()) <= 1
    assert visible(shown) == shown


def test_a_plain_space_is_seen_and_every_other_blank_is_not() -> None:
    assert not is_hidden(" ")
    assert all(is_hidden(blank) for blank in "\u00a0\u2002\u2009\u202f\u205f\u3000\t")


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("symbol", []),
        ("größe", []),
        ("two\nlines\tof text", []),
        ("a\u200bb", ["hidden characters"]),
        ("a\x07b", ["hidden characters"]),
        (f"p{CYRILLIC_A}ypal", ["mixed scripts in one word"]),
        (f"Latin {CYRILLIC_A}{CYRILLIC_A}", []),
        (f"p{CYRILLIC_A}y\u202e", ["hidden characters", "mixed scripts in one word"]),
    ],
)
def test_a_careful_reader_is_told_what_is_odd(text: str, flags: list[str]) -> None:
    assert flags_of(text) == flags


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("symbol", []),
        ("größe", ["non-ASCII name"]),
        (f"{CYRILLIC_A}", ["non-ASCII name"]),
        (f"symb{CYRILLIC_A}l", ["mixed scripts in one word", "non-ASCII name"]),
        ("a\x00b", ["hidden characters"]),
    ],
)
def test_a_name_outside_ascii_is_flagged(name: str, flags: list[str]) -> None:
    assert flags_of(name, name=True) == flags


@pytest.mark.parametrize(
    ("text", "limit", "shown"), [("12345", 5, "12345"), ("123456", 5, "1234…"), ("", 5, "")]
)
def test_a_shortened_text_shows_that_something_is_missing(
    text: str, limit: int, shown: str
) -> None:
    assert shortened(text, limit) == shown
    assert len(shown) <= limit


@pytest.mark.parametrize("text", ["\u05d0", "pay \u0627\u0644", "\u0661"])
def test_letters_that_are_drawn_in_another_order_are_flagged(text: str) -> None:
    assert "right-to-left letters" in flags_of(text)
    assert "right-to-left letters" not in flags_of("caf\u00e9 \u00df")
