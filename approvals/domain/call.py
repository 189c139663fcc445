"""A call: what an agent wants a tool to do, read strictly and written canonically."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from approvals.domain.classify import Classified, classify
from approvals.domain.strictjson import Json, canonical, parse
from approvals.errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ARGUMENTS = 1024 * 1024
"""Bytes of canonical arguments that one call may carry."""


MAX_NAME = 200
"""Longer names, which no tool has, are classified without being remembered."""
MAX_DESCRIPTION = 4000
"""Characters of a tool's description that are kept; its hash covers all of it."""


class Executor(StrEnum):
    """Who sends an approved call."""

    GATEWAY = "gateway"
    CALLER = "caller"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolDefinition:
    """One entry of a server's `tools/list`, as far as a person, a digest or a rule needs it."""

    name: str
    description: str
    hash: str
    classified: Classified


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One `tools/call`: server, tool, exact arguments, agent, session."""

    executor: Executor
    server: str
    tool: str
    arguments: str
    agent: str
    owner: str
    session: str | None = None
    definition: ToolDefinition | None = None
    justification: str | None = None
    argument_order: tuple[str, ...] = ()

    @property
    def classified(self) -> Classified:
        """How bad it can be by what is known of the tool: its definition, or its bare name."""
        if self.definition:
            return self.definition.classified
        return _by_name(self.tool) if len(self.tool) <= MAX_NAME else classify(self.tool)

    @property
    def shown_arguments(self) -> dict[str, Json]:
        """The arguments in the order the agent wrote them; the canonical text is sorted."""
        arguments = parse(self.arguments.encode("utf-8"))
        assert isinstance(arguments, dict)  # noqa: S101 (canonical_arguments made it)
        order = [name for name in self.argument_order if name in arguments]
        return {name: arguments[name] for name in dict.fromkeys([*order, *arguments])}


def canonical_arguments(arguments: Json) -> str:
    """The one text that is shown, digested, stored and sent.

    Raises InvalidArguments when they are not an object or larger than 1 MiB.
    """
    if not isinstance(arguments, dict):
        raise InvalidArguments("The arguments of a call are a JSON object.")
    text = canonical(arguments)
    if len(text.encode("utf-8")) > MAX_ARGUMENTS:
        raise InvalidArguments("The arguments are larger than 1 MiB.")
    return text


def shown_entry(entry: Mapping[str, Json]) -> str:
    """The entry as far as it is hashed, in canonical JSON: without `_meta`, the server's talk."""
    return canonical({key: value for key, value in entry.items() if key != "_meta"})


def definition_hash(shown: str, *, address: str | None = None) -> str:
    """The hash of an entry. With the server's `address` it covers that too: what was approved for
    one place is not approved for another."""
    hashed = shown if address is None else canonical([address, shown])
    return "sha256:" + hashlib.sha256(hashed.encode("utf-8")).hexdigest()


def read_definition(entry: Mapping[str, Json], *, address: str | None = None) -> ToolDefinition:
    """Take a `tools/list` entry of the server at `address`."""
    name = entry.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidArguments("A tool definition needs a name.")
    description = entry.get("description")
    return ToolDefinition(
        name=name,
        description=description[:MAX_DESCRIPTION] if isinstance(description, str) else "",
        hash=definition_hash(shown_entry(entry), address=address),
        classified=classify(
            name,
            description=description if isinstance(description, str) else "",
            input_schema=entry.get("inputSchema"),
            annotations=entry.get("annotations"),
        ),
    )


@lru_cache(maxsize=4096)
def _by_name(tool: str) -> Classified:
    return classify(tool)
