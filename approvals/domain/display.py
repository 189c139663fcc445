"""Text of other people, made safe to look at: nothing invisible, nothing that reorders.

Hidden characters are not removed but written as escapes, so that they cannot pass unseen
(SECURITY.md, "Input" 4). In values, which are shown as JSON, a backslash of the text is doubled, so
an escape and its spelling differ; in names the flag "hidden characters" tells them apart.
"""

from __future__ import annotations

import re
import unicodedata

_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
# Drawn as nothing or as a blank, though their category says letter, mark or symbol.
_BLANK = frozenset(
    "\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f\U0001d159\U00016fe4"
)
# Written together in one word as a matter of course.
_EAST_ASIAN = frozenset(
    {"BOPOMOFO", "CJK", "HANGUL", "HIRAGANA", "IDEOGRAPHIC", "KATAKANA", "KATAKANA-HIRAGANA"}
)
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
"""Letters that are drawn in another order than they stand in."""
_NO_SCRIPT = frozenset({"", "FEMININE", "MASCULINE", "MICRO", "MODIFIER"})
_WORD = re.compile(r"[^\W\d_]+")


def visible(text: str) -> str:
    """`text` in one line, every control, bidi, zero-width, tag or look-alike space as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if is_hidden(c) else c for c in text)


def is_hidden(character: str) -> bool:
    """Whether a reader would not see this character for what it is."""
    if character == " ":
        return False
    return (
        unicodedata.category(character) in _HIDDEN_CATEGORIES
        or character in _BLANK
        or _is_variation_selector(character)
    )


def flags_of(text: str, *, name: bool = False) -> list[str]:
    """What a careful reader should know of `text`: hidden characters, mixed scripts, odd names."""
    if text.isascii() and text.isprintable():
        return []
    found = []
    if any(is_hidden(c) for c in text if c not in "\n\r\t"):
        found.append("hidden characters")
    unmarked = "".join(c for c in text if not unicodedata.category(c).startswith("M"))
    if any(len(_scripts(word)) > 1 for word in _WORD.findall(unmarked)):
        found.append("mixed scripts in one word")
    if any(unicodedata.bidirectional(c) in _RIGHT_TO_LEFT for c in text):
        found.append("right-to-left letters")
    if name and not text.isascii():
        found.append("non-ASCII name")
    return found


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters, with an ellipsis where something is missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\u{{{code:x}}}"  # noqa: PLR2004 (the BMP)


def _is_variation_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _scripts(word: str) -> set[str]:
    """The scripts of a word's letters, by the first word of each character's Unicode name."""
    names = (unicodedata.name(c, "").split(" ")[0] for c in word)
    return {"CJK" if name in _EAST_ASIAN else name for name in names} - _NO_SCRIPT
