"""When a server says that it may be asked again (RFC 9110, section 10.2.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

MAX_SECONDS = 86_400


def retry_after(value: str | None, *, now: datetime) -> timedelta | None:
    """The pause that a `Retry-After` header asks for, in seconds or until a date; None where it is
    none that can be read."""
    text = (value or "").strip()
    if not text or len(text) > 40:  # noqa: PLR2004
        return None
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text), MAX_SECONDS))
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(timedelta(0), min(until - now, timedelta(seconds=MAX_SECONDS)))
