"""The README's blocks are run as they stand there, and what it links to exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", README, flags=re.DOTALL)


def test_every_block_of_the_readme_works(tmp_path: Path) -> None:
    """The files are written, the commands run in order in one shell with an empty home."""
    [demo, *quick_start] = blocks("sh")
    [config], [policy] = blocks("yaml"), blocks("json")
    (tmp_path / "approvals.yaml").write_text(config)
    (tmp_path / "exchange.json").write_text(policy)
    ready = "for _ in $(seq 200); do curl -sf $URL/readyz > /dev/null && break; sleep 0.1; done\n"
    script = [
        "set -eu",
        "URL=http://127.0.0.1:8642",
        f"( cd {ROOT} && {demo.strip()} < /dev/null )",
        "trap 'kill $!' EXIT",
        *(block.replace("serve &\n", f"serve &\n{ready}") for block in quick_start),
        "approvals list --status pending",
    ]
    environment = {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # noqa: TID251
    }
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "binance_us_cancel_order → 1 of everyone" in done.stdout
    assert '"verdict":"require_approval"' in done.stdout
    assert "Cancel order 12345 on BTCUSD" in done.stdout.splitlines()[-1]


def test_every_link_in_the_documentation_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "CONTRIBUTING.md"]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)
