"""Strict YAML and JSON: decimals kept, duplicates refused, `no` stays a text, lines remembered."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from approvals.domain.strictjson import Json, Number, parse
from approvals.errors import ConfigurationInvalid, InvalidJson

if TYPE_CHECKING:
    from pathlib import Path

MAX_FILE = 4 * 1024 * 1024
MAX_DEPTH = 64

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
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
    """Read a YAML or (by its name) JSON file. Raises ConfigurationInvalid."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationInvalid(str(path), [f"cannot be read ({error.strerror})"]) from None
    if len(raw) > MAX_FILE:
        raise ConfigurationInvalid(str(path), ["is larger than 4 MiB"])
    if path.suffix == ".json":
        try:
            return Document(source=str(path), value=parse(raw))
        except InvalidJson as error:
            said = str(error).replace("The body", "The file")
            raise ConfigurationInvalid(str(path), [said]) from None
    return _read_yaml(raw, str(path))


def _read_yaml(raw: bytes, source: str) -> Document:
    try:
        text = raw.decode("utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise ConfigurationInvalid(source, ["is not UTF-8"]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigurationInvalid(source, [f"line {line}: {error.problem}"]) from None
    except (yaml.YAMLError, RecursionError):
        raise ConfigurationInvalid(source, ["is not YAML"]) from None
    reader = _Reader()
    value = reader.value(node, "", 0) if node is not None else {}
    if reader.problems:
        raise ConfigurationInvalid(source, reader.problems)
    return Document(source=source, value=value, lines=reader.lines)


class _Reader:
    """Turns nodes into values, noting lines and problems."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self.problems: list[str] = []
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, pointer: str, depth: int) -> Json:
        self.lines.setdefault(pointer, node.start_mark.line + 1)
        if id(node) in self._seen:
            return self._wrong(node, "an alias (*name) is not accepted; write the value out")
        self._seen.add(id(node))
        if depth > MAX_DEPTH:
            return self._wrong(node, "is nested too deeply")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, pointer, depth)
        if isinstance(node, yaml.SequenceNode):
            return [
                self.value(item, f"{pointer}/{index}", depth + 1)
                for index, item in enumerate(node.value)
            ]
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101 (there are three kinds)
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, pointer: str, depth: int) -> Json:
        found: dict[str, Json] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._wrong(key, "a key must be a text")
                continue
            name = key.value
            if name in found:
                self._wrong(key, f"the key `{name}` appears twice")
            below = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            self.lines[below] = key.start_mark.line + 1
            found[name] = self.value(value, below, depth + 1)
        return found

    def _scalar(self, node: yaml.ScalarNode) -> Json:
        text = node.value
        if node.style is not None:
            return str(text)
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text) and len(text) <= 1000:  # noqa: PLR2004 (as strictjson)
            return int(text)
        if _DECIMAL.fullmatch(text):
            return self._decimal(node, text)
        return str(text)

    def _decimal(self, node: yaml.ScalarNode, text: str) -> Json:
        try:
            value = parse(text.encode())
        except InvalidJson as error:
            return self._wrong(node, str(error))
        assert isinstance(value, int | Number)  # noqa: S101 (the pattern says so)
        return value

    def _wrong(self, node: yaml.Node, what: str) -> Json:
        self.problems.append(f"line {node.start_mark.line + 1}: {what}")
        return None
