"""The one line that says what a call would do.

Made of the tool's template or the tool's name and its arguments, never of a description or of the
agent's own words (CHANNELS.md, "The card").
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from approvals.domain.display import is_hidden, shortened, visible
from approvals.domain.redact import redacted
from approvals.domain.strictjson import Json, canonical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.domain.call import Call

MAX_VALUE = 40
MAX_NAMED = 3

PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
# A value may stand without quotes only if it cannot be read as more than one word.
_PLAIN = re.compile(r"[A-Za-z0-9._:/@+-]{1,40}")


def summarize(
    call: Call, given: dict[str, Json], *, template: str | None, hidden: Sequence[str] = ()
) -> str:
    """The template filled in, or the tool's name with at most three scalar arguments.

    `given` are the call's arguments as they are shown, but that values at the JSON pointers
    `hidden` are not told.

    Ends with "+ 2 more" when two arguments are not named. A template that names an argument which
    is not there is not used.
    """
    arguments = redacted(given, hidden)
    assert isinstance(arguments, dict)  # noqa: S101 (no pointer is empty)
    if template is not None and all(n in arguments for n in PLACEHOLDER.findall(template)):
        named = set(PLACEHOLDER.findall(template))
        text = PLACEHOLDER.sub(lambda match: _inline(arguments[match[1]]), visible(template))
    else:
        scalars = [n for n, v in arguments.items() if not isinstance(v, list | dict)]
        named = set(scalars[:MAX_NAMED])
        shown = ", ".join(
            f"{shortened(visible(n), MAX_VALUE)} {_short(arguments[n])}"
            for n in scalars[:MAX_NAMED]
        )
        text = f"{visible(call.tool.removeprefix(f'{call.server}_') or call.tool)} {shown}".rstrip()
    left = len(set(arguments) - named)
    return f"{text} + {left} more" if left else text


def json_shown(value: Json) -> str:
    """A value as JSON of the same meaning, hidden characters escaped: exact and visible."""
    text = canonical(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(_json_escape(c) if is_hidden(c) else c for c in text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _inline(value: Json) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return _short(value)


def _short(value: Json) -> str:
    text = json_shown(value)
    if len(text) <= MAX_VALUE:
        return text
    return shortened(text, MAX_VALUE - 1) + ('"' if isinstance(value, str) else "")
