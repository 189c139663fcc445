"""Runs the official conformance suite of MCP against a URL, and says which checks failed."""

from __future__ import annotations

import asyncio
import json
import os
import re
from typing import TYPE_CHECKING

from tests.npm import node, package

if TYPE_CHECKING:
    from pathlib import Path

REVISIONS = ("2025-11-25", "2026-07-28")
LASTS = 300


async def failures(url: str, revision: str, folder: Path) -> tuple[set[str], int]:
    """The failed checks of a revision's requirements, each with its scenario, and how many checks
    were made."""
    folder.mkdir()  # noqa: ASYNC240 (a test)
    script = package("@modelcontextprotocol/conformance") / "dist" / "index.js"
    process = await asyncio.create_subprocess_exec(
        *(str(node()), str(script), "server", "--url", url, "--requirements", revision),
        *("-o", str(folder)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": os.defpath, "HOME": str(folder)},
    )
    async with asyncio.timeout(LASTS):
        await process.wait()
    found: set[str] = set()
    checks = 0
    for path in sorted(folder.rglob("checks.json")):  # noqa: ASYNC240 (a test)
        for check in json.loads(path.read_text()):
            checks += 1
            if check["status"] == "FAILURE":
                found.add(f"{_scenario(path)}: {check['id']}")
    return found, checks


def _scenario(path: Path) -> str:
    """The name of its folder without the time at which it ran."""
    return re.sub(r"-\d{4}-\d\d-\d\dT.*", "", path.parent.name)
