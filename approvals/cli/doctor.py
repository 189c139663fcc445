"""`doctor`: what would go wrong tonight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from approvals.cli.say import say
from approvals.config.channels import lacks
from approvals.config.eligibility import eligible_people
from approvals.config.load import load, names_people
from approvals.config.settings import read_settings
from approvals.domain.rulebook import LOG
from approvals.errors import ConfigurationInvalid
from approvals.storage import diagnosis, postgres_diagnosis
from approvals.storage.clock import SystemClock
from approvals.storage.diagnosis import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.config.settings import Settings
    from approvals.domain.directory import Agent
    from approvals.domain.quorum import Requirement
    from approvals.domain.rulebook import Rulebook


def doctor() -> None:
    """Print one line for each thing looked at; fails when something does not work."""
    settings = read_settings()
    findings = [*_configuration(settings), *_database(settings)]
    for finding in findings:
        say(f"{finding.severity:<5} {finding.what}")
    if any(finding.severity is Severity.FAIL for finding in findings):
        raise typer.Exit(1)


def _database(settings: Settings) -> Iterator[Finding]:
    clock = SystemClock()
    if settings.on_sqlite:
        yield from diagnosis.diagnosed(settings.database_path, clock.now())
    else:
        yield from postgres_diagnosis.diagnosed(settings.database_url, clock)


def _configuration(settings: Settings) -> Iterator[Finding]:
    if settings.config is None:
        yield Finding(Severity.OK, "configuration: none, so the built-in policy would ask you")
        return
    try:
        rulebook = load(settings.config, starting_person=None)
    except ConfigurationInvalid as error:
        yield Finding(Severity.FAIL, f"configuration: {error}")
        return
    yield Finding(Severity.OK, f"configuration: {settings.config} loads")
    for sentence in lacks(rulebook, settings):
        yield Finding(Severity.FAIL, f"configuration: {sentence}")
    yield from _people(settings, rulebook)
    yield from _channels(rulebook)


def _people(settings: Settings, rulebook: Rulebook) -> Iterator[Finding]:
    if not names_people(settings.config):
        yield Finding(Severity.WARN, "people: none named; the starting user decides alone")
        return
    if rulebook.directory.solo:
        yield Finding(Severity.WARN, "people: one person; its owner decides on an agent's calls")
    tight = dict.fromkeys(_tight(rulebook))
    for sentence in tight:
        yield Finding(Severity.WARN, f"people: {sentence}")
    if not tight:
        yield Finding(Severity.OK, "people: every rule has more people than it needs")


def _tight(rulebook: Rulebook) -> Iterator[str]:
    """Rules that nobody could answer for as soon as one person is away."""
    for agent in rulebook.directory.agents.values():
        for server in sorted(agent.servers):
            policy = rulebook.policy_of(agent.name, server)
            for requirement in policy.requirements if policy else ():
                yield from _tight_stages(requirement, rulebook, agent, server)


def _tight_stages(
    requirement: Requirement, rulebook: Rulebook, agent: Agent, server: str
) -> Iterator[str]:
    eligible = eligible_people(requirement, rulebook.directory, agent)
    for stage, people in zip(requirement.stages, eligible.stages, strict=True):
        named = ", ".join(sorted(people)) or "nobody"
        if len(people) <= stage.required:
            yield (
                f"a rule for {agent.name} on {server} needs {stage.required} of {named}: "
                "nobody may be away"
            )
        if len(people) < stage.deny_threshold:
            yield (
                f"a rule for {agent.name} on {server} is denied by {stage.deny_threshold} of "
                f"{named}, so nobody can deny it"
            )


def _channels(rulebook: Rulebook) -> Iterator[Finding]:
    if rulebook.channels == (LOG,):
        yield Finding(Severity.WARN, "channels: people are told in the service's log only")
    else:
        yield Finding(Severity.OK, f"channels: {', '.join(rulebook.channels)}")
