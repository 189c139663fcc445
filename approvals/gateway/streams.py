"""Streams that clients keep open, and what the gateway itself says on them.

A reload may show an agent other tools than before; its client learns it as from the server.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY

from approvals.domain.strictjson import Json, as_read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.domain.rulebook import Rulebook
    from approvals.gateway.messages import Message
    from approvals.gateway.response import Response

logger = logging.getLogger(__name__)

TELL_WITHIN = timedelta(seconds=10)
CHANGED = "notifications/tools/list_changed"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Open:
    agent: str
    server: str
    response: Response
    note: bytes


class Streams:
    """Every open stream of this replica on which changes of lists are told."""

    def __init__(self) -> None:
        self._open: set[_Open] = set()
        self._telling: set[asyncio.Task[None]] = set()

    @contextmanager
    def listening(
        self, agent: str, server: str, response: Response, message: Message | None
    ) -> Iterator[None]:
        """While inside, the client is told of reloads; `message` is what opened its stream, None
        for the stream of a session."""
        note = _note(message)
        if note is None:
            yield
            return
        stream = _Open(agent=agent, server=server, response=response, note=note)
        self._open.add(stream)
        try:
            yield
        finally:
            self._open.discard(stream)

    def reloaded(self, before: Rulebook, after: Rulebook) -> None:
        """Tell those whose list may have changed. Nobody waits for clients that do not read."""
        for stream in self._open:
            if _shown(before, stream) != _shown(after, stream):
                task = asyncio.create_task(_tell(stream))
                self._telling.add(task)
                task.add_done_callback(self._telling.discard)

    async def close(self) -> None:
        """Tell nobody any more."""
        tasks = list(self._telling)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _tell(stream: _Open) -> None:
    try:
        async with asyncio.timeout(TELL_WITHIN.total_seconds()):
            await stream.response.inject(stream.note)
    except (OSError, TimeoutError):
        logger.info("a client of %s could not be told of a reload", stream.agent)


def _shown(rulebook: Rulebook, stream: _Open) -> tuple[object, ...]:
    """What decides which tools this agent is shown."""
    policy = rulebook.policy_of(stream.agent, stream.server)
    agent = rulebook.directory.agents.get(stream.agent)
    return (policy and policy.hide, agent and agent.gateway_tools)


def _note(message: Message | None) -> bytes | None:
    """None: this client does not want to be told."""
    params: dict[str, Json] = {}
    if message is not None:
        wanted = message.params.get("notifications")
        if not isinstance(wanted, dict) or wanted.get("toolsListChanged") is not True:
            return None
        params = {"params": {"_meta": {SUBSCRIPTION_ID_META_KEY: message.id}}}
    return as_read({"jsonrpc": "2.0", "method": CHANGED, **params}).encode()
