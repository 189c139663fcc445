"""The built wheel in a clean virtual environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment with the wheel and exactly the locked packages."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, ROOT)
    [wheel] = folder.glob("mcp_approvals-*.whl")
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    install: list[str | Path] = [uv, "pip", "install", "-q", "--python", python]
    if not uv.exists() or subprocess.run([*install, "pip"], check=False).returncode != 0:
        install = [python, "-m", "pip", "install", "-q"]
    run(*install, "--require-hashes", "-r", ROOT / "requirements.lock")
    run(*install, "--no-deps", wheel)
    return folder / "venv" / "bin"


def run(*words: str | Path, cwd: Path | None = None) -> str:
    environment = os.environ | {"UV_SYSTEM_CERTS": "1", "UV_PYTHON_DOWNLOADS": "never"}  # noqa: TID251
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=300, check=False, env=environment, cwd=cwd
    )
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout
