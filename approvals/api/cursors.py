"""Where a list goes on: the time and id of the last row, as one opaque text."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from approvals.errors import InvalidFilter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

MAX_PAGE = 200


def cursor(at: datetime, id_: str) -> str:
    """The place after the row of this time and id."""
    text = f"{at.isoformat()} {id_}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def place(cursor_: str | None) -> tuple[datetime, str] | None:
    """Time and id of a cursor. Raises InvalidFilter."""
    if cursor_ is None:
        return None
    try:
        padded = cursor_.encode("ascii") + b"=" * (-len(cursor_) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("utf-8")
        at, _, id_ = text.partition(" ")
        moment = datetime.fromisoformat(at)
        if moment.utcoffset() is None:
            raise ValueError
        return moment.astimezone(UTC), id_
    except (UnicodeError, binascii.Error, ValueError, OverflowError):
        raise InvalidFilter("`cursor` is not one that a list gave.") from None


def check_known(asked: Iterable[str], names: Collection[str]) -> None:
    """Raises InvalidFilter for a filter that a list does not have."""
    if set(asked) - set(names):
        raise InvalidFilter(f"Known filters are {', '.join(names) or 'none'}.")


def limit(text: str) -> int:
    """How many rows a page has. Raises InvalidFilter."""
    if not (text.isascii() and text.isdigit() and len(text) <= 3) or not (  # noqa: PLR2004
        1 <= int(text) <= MAX_PAGE
    ):
        raise InvalidFilter(f"`limit` is a whole number from 1 to {MAX_PAGE}.")
    return int(text)
