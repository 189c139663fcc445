"""The policies that approvals.yaml names or holds, each read once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from approvals.config.files import Document, read_file
from approvals.domain.policy.document import ask_policy, policy_at
from approvals.domain.policy.model import Ruling
from approvals.domain.policy.reading import Place, Problems
from approvals.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.domain.policy.model import Policy
    from approvals.domain.policy.settings import ApprovalSettings
    from approvals.domain.quorum import Requirement
    from approvals.domain.strictjson import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A policy and where it stands: a file's top, or a place in approvals.yaml.

    `label` is the file as approvals.yaml names it, empty for a policy that stands there itself.
    """

    policy: Policy
    top: Place
    problems: Problems
    label: str = ""

    def at(self, pointer: str) -> Place:
        """The place of a rule by its pointer in the policy, to record a problem at."""
        return Place(None, self.top.pointer + pointer, self.problems)

    def approvals(self) -> Iterator[Place]:
        """Every place of the document that may say `approval` settings."""
        yield self.top.child("approval")
        entries = [place for _, place in self.top.child("tools").members()]
        for entry in (self.top.child("all_tools"), *entries):
            yield entry.child("approval")
            for rule in entry.child("require_approval_if").items():
                yield rule.child("approval")

    def asking(self) -> Iterator[tuple[str, Requirement]]:
        """Every rule that asks people: its pointer, and whom it asks for some tool."""
        if self.policy.ask is not None:
            yield "", self.policy.ask
        entries = list(self.policy.tools.values())
        if self.policy.default is Ruling.ALLOW:
            entries.append(self.policy.unlisted)
        for entry in entries:
            for rule in entry.require_approval_if:
                yield rule.pointer, rule.requirement


class Policies:
    """Reads policies and keeps those of files, so that one bound twice is one policy.

    A file's name, as it is written in approvals.yaml, is the name of its policy and so of its
    counters: they outlive a start from another folder.
    """

    def __init__(self, folder: Path, fallback: ApprovalSettings, problems: Problems) -> None:
        self._folder = folder
        self._fallback = fallback
        self._problems = problems
        self._files: dict[Path, tuple[Document, Source]] = {}

    def read(self, place: Place) -> Source | None:
        """The policy at `place`, or the built-in one where nothing is said."""
        if not place.exists:
            policy = ask_policy(self._fallback)
        elif isinstance(place.value, dict):
            policy = policy_at(place, name=f"#{place.pointer}", fallback=self._fallback)
        elif isinstance(place.value, str):
            return self._of_file(place, place.value)
        else:
            place.wrong("must be a policy, or the path of one beside this file")
            return None
        return Source(policy=policy, top=place, problems=self._problems)

    def problems(self) -> list[str]:
        """What is wrong in the files of policies."""
        return [
            problem
            for document, source in self._files.values()
            for problem in placed(source.problems, document)
        ]

    def values(self) -> list[Json]:
        """What stands in the files of policies."""
        return [document.value for document, _ in self._files.values()]

    def _of_file(self, place: Place, name: str) -> Source | None:
        path = self._folder / name
        if path not in self._files:
            try:
                document = read_file(path)
            except ConfigurationInvalid as error:
                for problem in error.problems:
                    place.wrong(f"does not load: {problem}")
                return None
            self._files[path] = (document, self._source(document, Path(name).as_posix()))
        return self._files[path][1]

    def _source(self, document: Document, label: str) -> Source:
        problems = Problems()
        top = Place(document.value, "", problems)
        policy = policy_at(top, name=label, fallback=self._fallback)
        return Source(policy=policy, top=top, problems=problems, label=label)


def placed(problems: Problems, document: Document) -> list[str]:
    """Each problem with the file and, where it has lines, the line."""
    return [f"{document.at(problem.pointer)}: {problem}" for problem in problems.found]
