"""`definitions`: what servers changed about their tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from approvals.cli.connection import connect
from approvals.cli.say import say, say_lines

if TYPE_CHECKING:
    from collections.abc import Mapping


def list_(*, as_json: bool, url: str | None, key: str | None) -> None:
    """Everything that waits for an admin."""
    with connect(url, key) as client:
        waiting = client.definitions()
    if as_json:
        say_lines(json.dumps(waiting))
        return
    for found in waiting:
        _show(found)
    if not waiting:
        say("Every tool is as it was accepted.")


def accept(server: str, tool: str, *, yes: bool, url: str | None, key: str | None) -> None:
    """Show what differs, and accept exactly that."""
    with connect(url, key) as client:
        waiting = client.definitions()
        found = next((d for d in waiting if (d["server"], d["tool"]) == (server, tool)), None)
        if found is None:
            say(f"{tool} on {server} does not wait for an admin.", err=True)
            raise typer.Exit(1)
        _show(found)
        if not yes and not typer.confirm("Accept this?"):
            raise typer.Exit(1)
        client.accept_definition(server, tool, found["hash"])
    say(f"Accepted: {tool} on {server}")


def _show(found: Mapping[str, Any]) -> None:
    say(f"{found['tool']} on {found['server']}, seen {found['seen_at']}")
    accepted = found["accepted"]
    by = accepted["by"] or "nobody: it was the first seen"
    say(f"  accepted {accepted['at']} by {by}")
    for change in found["changes"]:
        say(f"  {change['pointer'] or '(all of it)'}")
        for sign, side in (("-", "before"), ("+", "after")):
            if side in change:
                written = json.dumps(change[side], ensure_ascii=False)
                say(f"    {sign} {written}")
