"""The Web API of one workspace, over slack-sdk: what goes wrong is said as NotTold."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from approvals.channels.retrying import retry_after
from approvals.ports.telling import LATE, LOST, NotTold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.channels.slack.settings import SlackSettings
    from approvals.domain.strictjson import Json
    from approvals.ports import Clock

TIMEOUT = 8
"""Seconds for one request; less than an attempt may take."""
SERVER_ERROR = 500
TOO_MANY = 429
GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
"""Why a message will never be changed. A channel that is archived or left may be back tomorrow."""
_UNREACHED = (aiohttp.ClientConnectorError, aiohttp.InvalidURL)


class Refused(NotTold):
    """Slack's answer is no, for the reason that is `word`."""

    def __init__(self, why: str, *, gone: bool, word: str) -> None:
        super().__init__(why, gone=gone)
        self.word = word


class SlackApi:
    """Calls methods with the bot's token."""

    def __init__(self, settings: SlackSettings, clock: Clock) -> None:
        self._clock = clock
        self._client = web_client(settings, settings.bot_token)
        self._team: str | None = None
        self._asking = asyncio.Lock()

    async def team(self) -> str:
        """The workspace that the token is of, as `auth.test` says. Raises NotTold."""
        async with self._asking:
            if self._team is None:
                self._team = str((await self.call("auth.test")).get("team_id", ""))
        return self._team

    async def call(self, method: str, **values: Json) -> Mapping[str, object]:
        """What the method answers. Raises NotTold, `unclear` where it may have been done."""
        try:
            response = await self._client.api_call(method, json=values)
        except SlackApiError as error:
            raise self._refusal(method, error) from error
        except _UNREACHED as error:
            raise NotTold("Slack cannot be reached", answered=False) from error
        except TimeoutError as error:
            raise NotTold("Slack gave no answer in time", unclear=LATE) from error
        except (aiohttp.ClientError, SlackClientError, OSError, ValueError) as error:
            raise NotTold(f"Slack gave no answer ({type(error).__name__})", unclear=LOST) from error
        data = response.data
        return data if isinstance(data, dict) else {}

    def _refusal(self, method: str, error: SlackApiError) -> NotTold:
        response = error.response
        status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0) or 0)
        headers = getattr(response, "headers", None) or {}
        if status == TOO_MANY:
            said = next((v for k, v in headers.items() if k.lower() == "retry-after"), None)
            pause = retry_after(said, now=self._clock.now())
            return NotTold("Slack asks for a pause", retry_after=pause)
        data = getattr(response, "data", None)
        word = data.get("error") if isinstance(data, dict) else None
        if status >= SERVER_ERROR:
            return NotTold(f"Slack answered {status}", answered=False)
        if not isinstance(word, str):
            return NotTold("Slack answered what is no JSON", unclear=LOST)
        shown = word if word.isascii() and word.isprintable() else "an error"
        gone = method == "chat.update" and word in GONE
        return Refused(f"Slack refused: {shown[:80]}", gone=gone, word=word)


def web_client(settings: SlackSettings, token: str) -> AsyncWebClient:
    """A client that reads nothing of the environment, tries nothing twice and logs no contents."""
    log = logging.getLogger("approvals.slack")
    log.setLevel(logging.INFO)  # at DEBUG it writes whole requests
    client = AsyncWebClient(
        token=token,
        base_url=settings.base_url,
        timeout=TIMEOUT,
        retry_handlers=[],
        logger=log,
    )
    client.proxy = None
    return client
