"""approvals.yaml and the policies it names: a Rulebook, or every problem at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from approvals.config.agents import own_policies, read_agent
from approvals.config.channels import check_told, read_channels
from approvals.config.eligibility import check_named, shortages
from approvals.config.expand import Expansion
from approvals.config.files import Document, read_file
from approvals.config.names import AGENT_NAME, SERVER_NAME, check_name
from approvals.config.people import read_groups, read_people
from approvals.config.policies import Policies, Source, placed
from approvals.config.servers import read_server
from approvals.config.settings import environment
from approvals.domain.digest import sha256
from approvals.domain.directory import Agent, Directory, Person, Role
from approvals.domain.policy.document import ask_policy, policy_at
from approvals.domain.policy.read_settings import read_approval
from approvals.domain.policy.reading import Place, Problems
from approvals.domain.policy.settings import ApprovalSettings
from approvals.domain.rulebook import LOG, Rulebook, Server, Webhook
from approvals.domain.strictjson import canonical
from approvals.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import tzinfo
    from pathlib import Path

    from approvals.domain.policy.model import Policy

_TOP = ("servers", "agents", "people", "groups", "approval", "channels", "timezone")


def load(
    path: Path | None, *, starting_person: str | None, environ: Mapping[str, str] | None = None
) -> Rulebook:
    """Read the file and everything it names.

    While it names no people, `starting_person` is the one person, approver and admin. `environ`
    is what `${NAME}` names, by default the process's environment. Raises ConfigurationInvalid with
    every problem of every file; nothing half-read is ever used.
    """
    if path is None:
        people = _starting(starting_person)
        return Rulebook(directory=Directory(people=people))
    expansion = Expansion(folder=path.parent, environ=environment() if environ is None else environ)
    return _Loading(read_file(path), path, starting_person, expansion).rulebook()


def names_people(path: Path | None) -> bool:
    """Whether the file says who exists; until it does, the starting person is the only one."""
    if path is None:
        return False
    value = read_file(path).value
    return isinstance(value, dict) and bool(value.get("people"))


def load_policy(path: Path) -> tuple[Policy, Document]:
    """Read one policy file by itself."""
    document = read_file(path)
    problems = Problems()
    top = Place(document.value, "", problems)
    policy = policy_at(top, name=str(path), fallback=ApprovalSettings())
    if problems.found:
        raise ConfigurationInvalid(str(path), placed(problems, document))
    return policy, document


def _starting(person: str | None) -> dict[str, Person]:
    if person is None:
        return {}
    return {person: Person(name=person, roles=frozenset({Role.APPROVER, Role.ADMIN}))}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Binding:
    """A policy, the place that binds it, and the agents it judges there."""

    pointer: str
    source: Source
    agents: Sequence[Agent]


@dataclass(slots=True)
class _Loading:
    document: Document
    path: Path
    starting_person: str | None
    expansion: Expansion
    problems: Problems = field(default_factory=Problems)

    def rulebook(self) -> Rulebook:
        top = Place(self.document.value, "", self.problems)
        top.only(_TOP)
        zone = _zone(top.child("timezone"))
        fallback = _fallback(top.child("approval"))
        policies = Policies(self.path.parent, fallback, self.problems)
        sources = self._sources(top.child("servers"), policies)
        servers = self._servers(top.child("servers"), sources)
        directory = self._directory(top)
        own = self._own_sources(top, policies)
        bindings = _bindings(top, sources, own, directory)
        self._check_people(top.child("approval"), bindings, directory)
        channels, webhooks = self._channels(top, bindings)
        self._raise_problems(policies)
        return Rulebook(
            directory=directory,
            servers=servers,
            ask=ask_policy(fallback),
            overrides={grant: source.policy for grant, source in own.items()},
            channels=channels,
            webhooks=webhooks,
            zone=zone,
            hash=sha256(canonical([self.document.value, *policies.values()])),
        )

    def _sources(self, places: Place, policies: Policies) -> dict[str, Source]:
        found = {name: policies.read(place.child("policy")) for name, place in places.members()}
        return {name: source for name, source in found.items() if source is not None}

    def _servers(self, places: Place, sources: Mapping[str, Source]) -> dict[str, Server]:
        servers = {}
        for name, place in places.members():
            check_name(name, place, SERVER_NAME)
            source = sources.get(name)
            policy = source.policy if source else None
            server = read_server(name, place, policy=policy, expansion=self.expansion)
            if server is not None:
                servers[name] = server
        return servers

    def _directory(self, top: Place) -> Directory:
        people = read_people(top.child("people")) or _starting(self.starting_person)
        groups = read_groups(top.child("groups"), people)
        agents = {}
        for name, place in top.child("agents").members():
            check_name(name, place, AGENT_NAME)
            agents[name] = read_agent(
                name,
                place,
                people=people,
                starting_person=self.starting_person,
                servers=_names(top.child("servers")),
            )
        return Directory(people=people, groups=groups, agents=agents)

    def _own_sources(self, top: Place, policies: Policies) -> dict[tuple[str, str], Source]:
        """The policies that an agent has for itself on a server."""
        found = {}
        for agent, place in top.child("agents").members():
            for server, policy in own_policies(place, _names(top.child("servers"))).items():
                source = policies.read(policy) if policy.exists else None
                if source is not None:
                    found[agent, server] = source
        return found

    def _check_people(
        self, approval: Place, bindings: Sequence[_Binding], directory: Directory
    ) -> None:
        """Every name exists, and enough people are there to answer."""
        if not directory.people:
            return
        check_named(approval, directory)
        for binding in bindings:
            for place in binding.source.approvals():
                check_named(place, directory)
            for pointer, requirement in binding.source.asking():
                asks = "the built-in policy asks" if binding.source.policy.ask else "asks"
                for problem in shortages(requirement, directory, binding.agents):
                    binding.source.at(pointer).wrong(f"{asks} for {problem}")

    def _channels(
        self, top: Place, bindings: Sequence[_Binding]
    ) -> tuple[tuple[str, ...], dict[str, Webhook]]:
        """All channels: the log, those that are declared, and those that are only named."""
        declared, webhooks = read_channels(top.child("channels"), self.expansion)
        told = [*declared, *check_told(top.child("approval"), declared)]
        for binding in bindings:
            for place in binding.source.approvals():
                told += check_told(place, declared)
        return tuple(dict.fromkeys((LOG, *told))), webhooks

    def _raise_problems(self, policies: Policies) -> None:
        found = placed(self.problems, self.document) + policies.problems()
        if found:
            raise ConfigurationInvalid(str(self.path), found)


def _bindings(
    top: Place,
    sources: Mapping[str, Source],
    own: Mapping[tuple[str, str], Source],
    directory: Directory,
) -> list[_Binding]:
    agents = directory.agents
    servers, callers = top.child("servers"), top.child("agents")
    found = [
        _Binding(
            pointer=servers.child(name).child("policy").pointer,
            source=source,
            agents=[a for a in agents.values() if name in a.servers and (a.name, name) not in own],
        )
        for name, source in sources.items()
    ]
    for (agent, server), source in own.items():
        place = callers.child(agent).child("servers").child(server)
        found.append(
            _Binding(pointer=place.child("policy").pointer, source=source, agents=[agents[agent]])
        )
    return found


def _names(places: Place) -> list[str]:
    return [name for name, _ in places.members()]


def _fallback(place: Place) -> ApprovalSettings:
    """What holds where no policy says otherwise."""
    settings = read_approval(place)
    asked = settings.requirement()
    if asked.escalate_after is not None and asked.escalate_after >= asked.timeout:
        place.child("escalate").child("after").wrong(
            "is not before the timeout, so nobody would ever be asked then; make it shorter"
        )
    return settings


def _zone(place: Place) -> tzinfo:
    name = place.text()
    if name is None or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        place.wrong(
            "is no time zone that this machine knows; write a name of the IANA list such as "
            "Europe/Berlin (without any list on the machine, install the package tzdata)"
        )
        return UTC
