"""`list`, `show`, `approve`, `deny`, `cancel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from approvals.cli.connection import connect
from approvals.client import ApiError, exact_json
from approvals.domain.display import visible

if TYPE_CHECKING:
    from approvals.client import Client

NOT_SHOWN = "Some values are hidden here, so this call cannot be approved here; it can be denied."
MAX_PLACES = 10
FULL_ID = len("apr_") + 16


def list_(*, status: str | None, as_json: bool, url: str | None, key: str | None) -> None:
    """One line each: id, state, risk, what, who asks."""
    with connect(url, key) as client:
        found = client.approvals(**({"status": status} if status else {}))
    if as_json:
        typer.echo(exact_json(found))
        return
    for approval in found:
        typer.echo(
            f"{approval['id']}  {_state(approval):<26} {approval['risk']['level'].upper():<9}"
            f"{visible(approval['summary'])}  ({visible(approval['agent']['name'])} on"
            f" {visible(approval['server'])})"
        )
    if not found:
        typer.echo("Nothing is waiting." if status == "pending" else "No approvals yet.")


def show(id_: str, *, as_json: bool, url: str | None, key: str | None) -> None:
    """The whole call."""
    with connect(url, key) as client:
        approval = find(client, id_)
    typer.echo(exact_json(approval) if as_json else "\n".join(_lines(approval)))


def approve(id_: str, *, reason: str | None, yes: bool, url: str | None, key: str | None) -> None:
    """Approve what was shown: the digest sent is the one of the arguments printed."""
    with connect(url, key) as client:
        approval = find(client, id_)
        if approval["status"] != "pending":
            raise ApiError(409, "already_decided", _over(approval))
        typer.echo("\n".join(_lines(approval)))
        if approval["hidden"]:
            raise ApiError(403, "assurance_too_low", NOT_SHOWN)
        if not yes and not typer.confirm("Run this call?"):
            typer.echo("Nothing was decided.")
            raise typer.Exit(1)
        after = client.approve(approval["id"], approval["digest"], reason)
    typer.echo(f"{after['id']} {_state(after)}")


def deny(id_: str, *, reason: str | None, url: str | None, key: str | None) -> None:
    """Deny."""
    with connect(url, key) as client:
        after = client.deny(find(client, id_)["id"], reason)
    typer.echo(f"{after['id']} {_state(after)}")


def cancel(id_: str, *, url: str | None, key: str | None) -> None:
    """Withdraw."""
    with connect(url, key) as client:
        after = client.cancel(find(client, id_)["id"])
    typer.echo(f"{after['id']} {_state(after)}")


def find(client: Client, id_: str) -> dict[str, Any]:
    """An approval by its id or the beginning of it."""
    if len(id_) >= FULL_ID:
        return client.approval(id_)
    found = [a for a in client.approvals(limit="200") if a["id"].startswith(id_)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise ApiError(404, "not_found", f"No recent approval begins with {visible(id_)}.")
    raise ApiError(
        404, "not_found", f"{len(found)} approvals begin with {visible(id_)}. Give more of it."
    )


def _arguments(approval: dict[str, Any]) -> list[str]:
    if approval["erased"]:
        return ["    (the arguments are no longer kept)"]
    shown = [
        f"    {visible(name):<12} {visible(exact_json(value))}"
        for name, value in approval["arguments"].items()
    ]
    return [*shown, _completeness(approval["hidden"])]


def _completeness(hidden: list[str]) -> str:
    if not hidden:
        return "    (every argument is shown)"
    places = ", ".join(visible(pointer) for pointer in hidden[:MAX_PLACES])
    more = f" and {len(hidden) - MAX_PLACES} more" if len(hidden) > MAX_PLACES else ""
    return f"    (hidden here: {places}{more}; this call can only be denied)"


def _over(approval: dict[str, Any]) -> str:
    """What became of a call that can no longer be decided."""
    said = [
        f"{_PAST[d['decision']].title()} by {visible(d['person'])} at {_time(d['at'])}. "
        for d in approval["decisions"][-1:]
    ]
    return f"{''.join(said)}It is {_state(approval)} now; nothing was done."


_PAST = {"approve": "approved", "deny": "denied"}


def _time(moment: str) -> str:
    """To the second."""
    return f"{moment[:19].replace('T', ' ')} UTC"


def _when(approval: dict[str, Any]) -> str:
    """The moment that matters next, or the last one that did."""
    if approval["status"] == "pending":
        return f"denied at {_time(approval['expires_at'])} if nobody answers"
    if approval["status"] == "approved":
        return f"approved, to be used by {_time(approval['use_by'])}"
    release = approval["release"]
    at = release["at"] if release else approval["decided_at"]
    return f"{_state(approval)}, {_time(at)}" if at else _state(approval)


def _state(approval: dict[str, Any]) -> str:
    release = approval["release"]
    return f"released: {release['status']}" if release else str(approval["status"])


def _lines(approval: dict[str, Any]) -> list[str]:
    agent, risk = approval["agent"], approval["risk"]
    needs = " and ".join(
        f"{stage['required']} of {' or '.join(stage['approvers'])}"
        for stage in approval["requirement"]["stages"]
    )
    return [
        f"{visible(approval['summary'])}?",
        f"  {risk['level'].upper()} · {risk['category']}: {visible(risk['why'])}",
        f"  Agent    {visible(agent['name'])} (owner {visible(agent['owner'])})",
        f"  Tool     {visible(approval['tool'])} on {visible(approval['server'])}",
        f"  Needs    {visible(needs)}",
        *_arguments(approval),
        *(
            f"  {_PAST[decision['decision']]} by {visible(decision['person'])}"
            + (f": {visible(decision['reason'])}" if decision["reason"] else "")
            for decision in approval["decisions"]
        ),
        f"  {_when(approval)} · {approval['id']}",
    ]
