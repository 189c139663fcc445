"""`config check`: the whole configuration, or everything that is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from approvals.config.channels import lacks
from approvals.config.load import load
from approvals.config.settings import read_settings
from approvals.domain.policy.warnings import warnings_of
from approvals.domain.rulebook import HttpServer
from approvals.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from pathlib import Path

    from approvals.domain.rulebook import Rulebook, Server


def check(file: Path | None) -> None:
    """Print what the file says; fails when it does not load, or cannot be served yet."""
    path = file or read_settings().config
    if path is None:
        raise ConfigurationInvalid("approvals.yaml", ["is not in this folder; give its path"])
    rulebook = load(path, starting_person=None)
    typer.echo(f"{path}: loads ({rulebook.hash})")
    for line in _lines(rulebook):
        typer.echo(f"  {line}")
    lacking = lacks(rulebook, read_settings())
    for sentence in lacking:
        typer.echo(f"  not yet: {sentence}")
    if lacking:
        raise typer.Exit(1)


def _lines(rulebook: Rulebook) -> list[str]:
    directory = rulebook.directory
    lines = [_server(server) for server in rulebook.servers.values()]
    lines += [
        f"agent {agent.name}: {', '.join(sorted(agent.servers)) or 'no server'}"
        f"{f', owned by {agent.owner}' if agent.owner else ''}"
        for agent in directory.agents.values()
    ]
    people = ", ".join(directory.people) or "none; the user who starts the service is the one"
    lines.append(f"people: {people}{' (solo mode)' if directory.solo else ''}")
    lines += [f"group {name}: {', '.join(sorted(g))}" for name, g in directory.groups.items()]
    lines.append(f"channels: {', '.join(rulebook.channels)}")
    lines.append(f"time zone: {rulebook.zone}")
    warnings = [
        f"warning: server {server.name}: {warning}"
        for server in rulebook.servers.values()
        for warning in warnings_of(server.policy)
    ]
    return [*lines, *warnings]


def _server(server: Server) -> str:
    where = server.url if isinstance(server, HttpServer) else "a command"
    return f"server {server.name}: {where}, policy {server.policy.name}"
