"""`login`: a link that signs in to the pages, once."""

from __future__ import annotations

from approvals.cli.connection import connect
from approvals.cli.say import say


def login(*, url: str | None, key: str | None) -> None:
    """Print the link alone, so that it can be handed on."""
    with connect(url, key) as client:
        made = client.sign_in_link()
    say(made["url"])
    say(f"It works once, until {made['expires_at'][:16]} UTC.", err=True)
