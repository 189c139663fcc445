"""`approvals init`: approvals.yaml and policies from the configuration of an MCP client.

Everything is read and listed first, checked as it would be loaded, and only then written; a file
that is there is never overwritten.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from approvals.cli.init.entries import entries_of
from approvals.cli.init.listing import listed
from approvals.cli.init.writing import AGENT, Plan, planned
from approvals.cli.say import say
from approvals.config.load import load
from approvals.errors import ConfigurationInvalid, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONFIG = "approvals.yaml"
LOOKED_FOR = (".mcp.json", ".cursor/mcp.json", ".vscode/mcp.json")


def init(file: Path | None) -> None:
    """Write, or say what is in the way and write nothing."""
    _check_free([CONFIG])
    source = file or _found()
    entries = entries_of(source)
    say(f"{source}: {', '.join(entries) or 'no servers'}")
    if not entries:
        raise InvalidInput("There is no server in it that approvals could stand before.")
    servers = asyncio.run(listed(entries))
    for name, server in servers.items():
        say(f"  {name}: {server.said}")
    plan = planned(servers, source=source.name)
    _check_free(plan.files)
    _check_loads(plan)
    _write(plan, Path())
    say(f"Written: {', '.join(plan.files)}")
    say("Read the policies: one line for each tool. Then:")
    for line in (
        "approvals config check && approvals serve",
        f"approvals keys create --agent {AGENT}",
        f"approvals connect {next(iter(servers))} --client claude-code",
    ):
        say(f"  {line}")


def _found() -> Path:
    for name in LOOKED_FOR:
        if Path(name).is_file():
            return Path(name)
    raise InvalidInput(
        f"None of {', '.join(LOOKED_FOR)} is in this folder. Name the configuration of your MCP "
        "client: approvals init FILE"
    )


def _check_free(names: Iterable[str]) -> None:
    taken = [name for name in names if Path(name).exists()]
    if taken:
        raise InvalidInput(
            f"{', '.join(taken)} exists already, and nothing is overwritten. Nothing was written."
        )


def _check_loads(plan: Plan) -> None:
    """What would be written loads. Raises ConfigurationInvalid."""
    with TemporaryDirectory() as folder:
        _write(plan, Path(folder))
        try:
            load(Path(folder, CONFIG), starting_person="you")
        except ConfigurationInvalid as error:
            problems = [problem.replace(f"{folder}/", "") for problem in error.problems]
            raise ConfigurationInvalid("the client's configuration", problems) from None


def _write(plan: Plan, folder: Path) -> None:
    """All files, or none: what was made before one that cannot be made is taken back."""
    made: list[Path] = []
    path = folder
    try:
        for name, (text, mode) in plan.files.items():
            path = folder / name
            if not path.parent.is_dir():
                path.parent.mkdir(mode=0o700)
                made.append(path.parent)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            made.append(path)
            with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
                opened.write(text)
    except BaseException as error:
        _take_back(made)
        if isinstance(error, OSError):
            raise InvalidInput(
                f"{path} cannot be written ({error.strerror}). Nothing was written."
            ) from None
        raise


def _take_back(made: Sequence[Path]) -> None:
    for path in reversed(made):
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
