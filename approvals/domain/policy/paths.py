"""Where a rule looks: `args.items[*].price`, `agent.labels.desk`, `time.hour` (POLICY.md)."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from approvals.domain.strictjson import Json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from approvals.domain.call import Call
    from approvals.domain.risk import Risk

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Root(StrEnum):
    """What a path starts from."""

    ARGS = "args"
    AGENT_NAME = "agent.name"
    AGENT_LABEL = "agent.labels"
    SERVER = "server"
    TOOL = "tool"
    RISK_LEVEL = "risk.level"
    RISK_CATEGORY = "risk.category"
    WEEKDAY = "time.weekday"
    HOUR = "time.hour"


class Each(StrEnum):
    """The step `[*]`: every item of a list."""

    ITEM = "[*]"


Step = str | int | Each


@dataclass(frozen=True, kw_only=True, slots=True)
class Path:
    """A path as it is written, and read into steps. A label's name is its only step."""

    text: str
    root: Root
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Absent:
    """Why there is no value at the end of a path; never repeats a value.

    `missing`: it simply is not there, which only `exists` can answer. Otherwise it cannot even be
    looked for: the path leads through something that has no such members.
    """

    why: str
    missing: bool


Found = Json | Absent

_NAME = r"[^.\[\]\s]+"
_ARGS = re.compile(rf"args(?:\.{_NAME}|\[(?:\*|0|[1-9][0-9]{{0,5}})\])+")
_STEP = re.compile(rf"\.(?P<name>{_NAME})|\[(?P<index>[0-9]+)\]|(?P<each>\[\*\])")
_LABEL = re.compile(rf"agent\.labels\.(?P<name>{_NAME})")


def read_path(text: str) -> Path | None:
    """The path that `text` spells, or None."""
    if text in _FIXED:
        return Path(text=text, root=Root(text))
    if label := _LABEL.fullmatch(text):
        return Path(text=text, root=Root.AGENT_LABEL, steps=(label["name"],))
    if text.startswith("args.") and _ARGS.fullmatch(text):
        steps = tuple(_step(match) for match in _STEP.finditer(text, len("args")))
        return Path(text=text, root=Root.ARGS, steps=steps)
    return None


_FIXED = frozenset(Root) - {Root.ARGS, Root.AGENT_LABEL}


def _step(match: re.Match[str]) -> Step:
    if match["each"]:
        return Each.ITEM
    return int(match["index"]) if match["index"] else match["name"]


class Facts:
    """Everything a condition may look at; the arguments are read when one does."""

    __slots__ = ("_arguments", "_folded", "_found", "call", "labels", "now", "risk")

    def __init__(self, call: Call, *, risk: Risk, labels: Mapping[str, str], now: datetime) -> None:
        """`now` is in the time zone of the configuration."""
        self.call = call
        self.risk = risk
        self.labels = labels
        self.now = now
        self._arguments: dict[str, Json] | None = None
        self._folded: dict[int, Counter[str]] = {}
        self._found: dict[str, list[Found]] = {}

    @property
    def arguments(self) -> dict[str, Json]:
        if self._arguments is None:
            self._arguments = self.call.shown_arguments
        return self._arguments

    def at(self, path: Path) -> list[Found]:
        """What is at the end of `path`, looked up once however many rules ask."""
        found = self._found.get(path.text)
        if found is None:
            found = self._found[path.text] = values(path, self)
        return found

    def twins(self, found: dict[str, Json], name: str) -> bool:
        """Whether another name in the object is the same but for case: a tool may take that one."""
        folded = self._folded.get(id(found))
        if folded is None:
            folded = self._folded[id(found)] = Counter(key.casefold() for key in found)
        return folded[name.casefold()] > (name in found)


def values(path: Path, facts: Facts) -> list[Found]:
    """What is at the end of `path`: one entry, or one for each item of a list at `[*]`."""
    if path.root is Root.ARGS:
        return list(_walk(facts.arguments, path.steps, 0, facts))
    return [_fixed(path, facts)]


def _walk(value: Json, steps: tuple[Step, ...], at: int, facts: Facts) -> Iterator[Found]:
    while at < len(steps):
        step = steps[at]
        at += 1
        if isinstance(step, Each):
            yield from _items(value, steps, at, facts)
            return
        found = _member(value, step, facts) if isinstance(step, str) else _item(value, step)
        if isinstance(found, Absent):
            yield found
            return
        value = found
    yield value


def _items(value: Json, steps: tuple[Step, ...], at: int, facts: Facts) -> Iterator[Found]:
    if not isinstance(value, list):
        yield Absent(why="is not a list", missing=False)
    elif not value:
        yield Absent(why="is an empty list", missing=True)
    else:
        for item in value:
            yield from _walk(item, steps, at, facts)


def _member(value: Json, name: str, facts: Facts) -> Found:
    if not isinstance(value, dict):
        return Absent(why="leads through a value that is no object", missing=False)
    if facts.twins(value, name):
        return Absent(why="stands beside a name that differs only in case", missing=False)
    if name not in value:
        return Absent(why="is missing", missing=True)
    return value[name]


def _item(value: Json, index: int) -> Found:
    if not isinstance(value, list):
        return Absent(why="leads through a value that is no list", missing=False)
    return value[index] if index < len(value) else Absent(why="is missing", missing=True)


def _fixed(path: Path, facts: Facts) -> Found:
    match path.root:
        case Root.AGENT_NAME:
            return facts.call.agent
        case Root.AGENT_LABEL:
            label = facts.labels.get(str(path.steps[0]))
            return Absent(why="is missing", missing=True) if label is None else label
        case Root.SERVER:
            return facts.call.server
        case Root.TOOL:
            return facts.call.tool
        case Root.RISK_LEVEL:
            return str(facts.risk.level)
        case Root.RISK_CATEGORY:
            return str(facts.risk.category)
        case Root.WEEKDAY:
            return WEEKDAYS[facts.now.weekday()]
    return facts.now.hour
