"""Small checks that no tool makes: lock files, migrations, what the documentation must name."""

from __future__ import annotations

import re
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

from typer.main import get_command

from approvals import errors
from approvals.api.document import OPERATIONS
from approvals.cli.main import app
from approvals.config.settings import PREFIX, Settings
from approvals.storage import migrations

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"


def main() -> int:
    """Print every problem; 1 when there is one."""
    problems = [*locks(), *schema(), *documented()]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def locks() -> list[str]:
    """No lock file names a host."""
    return [f"{p.name} names a host" for p in ROOT.glob("*.lock") if "://" in p.read_text()]


def schema() -> list[str]:
    """The migrations make exactly the tables of the code, and can be taken back."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/check.db"
        migrations.upgrade(url)
        found = [f"tables and migrations differ: {d}" for d in migrations.differences(url)]
        migrations.downgrade(url)
        migrations.upgrade(url)
    return found


def documented() -> list[str]:
    """Every setting, error code, route and command stands in docs/reference."""
    settings = (REFERENCE / "settings.md").read_text()
    codes = (REFERENCE / "errors.md").read_text()
    rest = (REFERENCE / "rest.md").read_text()
    cli = (REFERENCE / "cli.md").read_text()
    wanted = [(PREFIX + field.name.upper(), settings, "settings.md") for field in fields(Settings)]
    wanted += [(code, codes, "errors.md") for code in sorted(_codes(errors.ApprovalsError))]
    wanted += [(f"{o.method} {o.path}", rest, "rest.md") for o in OPERATIONS]
    wanted += [(f"`{words}", cli, "cli.md") for words in commands(get_command(app))]
    missing = [
        f"docs/reference/{file} lacks {name}" for name, text, file in wanted if name not in text
    ]
    known = {PREFIX + field.name.upper() for field in fields(Settings)} | _CLIENT
    named = set(re.findall(PREFIX + r"[A-Z_]+[A-Z]", settings))
    return missing + [f"docs/reference/settings.md names {name}" for name in sorted(named - known)]


def commands(command: object, before: str = "") -> list[str]:
    """The words of every command below this one."""
    below = getattr(command, "commands", None)
    if below is None:
        return [before.strip()]
    return [words for name, sub in below.items() for words in commands(sub, f"{before} {name}")]


_CLIENT = {"APPROVALS_URL", "APPROVALS_KEY"}


def _codes(kind: type[errors.ApprovalsError]) -> set[str]:
    return {kind.code}.union(*(_codes(sub) for sub in kind.__subclasses__()))


sys.exit(main())
