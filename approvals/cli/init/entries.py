"""The servers in an MCP client's configuration, whichever client wrote it."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from approvals.cli.init.spellings import in_our_words, is_off, read_json
from approvals.config.names import SERVER_NAME
from approvals.domain.display import visible
from approvals.errors import ConfigurationInvalid

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from approvals.domain.strictjson import Json

BLOCKS = ("mcpServers", "servers", "mcp_servers")
"""Claude Code, Claude Desktop and Cursor; VS Code; Codex."""
OTHER = re.compile(r"[^A-Za-z0-9_-]+")
MAX_NAME = 63
KEPT = ("command", "args", "env", "cwd", "url", "headers", "type")

Entry = dict[str, "Json"]


def entries_of(path: Path) -> dict[str, Entry]:
    """Each server by a name that approvals.yaml can have. Raises ConfigurationInvalid."""
    value = _toml(path) if path.suffix == ".toml" else read_json(path)
    block = (
        next((value[k] for k in BLOCKS if k in value), None) if isinstance(value, dict) else None
    )
    if not isinstance(block, dict):
        raise ConfigurationInvalid(str(path), [f"has none of {', '.join(BLOCKS)}"])
    found: dict[str, Entry] = {}
    for name, given in block.items():
        if isinstance(given, dict) and is_off(given):
            continue
        entry = in_our_words(given) if isinstance(given, dict) else given
        if not isinstance(entry, dict) or not {"command", "url"} & entry.keys():
            problem = f"the server {visible(name)} has neither command nor url"
            raise ConfigurationInvalid(str(path), [problem])
        found[_named(name, {*found, "approvals"})] = _unwrapped(
            {k: entry[k] for k in KEPT if k in entry}
        )
    return found


def _toml(path: Path) -> Json:
    try:
        read: Json = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationInvalid(str(path), [f"cannot be read ({error})"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationInvalid(str(path), [f"is no TOML: {error}"]) from None
    return read


def _named(name: str, taken: Collection[str]) -> str:
    """A name of letters, digits, - and _ that is no other server's and no other file's.

    Case makes no difference, since in some file systems it makes none.
    """
    low = {other.lower() for other in taken}
    made = OTHER.sub("-", name).strip("-_")[:MAX_NAME] or "server"
    made = made if SERVER_NAME.fullmatch(made) else f"s{made}"[:MAX_NAME]
    number = 1
    while (tried := made if number == 1 else f"{made[: MAX_NAME - 4]}-{number}").lower() in low:
        number += 1
    return tried


def _unwrapped(entry: Entry) -> Entry:
    """A server that `approvals wrap` starts, as it is without."""
    args = entry.get("args")
    if not isinstance(args, list) or "wrap" not in args[:1] or "--" not in args:
        return entry
    command, *rest = args[args.index("--") + 1 :] or [entry.get("command")]
    return {**entry, "command": command, "args": rest}
