"""The blocks of a page of documentation, run as they stand there in one shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent
READY = "for _ in $(seq 300); do curl -sf $URL/readyz > /dev/null && break; sleep 0.1; done\n"


@dataclass(frozen=True)
class Block:
    """A fenced block; a file's has its name behind its kind."""

    kind: str
    name: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [Block(*one) for one in found]


def shims(folder: Path, installed: Path) -> Path:
    """What a reader's machine has: uv, uvx and claude. The package is the built wheel."""
    made = folder / "bin"
    made.mkdir()
    tools = folder / "tools"
    tools.mkdir()
    python = Path(sys.executable)
    scripts = {
        "uvx": f'case $1 in mcp-approvals) shift; exec {installed}/mcp-approvals "$@";; esac\n'
        f'name=$1; shift; exec {python.parent}/$name "$@"',
        "uv": f'[ "$*" = "tool install mcp-approvals" ] && ln -s {installed}/approvals {tools}/',
        "claude": f'exec {python} {HERE}/claude.py "$@"',
    }
    for name, text in scripts.items():
        path = made / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return made


def run(page: Path, folder: Path, installed: Path, *, port: int, has_command: bool) -> str:
    """Write the page's files and run its shell blocks in order; what they print. `has_command`:
    the reader has installed it already."""
    script = ["set -eu", f"URL=http://127.0.0.1:{port}", "trap 'kill $(jobs -p) || true' EXIT"]
    for block in blocks(page):
        text = block.text.replace("8642", str(port))
        if block.kind == "sh":
            script.append(text.replace("serve &\n", f"serve &\n{READY}"))
        elif block.name:
            (folder / block.name).write_text(text)
    whole = "\n".join(script).replace(
        "\napprovals watch\n", f"\n{sys.executable} {HERE}/on_terminal.py approvals watch\n"
    )
    made = shims(folder, installed)
    if has_command:
        (folder / "tools" / "approvals").symlink_to(installed / "approvals")
    path = [made, folder / "tools", os.environ["PATH"]]  # noqa: TID251
    done = subprocess.run(
        ["bash", "-c", whole],
        cwd=folder,
        env={
            "HOME": str(folder),
            "PATH": ":".join(map(str, path)),
            "APPROVALS_PORT": str(port),
            "CLAUDE_RECORD": str(folder / "claude.json"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, whole + done.stdout + done.stderr
    return done.stdout
