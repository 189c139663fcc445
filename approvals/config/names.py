"""Which names the file may give to what it describes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from approvals.domain.policy.reading import Place

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
"""People, groups and agents."""
AGENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Without @: NAME@PERSON is what a person wraps around a server."""
SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
"""Servers and webhooks: part of a URL, and of what agents are told."""


def check_name(name: str, place: Place, allowed: re.Pattern[str]) -> None:
    """Record a problem at `place` if that is no name."""
    if not allowed.fullmatch(name):
        place.wrong("is not a name: use letters, digits, - and _, at most 63")
