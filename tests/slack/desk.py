"""A world whose people are told in Slack."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2

from approvals.demo.stage import served
from tests.e2e.world import World, world
from tests.slack.fake import APP, APP_TOKEN, BOT, MEMBERS, SECRET, FakeSlack, press

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.slack.fake import Message

TRADING = "slack:#trading"
PEOPLE: dict[str, Any] = {
    "alice": {"slack": MEMBERS["alice"]},
    "bob": {"slack": MEMBERS["bob"]},
    "carol": {"slack": MEMBERS["carol"], "roles": ["approver", "admin"]},
}
PAGES = "https://approvals.example"


@dataclass
class Desk:
    """The world, and its Slack."""

    w: World
    slack: FakeSlack
    socket: bool = False

    async def press(self, card: Message, action: str, *, by: str = "bob") -> httpx2.Response:
        """Press a button of the card as it is shown now."""
        return await self.send(self.slack.click(card, action, by=by))

    async def send(self, payload: dict[str, Any] | bytes, **how: Any) -> httpx2.Response:
        """Returns once it is acknowledged."""
        if self.socket and isinstance(payload, dict):
            return await self._over_socket(payload)
        return await press(self.w.http, self.w.people_url, payload, **how)

    async def _over_socket(self, payload: dict[str, Any]) -> httpx2.Response:
        before = len(self.slack.acknowledged)
        await self.slack.over_socket(payload)
        async with asyncio.timeout(10):
            while len(self.slack.acknowledged) == before:
                await asyncio.sleep(0.01)
        return httpx2.Response(200)


@asynccontextmanager
async def desk(
    folder: Path,
    *,
    slack: FakeSlack | None = None,
    channels: tuple[str, ...] = (TRADING,),
    socket: bool = False,
    approval: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
    **how: Any,
) -> AsyncIterator[Desk]:
    """A running desk."""
    slack = slack or FakeSlack()
    settings = {"timeout": "15m", "channels": list(channels), **(approval or {})}
    async with served(slack.app()) as slack.url, slack.sockets_served():
        environment = {
            "slack_bot_token": BOT,
            "slack_app_id": APP,
            "slack_base_url": f"{slack.url}/api/",
            "slack_signing_secret": SECRET,
            "slack_app_token": APP_TOKEN if socket else None,
            "public_url": PAGES,
        }
        async with world(
            folder,
            people=how.pop("people", PEOPLE),
            more={"approval": settings, **(more or {})},
            environment=environment,
            **how,
        ) as w:
            yield Desk(w, slack, socket)
