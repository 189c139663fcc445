"""Find the running service: options, then environment, then the state file that `serve` wrote."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from approvals.client import Client, Unreachable
from approvals.config.settings import client_environment, state_file

if TYPE_CHECKING:
    from typing import Any


class NoKey(Unreachable):
    """The service is known, and no key for it."""


def connect(url: str | None, key: str | None) -> Client:
    """A client of the service that is meant. Raises Unreachable when none is known."""
    return Client(*found(url, key))


def found(url: str | None, key: str | None) -> tuple[str, str]:
    """URL and key of the service that is meant. Raises Unreachable when they are not known."""
    from_url, from_key = client_environment()
    state = read_state()
    key = key or from_key
    url = url or from_url
    if url is None or url == state.get("url"):  # its key is for its own URL only
        url, key = state.get("url"), key or state.get("key")
    if not url:
        raise Unreachable("approvals is not running here. Start it with: approvals serve")
    if not key:
        raise NoKey(
            "No key is known. Give --key or APPROVALS_KEY. The first one is made while the service "
            "is stopped: approvals keys create --first-admin"
        )
    return url, key


def read_state() -> dict[str, Any]:
    """What the last `serve` on this machine wrote."""
    try:
        found = json.loads(state_file().read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_state(url: str, key: str | None) -> None:
    """Keep URL and key for the command line, readable by this user only."""
    path = state_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"url": url, "key": key}, file)
    fresh.replace(path)
