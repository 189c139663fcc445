"""The texts of the files: approvals.yaml, and a policy with one line for each tool."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain.display import is_hidden
from approvals.domain.redact import is_secret
from approvals.domain.risk import Category

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from approvals.cli.init.entries import Entry
    from approvals.cli.init.listing import Listed
    from approvals.domain.strictjson import Json

AGENT = "agent"
CONFIG = "approvals.yaml"
SECRETS = ".approvals-secrets"
PRIVATE, PUBLIC = 0o600, 0o644
_USER = re.compile(r"://[^/\s@]+@")
_LIKE_A_KEY = re.compile(r"(?=[^\s/]*[0-9])(?=[^\s/]*[A-Za-z])[A-Za-z0-9_+=.-]{20,}")
MAX_KEY = 1000
"""A key of YAML ends within 1024 characters."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_WORDS = frozenset({"true", "false", "null"})
_FORM = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


@dataclass(frozen=True, slots=True)
class Plan:
    """Files by name, each with its text and its mode."""

    files: Mapping[str, tuple[str, int]]


def planned(servers: Mapping[str, Listed], *, source: str) -> Plan:
    """What `init` writes. Secrets go into files of their own, which only this user reads."""
    files: dict[str, tuple[str, int]] = {}
    config = [f"# From {json.dumps(source)}, by approvals init.", "servers:"]
    for name, server in servers.items():
        entry, secrets = _without_secrets(name, server.entry)
        files |= {path: (text, PRIVATE) for path, text in secrets.items()}
        config += [f"  {_key(name)}:", *_members(entry)]
        if server.tools is not None:
            config.append(f"    policy: {name}.yaml")
            files[f"{name}.yaml"] = (_policy(name, server.tools), PUBLIC)
        else:
            config.append("    # no policy: what only reads runs, a person is asked about the rest")
    if any(name.startswith(SECRETS) for name in files):
        files[f"{SECRETS}/.gitignore"] = ("*\n", PRIVATE)
    names = ", ".join(map(_key, servers))
    config += ["agents:", f"  {AGENT}: {{servers: [{names}]}}", "approval: {timeout: 15m}"]
    return Plan({CONFIG: ("\n".join(config) + "\n", PUBLIC), **files})


def _policy(server: str, tools: Mapping[str, Category]) -> str:
    lines = [
        f"# {server}: `{{}}` runs; where require_approval_if stands, a person is asked.",
        'version: "1"',
        "default: deny  # a tool that is not listed here does not run",
        "tools:",
    ]
    named = sorted(tool for tool in tools.items() if is_nameable(tool[0]))
    lines[-1] = "tools:" if named else "tools: {}"
    return "\n".join([*lines, *(_tool(*tool) for tool in named)]) + "\n"


def is_nameable(tool: str) -> bool:
    """Whether a policy can name this tool and no other; what it does not name is denied.

    A server that calls a tool `get_*` would otherwise write a rule for all that it adds later.
    """
    return bool(tool) and not {"*", "\0"} & set(tool) and len(_quoted(tool)) <= MAX_KEY


def _tool(name: str, category: Category) -> str:
    says = "{}" if category is Category.READ else "{require_approval_if: [{conditions: []}]}"
    return f"  {_quoted(name)}: {says}  # {category}"


def _members(entry: Entry) -> Iterator[str]:
    for key, value in entry.items():
        yield f"    {key}: {_quoted(value)}"


def _quoted(value: Json) -> str:
    """As JSON, which is YAML but for surrogates and unseen characters; those are escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(f"\\U{ord(c):08x}" if is_hidden(c) else c for c in text)


def _key(name: str) -> str:
    """Without quotes where every reader takes it for a text."""
    return name if _PLAIN.fullmatch(name) and name not in _WORDS else _quoted(name)


def _without_secrets(server: str, entry: Entry) -> tuple[Entry, dict[str, str]]:
    """The entry with `${file:…}` for what opens doors, and the files."""
    files: dict[str, str] = {}
    kept = {key: value for key, value in entry.items() if key != "type"}
    for key in ("env", "headers"):
        block = entry.get(key)
        if isinstance(block, dict):
            kept[key] = {
                name: _hidden(f"{server}.{name}", value, files)
                if key == "headers" or is_secret(name) or _may_open(value)
                else value
                for name, value in block.items()
            }
    return kept, files


def _may_open(value: Json) -> bool:
    """Whether it looks like a key, or is an address with a password: in doubt it is hidden."""
    return isinstance(value, str) and bool(_USER.search(value) or _LIKE_A_KEY.search(value))


def _hidden(name: str, value: Json, files: dict[str, str]) -> Json:
    if not isinstance(value, str) or _FORM.search(value):
        return value  # the environment has it already
    path = f"{SECRETS}/{re.sub(r'[^A-Za-z0-9._-]', '-', name)}"
    files[path] = value
    return f"${{file:{path}}}"
