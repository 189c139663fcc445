"""`keys create`, `keys list`, `keys revoke`."""

from __future__ import annotations

import asyncio
import json

import typer

from approvals.cli.clients import KEY, McpClient, snippet
from approvals.cli.connection import connect
from approvals.cli.say import say, say_lines
from approvals.errors import NotFound


def create(
    *, agent: str | None, person: str | None, label: str, url: str | None, key: str | None
) -> None:
    """Make a key over REST and print it, once."""
    if (agent is None) == (person is None):
        raise typer.BadParameter("give --agent or --person")
    with connect(url, key) as client:
        made = client.create_key(agent=agent, person=person, label=label)
    say(made["key"])  # alone on standard output, so that a script can take it
    for server in made["servers"]:
        at = f"{client.url}/mcp/{server}"
        say(f"# with the key in {KEY}:", err=True)
        say(snippet(McpClient.CLAUDE_CODE, server, at), err=True)


def first_admin(*, person: str | None, label: str) -> None:
    """The first admin's key, made in the database while no server is running."""
    say(asyncio.run(_first_admin(person, label or "first admin")))


def list_(*, as_json: bool, url: str | None, key: str | None) -> None:
    """One line each."""
    with connect(url, key) as client:
        found = client.keys()
    if as_json:
        say_lines(json.dumps(found, indent=2))
        return
    for record in found:
        owner = record["agent"] or record["person"]
        state = "revoked" if record["revoked_at"] else "works"
        say(f"{record['id']}  {state:<8} {owner}  {record['label']}")


def revoke(key_id: str, *, url: str | None, key: str | None) -> None:
    """End a key."""
    with connect(url, key) as client:
        client.revoke_key(key_id)
    say(f"{key_id} is revoked.")


async def _first_admin(person: str | None, label: str) -> str:
    from approvals.app import make_starting_person, starting_person
    from approvals.config.load import load, names_people
    from approvals.config.settings import read_settings
    from approvals.domain.directory import Role
    from approvals.service.identity import Identity
    from approvals.service.rules import Rules
    from approvals.storage.opening import opened

    settings = read_settings()
    async with opened(settings.database_url) as database:
        starting = await starting_person(database, settings)
        if starting is None and not names_people(settings.config):
            starting = await make_starting_person(database)
        rulebook = load(settings.config, starting_person=starting)
        admins = [p.name for p in rulebook.directory.people.values() if Role.ADMIN in p.roles]
        chosen = person or (admins[0] if len(admins) == 1 else None)
        if chosen not in admins:
            raise NotFound(f"Give --person with one of the admins: {', '.join(admins) or 'none'}.")
        identity = Identity(database.store, Rules(rulebook, lambda: rulebook), database.clock)
        _, key = await identity.first_key(chosen, label=label)
        return key
