"""approvals.yaml and the policies it names: a Rulebook, or every problem at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from approvals.config.files import Document, read_file
from approvals.domain.directory import EVERYONE, Agent, Directory, Person, Role
from approvals.domain.policy.document import policy_at
from approvals.domain.policy.model import ApprovalSettings
from approvals.domain.policy.reading import Place, Problems, read_approval
from approvals.domain.rulebook import Rulebook, Server
from approvals.errors import ConfigurationInvalid, InvalidInput
from approvals.outbound import check_url

if TYPE_CHECKING:
    from pathlib import Path

    from approvals.domain.policy.model import Policy
    from approvals.domain.quorum import Stage

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
_SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_TOP = ("servers", "agents", "people", "groups", "approval")


def load(path: Path | None, *, starting_person: str | None) -> Rulebook:
    """Read the file and everything it names.

    While it names no people, `starting_person` is the one person, approver and admin. Raises
    ConfigurationInvalid with every problem of every file; nothing half-read is ever used.
    """
    if path is None:
        people = _starting(starting_person)
        return Rulebook(directory=Directory(people=people))
    return _Loading(read_file(path), path, starting_person).rulebook()


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
    policy = policy_at(Place(document.value, "", problems), fallback=ApprovalSettings())
    if problems.found:
        raise ConfigurationInvalid(str(path), _placed(problems, document))
    return policy, document


def _placed(problems: Problems, document: Document) -> list[str]:
    return [f"{document.at(problem.pointer)}: {problem}" for problem in problems.found]


def _starting(person: str | None) -> dict[str, Person]:
    if person is None:
        return {}
    return {person: Person(name=person, roles=frozenset({Role.APPROVER, Role.ADMIN}))}


@dataclass(slots=True)
class _Loading:
    document: Document
    path: Path
    starting_person: str | None
    problems: Problems = field(default_factory=Problems)
    others: list[str] = field(default_factory=list)

    def rulebook(self) -> Rulebook:
        top = Place(self.document.value, "", self.problems)
        top.only(_TOP)
        people = self._people(top.child("people"))
        groups = self._groups(top.child("groups"), people)
        fallback = read_approval(top.child("approval"))
        servers = self._servers(top.child("servers"), fallback)
        agents = self._agents(top.child("agents"), people, servers)
        rulebook = Rulebook(
            directory=Directory(people=people, groups=groups, agents=agents), servers=servers
        )
        for name, place in top.child("servers").members():
            self._check_approvers(rulebook, name, place.child("policy"))
        found = _placed(self.problems, self.document) + self.others
        if found:
            raise ConfigurationInvalid(str(self.path), found)
        return rulebook

    def _people(self, places: Place) -> dict[str, Person]:
        people = {}
        for name, place in places.members():
            _check_name(name, place, _NAME)
            if place.value is None:
                people[name] = Person(name=name)
                continue
            place.only(("roles",))
            roles = place.child("roles")
            named = {Role(r) for item in roles.items() if (r := item.one_of(tuple(Role)))}
            people[name] = Person(
                name=name, roles=frozenset(named) if roles.exists else frozenset({Role.APPROVER})
            )
        return people or _starting(self.starting_person)

    def _groups(self, places: Place, people: dict[str, Person]) -> dict[str, frozenset[str]]:
        groups = {}
        for name, place in places.members():
            _check_name(name, place, _NAME)
            for member in place.items():
                if member.text() not in people:
                    member.wrong("is not one of `people`")
            groups[name] = frozenset(place.texts())
        return groups

    def _servers(self, places: Place, fallback: ApprovalSettings) -> dict[str, Server]:
        servers = {}
        for name, place in places.members():
            _check_name(name, place, _SERVER_NAME)
            place.only(("url", "policy"))
            url = self._url(place.child("url"))
            policy = self._policy(place.child("policy"), fallback)
            if url is not None and policy is not None:
                servers[name] = Server(name=name, url=url, policy=policy)
        return servers

    def _url(self, place: Place) -> str | None:
        text = place.text()
        if text is None:
            place.wrong("is missing: the URL of the server's streamable HTTP endpoint")
            return None
        try:
            return check_url(text)
        except InvalidInput as error:
            place.wrong(str(error))
            return None

    def _policy(self, place: Place, fallback: ApprovalSettings) -> Policy | None:
        if isinstance(place.value, dict):
            return policy_at(place, fallback=fallback)
        name = place.text()
        if name is None:
            place.wrong("is missing: a policy, or the path of one beside this file")
            return None
        try:
            document = read_file(self.path.parent / name)
        except ConfigurationInvalid as error:
            self.others += [f"{error.source}: {problem}" for problem in error.problems]
            return None
        problems = Problems()
        policy = policy_at(Place(document.value, "", problems), fallback=fallback)
        self.others += _placed(problems, document)
        return policy

    def _agents(
        self, places: Place, people: dict[str, Person], servers: dict[str, Server]
    ) -> dict[str, Agent]:
        agents = {}
        for name, place in places.members():
            _check_name(name, place, _NAME)
            place.only(("servers", "owner"))
            for server in place.child("servers").items():
                if server.text() not in servers:
                    server.wrong("is not one of `servers` (or that one does not load)")
            agents[name] = Agent(
                name=name,
                owner=self._owner(place.child("owner"), people),
                servers=frozenset(place.child("servers").texts()),
            )
        return agents

    def _owner(self, place: Place, people: dict[str, Person]) -> str:
        owner = place.text()
        if owner is None and list(people) == [self.starting_person]:
            return self.starting_person or ""
        if owner is None and people:
            place.wrong("is missing: the person answerable for this agent")
        elif owner is not None and owner not in people:
            place.wrong("is not one of `people`")
        return owner or ""

    def _check_approvers(self, rulebook: Rulebook, name: str, place: Place) -> None:
        """Every name in a policy exists, and enough people are there to answer."""
        if name not in rulebook.servers or not rulebook.directory.people:
            return
        policy = rulebook.servers[name].policy
        bound = [a for a in rulebook.directory.agents.values() if name in a.servers]
        for tool in policy.tools.values():
            for rule in tool.require_approval_if:
                requirement = policy.settings(tool, rule).requirement()
                for stage in requirement.stages:
                    for problem in _stage_problems(stage, rulebook.directory, bound):
                        place.wrong(f"{rule.pointer} {problem}")


def _stage_problems(stage: Stage, directory: Directory, bound: list[Agent]) -> list[str]:
    unknown = [
        f"names {approver}, who is not in this file"
        for approver in sorted(stage.approvers)
        if not _exists(approver, directory)
    ]
    if unknown:
        return unknown
    eligible = directory.eligible(stage.approvers)
    problems = []
    if len(eligible) < stage.required:
        problems.append(f"asks for {stage.required}, and {len(eligible)} may answer")
    for agent in bound:
        left = eligible if directory.solo else eligible - {agent.owner}
        if len(left) < stage.required and not problems:
            problems.append(
                f"asks for {stage.required}, and {len(left)} may answer for {agent.name}, "
                f"whose owner {agent.owner} does not count"
            )
    return problems


def _exists(approver: str, directory: Directory) -> bool:
    kind, _, name = approver.partition(":")
    known = {"person": directory.people, "group": directory.groups}
    return approver == EVERYONE or name in known.get(kind, {})


def _check_name(name: str, place: Place, allowed: re.Pattern[str]) -> None:
    if not allowed.fullmatch(name):
        place.wrong("is not a name: use letters, digits, - and _, at most 63")
