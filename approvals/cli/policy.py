"""`policy check`, `policy explain`, `policy test`: look at a policy before it is used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
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
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from approvals.config.calls import Expectation, WrittenCall
    from approvals.domain.directory import Agent, Directory
    from approvals.domain.policy.model import Policy
    from approvals.domain.rulebook import Rulebook


def check(file: Path) -> None:
    """Print what the policy means; a policy that does not load prints every problem and fails."""
    policy, _ = load_policy(file)
    used = _in_use(policy, file)
    typer.echo(f"{file}: loads ({policy.hash})")
    for line in described(used.policy, directory=used.directory, agents=used.agents):
        typer.echo(f"  {line}")
    for warning in warnings_of(used.policy):
        typer.echo(f"  warning: {warning}")
    typer.echo(f"  {used.where}")


def explain(file: Path, call_file: Path) -> None:
    """Print which rules looked at a written call, and what came of each."""
    policy, _ = load_policy(file)
    written = read_call(call_file)
    used = _in_use(policy, file)
    agent = used.agent(written)
    typer.echo(used.where)
    for line in explained_by(
        used.policy,
        written.call,
        now=used.moment(written),
        labels=used.labels(written),
        directory=used.directory,
        agent=agent,
    ):
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
    used = _in_use(policy, file)
    typer.echo(used.where)
    wrong = [said for row in rows if (said := _disagreement(used, row))]
    for said in wrong:
        typer.echo(said)
    typer.echo(f"{len(rows) - len(wrong)} of {len(rows)} verdicts are as expected")
    if wrong:
        raise typer.Exit(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Used:
    """A policy as approvals.yaml uses it, where there is one: settings, people, labels, zone."""

    policy: Policy
    where: str
    rulebook: Rulebook | None = None
    agents: Sequence[Agent] = ()

    @property
    def directory(self) -> Directory | None:
        """The people, where the file names any."""
        named = self.rulebook is not None and self.rulebook.directory.people
        return self.rulebook.directory if self.rulebook and named else None

    def agent(self, written: WrittenCall) -> Agent | None:
        """The agent of a written call, as the file has it."""
        return self.rulebook.directory.agents.get(written.call.agent) if self.rulebook else None

    def labels(self, written: WrittenCall) -> Mapping[str, str]:
        """The labels that the call is written with, else those of the file."""
        agent = self.agent(written)
        return written.labels or (agent.labels if agent else {})

    def moment(self, written: WrittenCall) -> datetime:
        """When it is judged, in the time zone of the file."""
        return (written.at or SystemClock().now()).astimezone(
            self.rulebook.zone if self.rulebook else UTC
        )


def _disagreement(used: _Used, row: Expectation) -> str:
    verdict = judge(
        used.policy,
        row.written.call,
        now=used.moment(row.written),
        labels=used.labels(row.written),
    )
    if verdict.ruling is row.ruling and row.rule in {None, verdict.rule}:
        return ""
    expected = f"{row.ruling}{f' by {row.rule}' if row.rule else ''}"
    return f"{visible(row.name)}: expected {expected}, is {verdict.ruling} by {verdict.rule}"


def _in_use(policy: Policy, file: Path) -> _Used:
    """The policy with what the approvals.yaml beside it, or of this folder, says."""
    beside = file.parent / "approvals.yaml"
    config = beside if beside.is_file() else read_settings().config
    if config is None:
        return _Used(policy=policy, where="(read without approvals.yaml: in UTC, no names)")
    try:
        rulebook = load(config, starting_person=None)
    except ConfigurationInvalid:
        where = f"({config} does not load, so read without it: approvals config check)"
        return _Used(policy=policy, where=where)
    agents = [
        agent
        for agent in rulebook.directory.agents.values()
        if any(
            (found := rulebook.policy_of(agent.name, server)) and found.hash == policy.hash
            for server in agent.servers
        )
    ]
    policies = [*rulebook.overrides.values(), *(s.policy for s in rulebook.servers.values())]
    used = next((found for found in policies if found.hash == policy.hash), None)
    where = f"(read with {config})" if used else f"(read with {config}, which does not name it)"
    return _Used(policy=used or policy, where=where, rulebook=rulebook, agents=agents)
