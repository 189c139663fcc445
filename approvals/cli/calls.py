"""`list`, `show`, `approve`, `deny`, `cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from approvals.cli.card_text import lines
from approvals.cli.connection import connect
from approvals.cli.say import say
from approvals.client import ApiError, exact_json

if TYPE_CHECKING:
    from approvals.client import Client

NOT_NOW = "This call cannot be approved now."
FULL_ID = len("apr_") + 16


def list_(*, status: str | None, as_json: bool, url: str | None, key: str | None) -> None:
    """One line each: id, state, risk, what, who asks."""
    with connect(url, key) as client:
        found = client.approvals(**({"status": status} if status else {}))
    if as_json:
        say(exact_json(found))
        return
    for approval in found:
        say(
            f"{approval['id']}  {state(approval):<26} {approval['risk']['level'].upper():<9}"
            f"{approval['summary']}  ({approval['agent']['name']} on"
            f" {approval['server']})"
        )
    if not found:
        say("Nothing is waiting." if status == "pending" else "No approvals yet.")


def show(id_: str, *, as_json: bool, url: str | None, key: str | None) -> None:
    """The whole card, and who has answered why."""
    with connect(url, key) as client:
        approval = find(client, id_)
        if as_json:
            say(exact_json(approval))
            return
        shown_whole(client, approval["id"])
    for line in _reasons(approval):
        say(line)


def approve(id_: str, *, reason: str | None, yes: bool, url: str | None, key: str | None) -> None:
    """Approve what was shown: the digest sent is the one of the card printed."""
    with connect(url, key) as client:
        approval = find(client, id_)
        if approval["status"] != "pending":
            raise ApiError(409, "already_decided", _over(approval))
        shown = shown_whole(client, approval["id"])
        check_offered(shown)
        if not yes and not typer.confirm("Run this call?"):
            say("Nothing was decided.")
            raise typer.Exit(1)
        after = client.approve(shown["id"], shown["digest"], reason)
    say(f"{after['id']} {state(after)}")


def shown_whole(client: Client, id_: str) -> dict[str, Any]:
    """Print the card; what was printed."""
    shown = client.card(id_)
    for line in lines(shown):
        say(line)
    return shown


def check_offered(shown: dict[str, Any]) -> None:
    """Say what approving means. Raises ApiError where it is not offered on what was printed."""
    if not shown["offer"]["approve"]:
        raise ApiError(403, "forbidden", shown["offer"]["why_not"] or NOT_NOW)
    say(shown["confirm"])


def deny(id_: str, *, reason: str | None, url: str | None, key: str | None) -> None:
    """Deny."""
    with connect(url, key) as client:
        after = client.deny(find(client, id_)["id"], reason)
    say(f"{after['id']} {state(after)}")


def cancel(id_: str, *, url: str | None, key: str | None) -> None:
    """Withdraw."""
    with connect(url, key) as client:
        after = client.cancel(find(client, id_)["id"])
    say(f"{after['id']} {state(after)}")


def find(client: Client, id_: str) -> dict[str, Any]:
    """An approval by its id or the beginning of it."""
    if len(id_) >= FULL_ID:
        return client.approval(id_)
    found = [a for a in client.approvals(limit="200") if a["id"].startswith(id_)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ApiError(404, "not_found", f"No recent approval begins with {id_}.")
    raise ApiError(404, "not_found", f"{len(found)} approvals begin with {id_}. Give more of it.")


def _over(approval: dict[str, Any]) -> str:
    """What became of a call that can no longer be decided."""
    said = [
        f"{_PAST[d['decision']].title()} by {d['person']} at {_time(d['at'])}. "
        for d in approval["decisions"][-1:]
    ]
    return f"{''.join(said)}It is {state(approval)} now; nothing was done."


_PAST = {"approve": "approved", "deny": "denied"}


def _time(moment: str) -> str:
    """To the second."""
    return f"{moment[:19].replace('T', ' ')} UTC"


def headline(approval: dict[str, Any]) -> str:
    """How bad, what, and until when somebody may answer."""
    risk = f"{approval['risk']['level'].upper()} · {approval['risk']['category']}"
    return f"{risk}  {approval['summary']}?  (denied at {_time(approval['expires_at'])})"


def state(approval: dict[str, Any]) -> str:
    """The status, of what was sent with how it ended."""
    release = approval["release"]
    return f"released: {release['status']}" if release else str(approval["status"])


def _reasons(approval: dict[str, Any]) -> list[str]:
    return [
        f"  {_PAST[decision['decision']]} by {decision['person']} at "
        f"{_time(decision['at'])}: {decision['reason']}"
        for decision in approval["decisions"]
        if decision["reason"]
    ]
