"""`freeze` and `thaw`."""

from __future__ import annotations

import json

import typer

from approvals.cli.connection import connect
from approvals.cli.say import say, say_lines


def freeze(
    *,
    server: str | None,
    agent: str | None,
    reason: str,
    url: str | None,
    key: str | None,
) -> None:
    """Stop calls, and say which are being sent at this moment."""
    with connect(url, key) as client:
        made = client.freeze(server=server, agent=agent, reason=reason)
    say(f"Frozen: {_scope(made)} ({made['id']})")
    for approval_id in made["sent"]:
        say(f"  already sent, cannot be stopped: {approval_id}")


def thaw(freeze_id: str | None, *, url: str | None, key: str | None) -> None:
    """End one freeze, or the only one there is."""
    with connect(url, key) as client:
        in_force = client.freezes()
        if freeze_id is None and len(in_force) == 1:
            freeze_id = in_force[0]["id"]
        if freeze_id is None:
            _list(in_force)
            raise typer.Exit(1)
        client.thaw(freeze_id)
    say(f"Thawed: {freeze_id}")


def list_(*, as_json: bool, url: str | None, key: str | None) -> None:
    """The freezes in force."""
    with connect(url, key) as client:
        in_force = client.freezes()
    if as_json:
        say_lines(json.dumps(in_force))
    else:
        _list(in_force)


def _list(in_force: list[dict[str, object]]) -> None:
    for found in in_force:
        say(f"{found['id']}  {_scope(found)}, by {found['by']}: {found['reason']}")
    if not in_force:
        say("Nothing is frozen.")


def _scope(found: dict[str, object]) -> str:
    parts = [f"{word} {found[word]}" for word in ("server", "agent") if found[word]]
    return " and ".join(parts) or "every call"
