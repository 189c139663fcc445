"""The README's and the tutorial's blocks are run as they stand there, with the built wheel."""

from __future__ import annotations

import json
from pathlib import Path

from tests.docs.pages import ROOT, run
from tests.e2e.test_killed import free_port


def test_every_block_of_the_readme_works(installed: Path, tmp_path: Path) -> None:
    readme = ROOT / "README.md"
    output = run(readme, tmp_path, installed, port=free_port(), has_command=False)
    assert "order 12345 still open (requests received: 0)" in output  # nobody answered the demo
    added = json.loads((tmp_path / "claude.json").read_text())
    assert added["added"][:3] == ["mcp", "add", "git"]
    assert {"git_status", "git_commit"} <= set(added["tools"])
    assert "git: 12 tools, 7 only read" in output
    assert "\nagt_" in output
    assert "claude mcp add --transport http git" in output
    assert '"verdict":"require_approval"' in output


def test_every_block_of_the_tutorial_works(installed: Path, tmp_path: Path) -> None:
    tutorial = ROOT / "docs" / "tutorial.md"
    output = run(tutorial, tmp_path, installed, port=free_port(), has_command=True)
    assert "binance_us_cancel_order → 1 of everyone (bob; not alice, who owns" in output
    assert "Cancel order 12345 on BTCUSD?" in output
    assert "alice may not" in output
    assert " approved\n" in output
    assert "as it was written: " in output
