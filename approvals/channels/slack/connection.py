"""Everything of Slack that one process runs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from approvals.channels.slack.clicks import Clicks, Use
from approvals.channels.slack.receive import Interactions
from approvals.channels.slack.send import SlackChannel
from approvals.channels.slack.socket import SocketMode
from approvals.ports.telling import NotTold

if TYPE_CHECKING:
    from approvals.channels.slack.api import SlackApi
    from approvals.channels.slack.settings import SlackSettings
    from approvals.ports import Clock, Store
    from approvals.ports.telling import Outbox
    from approvals.service.approvals import Approvals
    from approvals.service.journal import Journal
    from approvals.service.rules import Rules

logger = logging.getLogger(__name__)


class Slack:
    """One workspace. `interactions` takes clicks where they come over HTTP."""

    def __init__(self, settings: SlackSettings, api: SlackApi) -> None:
        self._settings = settings
        self._api = api
        self._clicks: Clicks | None = None
        self._socket: SocketMode | None = None
        self._asking: asyncio.Task[None] | None = None
        self.interactions: Interactions | None = None

    def channel(self, name: str) -> SlackChannel:
        """The channel `#name`."""
        return SlackChannel(self._api, name)

    def listen(
        self,
        *,
        store: Store,
        approvals: Approvals,
        outbox: Outbox,
        journal: Journal,
        rules: Rules,
        clock: Clock,
    ) -> None:
        """Say what clicks are for."""
        use = Use(
            store=store,
            approvals=approvals,
            outbox=outbox,
            journal=journal,
            rules=rules,
            clock=clock,
        )
        self._clicks = Clicks(self._api, self._settings.app_id, use)
        if self._settings.signing_secret is not None:
            secret = self._settings.signing_secret
            self.interactions = Interactions(self._clicks, secret, use.clock)

    def connect(self) -> None:
        """Take clicks over Socket Mode from now on, where that is set; and ask already which
        workspace is ours, so that the first click does not wait for it."""
        self._asking = asyncio.create_task(self._ask())
        if self._clicks is not None and self._settings.app_token is not None:
            self._socket = SocketMode(self._clicks, self._settings, self._settings.app_token)

    async def _ask(self) -> None:
        try:
            await self._api.team()
        except NotTold as error:
            logger.warning("which workspace is ours is asked again at the first click: %s", error)

    async def stop(self) -> None:
        """Take no more clicks, and let those that were taken be done."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._socket is not None:
            await self._socket.stop()
        if self._clicks is not None:
            await self._clicks.stop()
