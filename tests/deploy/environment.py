"""Stand-ins for secrets, and the settings that the service knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

from approvals.config.settings import PREFIX, Settings

KNOWN = frozenset(PREFIX + field.name.upper() for field in fields(Settings))

STAND_INS = {
    "APPROVALS_DATABASE_URL": "postgresql://approvals:secret@database:5432/approvals",
    "APPROVALS_REDIS_URL": "redis://redis:6379/0",
    "APPROVALS_SECRET_KEY": "0123456789abcdef0123456789abcdef",
}


def unknown(names: Iterable[str]) -> set[str]:
    """The names that look like settings and are none."""
    return {name for name in names if name.startswith(PREFIX)} - KNOWN
