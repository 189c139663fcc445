"""What a server is called that is known by its command only."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAUNCHERS = re.compile(
    r"(uvx?|npx|pipx|bunx?|deno|node|python[0-9.]*|docker|podman|poetry|pnpm|yarn|tool|run|exec|dlx)"
)
_AROUND = re.compile(r"^(mcp-server-|server-|mcp-)|(-mcp-server|-mcp|-server)$")
_OTHERS = re.compile(r"[^A-Za-z0-9_-]+")
MAX_NAME = 63


def server_name(command: Sequence[str]) -> str:
    """`uvx mcp-server-git` is `git`, `npx -y @scope/server-everything@1.2` is `everything`."""
    words = [word for word in command if not word.startswith("-")]
    found = next((w for w in words if not _LAUNCHERS.fullmatch(PurePath(w).name)), command[0])
    name = PurePath(found).name or found
    name = re.sub(r"(?<=.)@.*$|\.(py|js|mjs|ts|sh|exe)$|:.*$", "", name)
    shorter = _AROUND.sub("", name)
    named = _OTHERS.sub("-", shorter or name).strip("-_")[:MAX_NAME]
    return named or "server"
