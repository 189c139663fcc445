"""Socket Mode: the same clicks over a connection that this service opens, without a public URL."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse

from approvals.channels.slack.api import web_client
from approvals.channels.slack.clicks import NotOurs
from approvals.channels.slack.interactions import Malformed
from approvals.ports.telling import NotTold

if TYPE_CHECKING:
    from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
    from slack_sdk.socket_mode.request import SocketModeRequest

    from approvals.channels.slack.clicks import Clicks
    from approvals.channels.slack.settings import SlackSettings

logger = logging.getLogger(__name__)


class _Handshakes:
    """The library's HTTP session. A ticket that did not open a connection is not used again, and
    stands in no log: it lets whoever has it take clicks."""

    def __init__(self, session: aiohttp.ClientSession, client: SocketModeClient) -> None:
        self._session = session
        self._client = client

    @property
    def closed(self) -> bool:
        return self._session.closed

    async def ws_connect(self, url: str, **how: Any) -> aiohttp.ClientWebSocketResponse:  # noqa: ANN401 (the library's)
        try:
            opened: aiohttp.ClientWebSocketResponse = await self._session.ws_connect(url, **how)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            self._client.wss_uri = None
            raise ConnectionError(f"Slack did not open it: {type(error).__name__}") from None
        return opened

    async def close(self) -> None:
        await self._session.close()


class SocketMode:
    """Keeps one connection to Slack; of several replicas Slack picks one for each click."""

    def __init__(self, clicks: Clicks, settings: SlackSettings, app_token: str) -> None:
        self._clicks = clicks
        log = logging.getLogger("approvals.slack")
        self._client = SocketModeClient(
            app_token=app_token, web_client=web_client(settings, app_token), logger=log
        )
        self._client.proxy = None
        self._client.aiohttp_client_session = _Handshakes(  # type: ignore[assignment]
            self._client.aiohttp_client_session, self._client
        )
        self._client.socket_mode_request_listeners.append(self._take)
        self._connecting = asyncio.create_task(self._client.connect())  # type: ignore[no-untyped-call]

    async def stop(self) -> None:
        """Hang up."""
        self._connecting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._connecting
        if self._client.current_session is None:
            self._client.message_processor.cancel()
            await self._client.aiohttp_client_session.close()
        else:
            await self._client.close()  # type: ignore[no-untyped-call]

    async def _take(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        try:
            if request.type == "interactive":
                await self._clicks.take(request.payload, over="over Socket Mode")
        except (Malformed, NotOurs):
            logger.warning("a message over Socket Mode was refused")
        except (NotTold, TimeoutError):
            logger.warning("Slack cannot be asked which workspace is ours; a click was left")
            return
        await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
