"""The Slack emulator from npm, started for a test."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2

from tests.npm import node, package
from tests.slack.fake import APP, BOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PEOPLE = ("alice", "bob", "carol")
SEED: dict[str, Any] = {
    "slack": {
        "team": {"name": "Test", "domain": "test"},
        "users": [
            {"name": name, "real_name": name, "email": f"{name}@example.com"} for name in PEOPLE
        ],
        "channels": [{"name": "trading", "topic": "x"}],
        "bots": [{"name": "approvals"}],
        "strict_scopes": True,
        "tokens": [
            {"token": BOT, "user": "alice", "scopes": ["chat:write"], "app_id": APP},
            {
                "token": "xoxb-looker",
                "user": "alice",
                "scopes": ["channels:read", "channels:history", "users:read"],
            },
        ],
    }
}


@dataclass
class Emulator:
    """What a test asks of it, with a token of its own that may read."""

    url: str
    http: httpx2.AsyncClient

    async def ask(self, method: str, *, token: str = "xoxb-looker", **values: Any) -> Any:
        headers = {"authorization": f"Bearer {token}"}
        answer = await self.http.post(f"{self.url}/api/{method}", headers=headers, json=values)
        found = answer.json()
        assert found["ok"], found
        return found

    async def members(self) -> dict[str, str]:
        """The ids of users by name."""
        found = await self.ask("users.list")
        return {user["name"]: user["id"] for user in found["members"]}

    async def messages(self) -> list[dict[str, Any]]:
        """What stands in #trading, oldest first."""
        channels = (await self.ask("conversations.list"))["channels"]
        [channel] = [one["id"] for one in channels if one["name"] == "trading"]
        found = (await self.ask("conversations.history", channel=channel))["messages"]
        return [{**message, "channel": channel} for message in reversed(found)]

    async def message(self, words: str) -> dict[str, Any]:
        """The message that says this, once it does."""
        async with asyncio.timeout(20):
            while True:
                for message in await self.messages():
                    if words in json.dumps(message["blocks"], ensure_ascii=False):
                        return message
                await asyncio.sleep(0.05)


@asynccontextmanager
async def emulator(folder: Path) -> AsyncIterator[Emulator]:
    """A running emulator, in a process of its own."""
    seed = folder / "seed.json"
    seed.write_text(json.dumps(SEED))
    port = _free_port()
    process = await asyncio.create_subprocess_exec(
        *(str(node()), str(package("emulate") / "dist" / "index.js")),
        *("--service", "slack", "--port", str(port), "--seed", str(seed)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=folder,
        env={"PATH": str(node().parent), "HOME": str(folder)},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx2.AsyncClient(trust_env=False, timeout=10) as http:
            running = Emulator(url, http)
            async with asyncio.timeout(30):
                while True:
                    try:
                        await running.ask("auth.test")
                        break
                    except httpx2.HTTPError:
                        await asyncio.sleep(0.1)
            yield running
    finally:
        process.terminate()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
