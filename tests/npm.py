"""Node.js and packages of npm, as `scripts/node.sh` installs them."""

from __future__ import annotations

from pathlib import Path

HOME = Path(__file__).parent.parent / ".node"


def node() -> Path:
    """The Node.js of this project."""
    return _there(HOME / "node")


def package(name: str) -> Path:
    """The folder of a package."""
    return _there(HOME / "node_modules" / name)


def _there(path: Path) -> Path:
    if not path.exists():
        raise RuntimeError(
            f"{path.name} is not there: ./scripts/node.sh installs it; make test-all does."
        )
    return path
