"""Strict YAML and JSON: decimals kept, duplicates refused, `no` stays a text, lines remembered."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import yaml

from approvals.domain.pointers import below
from approvals.domain.strictjson import Json, Number, parse
from approvals.errors import ConfigurationInvalid, InvalidJson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_FILE = 4 * 1024 * 1024
MAX_DEPTH = 64

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_ALIAS = "an alias (*name) is not accepted; write the value out, or a text in quotes"
_TAG = "a tag (!name) is not accepted; put a text that begins with ! in quotes"
_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A file's value, and the line of each JSON pointer where the file has lines (YAML)."""

    source: str
    value: Json
    lines: dict[str, int] = field(default_factory=dict)

    def at(self, pointer: str) -> str:
        """`file, line 7`, for a problem at `pointer` or at what encloses it."""
        while pointer and pointer not in self.lines:
            pointer = pointer.rpartition("/")[0]
        line = self.lines.get(pointer)
        return f"{self.source}, line {line}" if line else self.source


def read_file(path: Path) -> Document:
    """Read a YAML or (by its name) JSON file.

    Raises ConfigurationInvalid; each problem begins with the file and, where it has one, the line.
    """
    raw = _read(path)
    if path.suffix == ".json":
        try:
            return Document(source=str(path), value=parse(raw))
        except InvalidJson as error:
            raise _invalid(path, [str(error).replace("The body", "the file")]) from None
    return _read_yaml(raw, path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE + 1)
    except OSError as error:
        raise _invalid(path, [f"cannot be read ({error.strerror})"]) from None
    except ValueError:
        raise _invalid(path, ["is no path"]) from None
    if len(raw) > MAX_FILE:
        raise _invalid(path, ["is larger than 4 MiB"])
    return raw


def _read_yaml(raw: bytes, path: Path) -> Document:
    problems: list[_Problem] = []
    try:
        node = _compose(raw.decode("utf-8"), problems)
    except UnicodeDecodeError:
        raise _invalid(path, ["is not UTF-8"]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _invalid(path, [*problems, _Problem(line, _explained(error))]) from None
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError):
        raise _invalid(path, ["is not YAML"]) from None
    reader = _Reader(problems)
    value = reader.value(node, "", 0) if node is not None else {}
    if problems:
        raise _invalid(path, problems)
    return Document(source=str(path), value=value, lines=reader.lines)


class _Problem(NamedTuple):
    line: int
    what: str


def _invalid(path: Path, problems: Sequence[_Problem | str]) -> ConfigurationInvalid:
    found = [
        f"{path}: {problem}"
        if isinstance(problem, str)
        else f"{path}, line {problem.line}: {problem.what}"
        for problem in problems
    ]
    return ConfigurationInvalid(str(path), found)


def _explained(error: yaml.MarkedYAMLError) -> str:
    """What YAML itself says, except where that makes no sentence."""
    said = str(error.problem)
    if "another document" in said:
        return "a second document begins (---); a file holds one"
    return f"is not YAML: {said}"


def _compose(text: str, problems: list[_Problem]) -> yaml.Node | None:
    loader = _Loader(text)
    loader.noted = problems
    try:
        node: yaml.Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    return node


class _Loader(yaml.SafeLoader):
    """Notes tags and aliases, by which a value is something else than what is written there."""

    noted: list[_Problem]

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it out
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            self.noted.append(_Problem(line, _ALIAS))
            self.get_event()  # type: ignore[no-untyped-call]  # as above
            mark = event.start_mark
            return yaml.ScalarNode("", "", mark, mark, style="'")  # type: ignore[arg-type]  # an event's mark
        if getattr(event, "tag", None) is not None:
            self.noted.append(_Problem(line, _TAG))
        return super().compose_node(parent, index)  # type: ignore[arg-type]  # passed on


class _Reader:
    """Turns nodes into values, noting lines and problems."""

    def __init__(self, problems: list[_Problem]) -> None:
        self.lines: dict[str, int] = {}
        self.problems = problems

    def value(self, node: yaml.Node, pointer: str, depth: int) -> Json:
        self.lines.setdefault(pointer, node.start_mark.line + 1)
        if depth > MAX_DEPTH:
            return self._wrong(node, "is nested too deeply")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, pointer, depth)
        if isinstance(node, yaml.SequenceNode):
            return [
                self.value(item, below(pointer, index), depth + 1)
                for index, item in enumerate(node.value)
            ]
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101 (there are three kinds)
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, pointer: str, depth: int) -> Json:
        found: dict[str, Json] = {}
        for key, value in node.value:
            name = self._key(key)
            if name is None:
                continue
            if name in found:
                self._wrong(key, f"the key `{name}` appears twice")
            place = below(pointer, name)
            self.lines[place] = key.start_mark.line + 1
            found[name] = self.value(value, place, depth + 1)
        return found

    def _key(self, node: yaml.Node) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._wrong(node, "a key must be a text")
            return None
        if node.style is None and node.value == "<<":
            self._wrong(node, "a merge key (<<) is not accepted; write the members out")
            return None
        name = self._scalar(node)
        if not isinstance(name, str):
            self._wrong(node, "a key must be a text; put it in quotes")
            return None
        if "\0" in name:
            self._wrong(node, "a key has a NUL character; remove it")
        return name

    def _scalar(self, node: yaml.ScalarNode) -> Json:
        text = node.value
        if node.style is not None:
            return self._text(node)
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text) and len(text) <= 1000:  # noqa: PLR2004 (as strictjson)
            return int(text)
        if _DECIMAL.fullmatch(text):
            return self._decimal(node, text)
        return self._text(node)

    def _text(self, node: yaml.ScalarNode) -> str:
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            self._wrong(node, "a text has half of a surrogate pair; write the character itself")
        return str(node.value)

    def _decimal(self, node: yaml.ScalarNode, text: str) -> Json:
        try:
            value = parse(text.encode())
        except InvalidJson as error:
            return self._wrong(node, str(error))
        assert isinstance(value, int | Number)  # noqa: S101 (the pattern says so)
        return value

    def _wrong(self, node: yaml.Node, what: str) -> Json:
        self.problems.append(_Problem(node.start_mark.line + 1, what))
        return None
