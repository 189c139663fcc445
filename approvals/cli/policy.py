"""`policy check`, `policy explain`, `policy test`: look at a policy before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from approvals.cli.calls import find
from approvals.cli.connection import connect
from approvals.config.calls import read_call, read_expectations
from approvals.config.load import load, load_policy
from approvals.config.settings import read_settings
from approvals.domain.display import visible
from approvals.domain.policy.describe import described
from approvals.domain.policy.evaluate import judge
from approvals.domain.policy.explain import explained_by
from approvals.domain.policy.warnings import warnings_of
from approvals.errors import ConfigurationInvalid
from approvals.storage.clock import SystemClock

if TYPE_CHECKING:
    from pathlib import Path

    from approvals.config.calls import Expectation
    from approvals.domain.directory import Agent, Directory
    from approvals.domain.policy.model import Policy
    from approvals.domain.rulebook import Rulebook


def check(file: Path) -> None:
    """Print what the policy means; a policy that does not load prints every problem and fails."""
    policy, _ = load_policy(file)
    directory: Directory | None = None
    agents: list[Agent] = []
    rulebook = _configured()
    if rulebook is not None and rulebook.directory.people:
        policy, directory, agents = _in_use(policy, rulebook)
    typer.echo(f"{file}: loads ({policy.hash})")
    for line in described(policy, directory=directory, agents=agents):
        typer.echo(f"  {line}")
    for warning in warnings_of(policy):
        typer.echo(f"  warning: {warning}")


def explain(file: Path, call_file: Path) -> None:
    """Print which rules looked at a written call, and what came of each."""
    policy, _ = load_policy(file)
    written = read_call(call_file)
    now = written.at or SystemClock().now()
    for line in explained_by(policy, written.call, now=now, labels=written.labels):
        typer.echo(line)


def explain_approval(id_: str, *, url: str | None, key: str | None) -> None:
    """The same for the call of an approval, as the running service judges it now."""
    with connect(url, key) as client:
        found = client.explain(find(client, id_)["id"])
    typer.echo(f"parked by: {found['parked_by']['rule']} ({found['parked_by']['policy']})")
    for line in found["lines"]:
        typer.echo(line)


def test(file: Path, table: Path | None) -> None:
    """Judge every call of the table beside the policy; fails when a verdict is not as expected."""
    policy, _ = load_policy(file)
    table = table or file.with_suffix(f".tests{'.json' if file.suffix == '.json' else '.yaml'}")
    if not table.is_file():
        raise ConfigurationInvalid(str(table), ["is not there; it lists calls and `expect`"])
    rows = read_expectations(table)
    wrong = [said for row in rows if (said := _disagreement(policy, row))]
    for said in wrong:
        typer.echo(said)
    typer.echo(f"{len(rows) - len(wrong)} of {len(rows)} verdicts are as expected")
    if wrong:
        raise typer.Exit(1)


def _disagreement(policy: Policy, row: Expectation) -> str:
    now = row.written.at or SystemClock().now()
    verdict = judge(policy, row.written.call, now=now, labels=row.written.labels)
    if verdict.ruling is row.ruling and row.rule in {None, verdict.rule}:
        return ""
    expected = f"{row.ruling}{f' by {row.rule}' if row.rule else ''}"
    return f"{visible(row.name)}: expected {expected}, is {verdict.ruling} by {verdict.rule}"


def _configured() -> Rulebook | None:
    """The rulebook of this folder, to name people; None when there is none that loads."""
    settings = read_settings()
    if settings.config is None:
        return None
    try:
        return load(settings.config, starting_person=None)
    except ConfigurationInvalid:
        typer.echo(f"{settings.config} does not load, so nobody is named here: config check")
        return None


def _in_use(policy: Policy, rulebook: Rulebook) -> tuple[Policy, Directory, list[Agent]]:
    """The policy with the settings of approvals.yaml, and the agents that it binds."""
    agents = [
        agent
        for agent in rulebook.directory.agents.values()
        for server in agent.servers
        if (bound := rulebook.policy_of(agent.name, server)) and bound.hash == policy.hash
    ]
    for agent in agents:
        for server in agent.servers:
            bound = rulebook.policy_of(agent.name, server)
            if bound is not None and bound.hash == policy.hash:
                return bound, rulebook.directory, agents
    return policy, rulebook.directory, agents
