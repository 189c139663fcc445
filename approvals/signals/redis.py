"""Hints between replicas over Redis or Valkey: which approval is at which version.

Only hints: nothing is kept or decided there, and whoever waits also asks the database
once a second. Redis may be killed, frozen or lose messages; then people wait up to a second longer.
"""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio.client import PubSub

logger = logging.getLogger(__name__)

TIMEOUT = timedelta(seconds=1)
PAUSE = timedelta(milliseconds=500)
PING_EVERY = timedelta(seconds=3)
SILENT_FOR = timedelta(seconds=8)
"""A server that has not answered a ping for so long is frozen."""
MAX_HINTS = 500
DOWN = (RedisError, OSError, TimeoutError)


class RedisSignals:
    """Publishes what changed here, and tells `heard` what changed elsewhere."""

    def __init__(
        self,
        url: str,
        *,
        channel: str,
        heard: Callable[[str, int], None],
        resync: Callable[[], Awaitable[None]],
    ) -> None:
        """`resync` finds out what changed while nothing could be heard."""
        self._redis = Redis.from_url(
            url,
            socket_timeout=TIMEOUT.total_seconds(),
            socket_connect_timeout=TIMEOUT.total_seconds(),
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
        )
        self._channel = channel
        self._heard = heard
        self._resync = resync
        self._changed: dict[str, int] = {}
        self._any = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.listening = False
        self.lost = 0
        """Hints that could not be sent."""

    @property
    def state(self) -> str:
        """Whether hints come, or the database is asked."""
        return "redis" if self.listening else "redis is down, polling"

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._publish()), asyncio.create_task(self._listen())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                await self._redis.connection_pool.disconnect(inuse_connections=True)
                await self._redis.aclose()
        except DOWN:
            logger.info("Redis did not say goodbye")

    def changed(self, approval_id: str, version: int) -> None:
        """Tell who waits here at once, and the other replicas with the next message."""
        self._heard(approval_id, version)
        if len(self._changed) < MAX_HINTS or approval_id in self._changed:
            self._changed[approval_id] = version
        else:
            self.lost += 1
        self._any.set()

    async def _publish(self) -> None:
        """While one message is on its way the next hints gather."""
        while True:
            await self._any.wait()
            self._any.clear()
            hints, self._changed = self._changed, {}
            try:
                async with asyncio.timeout(2 * TIMEOUT.total_seconds()):
                    await self._redis.publish(self._channel, json.dumps(hints))
            except DOWN as error:
                self.lost += len(hints)
                logger.warning("%d hints are lost: %r", len(hints), error)

    async def _listen(self) -> None:
        """Subscribe, and again whenever the connection breaks."""
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    await self._subscribed(subscription)
            except DOWN as error:
                logger.warning("no hints from Redis (%r); the database is asked", error)
            except Exception:
                logger.exception("hearing hints failed")
            self.listening = False
            await asyncio.sleep(PAUSE.total_seconds())

    async def _subscribed(self, subscription: PubSub) -> None:
        await subscription.subscribe(self._channel)
        loop = asyncio.get_running_loop()
        heard_at = pinged_at = loop.time()
        while True:
            message = await subscription.get_message(timeout=TIMEOUT.total_seconds())
            now = loop.time()
            if message is not None:
                heard_at = now
                await self._message(message)
            if now - heard_at > SILENT_FOR.total_seconds():
                raise TimeoutError("Redis does not answer")
            if now - pinged_at > PING_EVERY.total_seconds():
                pinged_at = now
                await subscription.ping()

    async def _message(self, message: dict[str, object]) -> None:
        if message["type"] == "subscribe":
            self.listening = True
            await self._resync()
        elif message["type"] == "message":
            for approval_id, version in _hints(str(message["data"])):
                self._heard(approval_id, version)


def _hints(text: str) -> list[tuple[str, int]]:
    """What a message says; whatever else anybody published is nothing."""
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(read, dict):
        return []
    return [(id_, version) for id_, version in read.items() if isinstance(version, int)]
