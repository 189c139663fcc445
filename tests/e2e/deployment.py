"""Which servers the worlds of a folder use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from approvals.config.settings import Settings

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path


def deployed(folder: Path, *, database_url: str, redis_url: str | None) -> None:
    """The worlds in this folder use these servers."""
    said = json.dumps({"database_url": database_url, "redis_url": redis_url})
    (folder / "deployment.json").write_text(said)


def settings_in(folder: Path, *, config: Path, upstream_timeout: timedelta) -> Settings:
    """The settings of a replica in this folder."""
    deployment = folder / "deployment.json"
    said = json.loads(deployment.read_text()) if deployment.exists() else {}
    return Settings(
        database_url=said.get("database_url", f"sqlite:///{folder}/test.db"),
        redis_url=said.get("redis_url"),
        config=config,
        secret_key=(b"s" * 32,),
        upstream_timeout=upstream_timeout,
    )
