"""Which process a client talks with: one for all that speak alike, started when first needed.

A server process takes its protocol and its client's abilities from the first message, so clients
share one where both are the same (docs/decisions/0014).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    UNSUPPORTED_PROTOCOL_VERSION,
)

from approvals import __version__
from approvals.domain.rulebook import CommandServer
from approvals.domain.strictjson import Json, canonical, parse
from approvals.errors import ApprovalsError, InvalidJson, Overloaded, Unavailable
from approvals.gateway.own import OwnRequest, response_to
from approvals.gateway.stdio.conversation import Conversation
from approvals.gateway.stdio.process import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from approvals.domain.rulebook import Rulebook

logger = logging.getLogger(__name__)

MAX_PROCESSES = 12
"""Of one server; more kinds of clients at once are refused."""
MAX_OF_ONE_AGENT = 4
"""Kinds of clients that one agent may bring to a server at once."""
REMEMBERED = timedelta(minutes=5)
"""How long a server that did not speak the newer era is not asked again."""
RETIRE = timedelta(minutes=5)
RETIRE_LOOK = timedelta(seconds=1)
UNUSED = timedelta(seconds=10)
START_TIMEOUT = timedelta(seconds=60)
"""A first start may have to fetch the server's package."""
PROBE_TIMEOUT = timedelta(seconds=20)
"""The same for clients that have an older way to ask, should the server not answer this one."""
BACKOFF = (0.0, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds until it is started again after it ended or did not start, so many times in a row."""
STEADY = timedelta(seconds=60)
"""A process that lived so long is not counted among those."""


class OtherEra(ApprovalsError):
    """The server does not speak the era of this client."""

    code = "unsupported_protocol"


class NotGreeted(Unavailable):
    """The server answered `initialize` with an error; it is not kept for the next client."""

    def __init__(self, said: dict[str, Json]) -> None:
        self.said = said
        super().__init__("The server behind the gateway refused to begin.")


@dataclass(frozen=True, slots=True)
class Kind:
    """How clients speak: the protocol they asked for, and their abilities as canonical JSON.

    `capabilities` is None for the era without handshake, in which each request says its own.
    """

    protocol: str
    capabilities: str | None

    @property
    def is_modern(self) -> bool:
        return self.capabilities is None


Place = tuple[str, str, tuple[str, ...], tuple[tuple[str, str], ...], str | None]


def place_of(server: CommandServer) -> Place:
    """What a process is started from; a server of which this changed is another one."""
    return (server.name, server.command, server.args, server.env, server.cwd)


def is_configured(rulebook: Rulebook, place: Place) -> bool:
    """Whether the file still has such a server."""
    server = rulebook.servers.get(place[0])
    return isinstance(server, CommandServer) and place_of(server) == place


@dataclass(slots=True, eq=False)
class _Slot:
    """One kind of client at one server: its process, if it runs, and how starting it went.

    `starter` is the agent whose request made it.
    """

    starter: str
    conversation: Conversation | None = None
    process: Process | None = None
    greeting: dict[str, Json] = field(default_factory=dict)
    starting: asyncio.Task[None] | None = None
    failures: int = 0
    not_before: float = 0.0
    since: float = 0.0
    used: float = 0.0

    @property
    def is_busy(self) -> bool:
        return self.starting is not None or (
            self.conversation is not None and self.conversation.busy
        )


class Processes:
    """Every server process of this replica."""

    def __init__(self, is_current: Callable[[Place], bool]) -> None:
        """`is_current` says whether the configuration still has such a server."""
        self._is_current = is_current
        self._slots: dict[tuple[Place, Kind], _Slot] = {}
        self._handshake_only: dict[Place, float] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._closing = False

    async def conversation(
        self, server: CommandServer, kind: Kind, *, agent: str, sends: bool = False
    ) -> tuple[Conversation, dict[str, Json]]:
        """The running process for these clients and what it said when it was greeted.

        `sends`: for an approved call, which no bound keeps back. A start goes on when the request
        that needed it first has gone. Raises OtherEra, NotGreeted, Overloaded while too many kinds
        of clients are there, and Unavailable when it does not start or is not to be started yet.
        """
        place = place_of(server)
        if kind.is_modern and self._handshake_only.get(place, 0.0) > _now():
            raise OtherEra(ONLY_HANDSHAKE)
        slot = self._slot(place, kind, agent, bounded=not sends)
        if slot.starting is None and (slot.conversation is None or slot.conversation.ended):
            self._check(slot)
            slot.starting = asyncio.create_task(self._start(server, kind, slot))
            slot.starting.add_done_callback(lambda done: done.cancelled() or done.exception())
        if slot.starting is not None:
            await asyncio.shield(slot.starting)
        if slot.conversation is None:
            raise Unavailable("The server behind the gateway was stopped.")
        return slot.conversation, slot.greeting

    async def close(self) -> None:
        """Stop them all."""
        self._closing = True
        for slot in self._slots.values():
            self._stop(slot)
        await asyncio.gather(*self._stopping, return_exceptions=True)

    def drop_others(self) -> None:
        """Stop those of servers that the file has no more, once they have nothing to do."""
        for key, slot in list(self._slots.items()):
            if not self._is_current(key[0]):
                del self._slots[key]
                self._spawn(self._retire(slot))

    def running(self, server: CommandServer) -> list[Conversation]:
        """Those of this server."""
        return [
            slot.conversation
            for (place, _), slot in self._slots.items()
            if place == place_of(server) and slot.conversation and not slot.conversation.ended
        ]

    def _slot(self, place: Place, kind: Kind, agent: str, *, bounded: bool) -> _Slot:
        slot = self._slots.get((place, kind))
        if slot is None:
            self.drop_others()
            if bounded:
                self._make_room(place, agent)
            slot = self._slots[place, kind] = _Slot(starter=agent)
        slot.used = _now()
        return slot

    def _make_room(self, place: Place, agent: str) -> None:
        """Stop the process that was not used for longest, if that is a while and it has nothing
        to do: nobody makes servers start and stop by changing how they speak."""
        here = {key: slot for key, slot in self._slots.items() if key[0] == place}
        mine = {key: slot for key, slot in here.items() if slot.starter == agent}
        if len(mine) >= MAX_OF_ONE_AGENT:
            self._drop_unused(mine)
        elif len(here) >= MAX_PROCESSES:
            self._drop_unused(here)

    def _drop_unused(self, slots: Mapping[tuple[Place, Kind], _Slot]) -> None:
        before = _now() - UNUSED.total_seconds()
        for key, slot in sorted(slots.items(), key=lambda one: one[1].used):
            if slot.used < before and not slot.is_busy:
                del self._slots[key]
                self._stop(slot)
                return
        raise Overloaded("Too many different clients use this server at once. Try again later.")

    async def _retire(self, slot: _Slot) -> None:
        until = _now() + RETIRE.total_seconds()
        while slot.is_busy and _now() < until and not self._closing:  # noqa: ASYNC110 (rare)
            await asyncio.sleep(RETIRE_LOOK.total_seconds())
        if slot.process is not None:
            await slot.process.stop()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def _stop(self, slot: _Slot) -> None:
        """At once nobody talks with it any more; that it ends takes a while."""
        if slot.starting is not None and slot.starting is not asyncio.current_task():
            slot.starting.cancel()
        process, slot.process, slot.conversation = slot.process, None, None
        if process is not None:
            self._spawn(process.stop())

    def _check(self, slot: _Slot) -> None:
        """Raises Unavailable while it is not to be started again."""
        if slot.process is not None:  # it ran, and has ended
            self._count(slot, steady=_now() - slot.since > STEADY.total_seconds())
            self._stop(slot)
        if (left := slot.not_before - _now()) > 0:
            wait = max(1, round(left))
            raise Unavailable(f"The server behind the gateway ended; it starts again in {wait} s.")

    async def _start(self, server: CommandServer, kind: Kind, slot: _Slot) -> None:
        within = PROBE_TIMEOUT if kind.is_modern else START_TIMEOUT
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._begin(server, kind, slot)
        except NotGreeted:
            self._count(slot, steady=False)
            self._stop(slot)
            raise
        except OtherEra:
            self._handshake_only[place_of(server)] = _now() + REMEMBERED.total_seconds()
            self._stop(slot)
            raise
        except (Unavailable, ConnectionError, TimeoutError, InvalidJson) as error:
            self._count(slot, steady=False)
            self._stop(slot)
            logger.warning("server %s did not start (%s)", server.name, type(error).__name__)
            if kind.is_modern and isinstance(error, TimeoutError):
                raise OtherEra(ONLY_HANDSHAKE) from error
            raise Unavailable("The server behind the gateway does not start.") from error
        except BaseException:
            self._stop(slot)
            raise
        finally:
            slot.starting = None
        slot.since = _now()

    def _count(self, slot: _Slot, *, steady: bool) -> None:
        slot.failures = 0 if steady else slot.failures + 1
        wait = BACKOFF[min(max(slot.failures - 1, 0), len(BACKOFF) - 1)]
        slot.not_before = _now() + wait if wait else 0

    async def _begin(self, server: CommandServer, kind: Kind, slot: _Slot) -> None:
        conversation = Conversation(server.name)
        process = slot.process = await Process.start(server, heard=conversation.heard)
        conversation.begin(process)
        request = _greeting(kind)
        response = response_to(await conversation.own(request), request.id) or {}
        error, result = response.get("error"), response.get("result")
        if kind.is_modern and not _is_modern(response):
            raise OtherEra(ONLY_HANDSHAKE)
        if not kind.is_modern:
            if isinstance(error, dict):
                raise NotGreeted(error)
            note: dict[str, Json] = {"jsonrpc": "2.0", "method": "notifications/initialized"}
            await conversation.tell(note)
        conversation.greeted = True
        slot.greeting = result if isinstance(result, dict) else {}
        slot.conversation = conversation


def _now() -> float:
    return asyncio.get_running_loop().time()


ONLY_HANDSHAKE = "This server speaks only versions that begin with `initialize`."


def _greeting(kind: Kind) -> OwnRequest:
    """Who asks is the gateway: the process is shared by clients with different names."""
    info = {"name": "approvals", "version": __version__}
    if kind.capabilities is None:
        meta = {
            PROTOCOL_VERSION_META_KEY: kind.protocol,
            CLIENT_INFO_META_KEY: info,
            CLIENT_CAPABILITIES_META_KEY: {},
        }
        return OwnRequest("server/discover", canonical({"_meta": meta}))
    params = {
        "protocolVersion": kind.protocol,
        "capabilities": parse(kind.capabilities.encode()),
        "clientInfo": info,
    }
    return OwnRequest("initialize", canonical(params))


def _is_modern(response: dict[str, Json]) -> bool:
    """A result, or the error that names the versions it would have spoken instead."""
    error, result = response.get("error"), response.get("result")
    if isinstance(error, dict):
        return error.get("code") == UNSUPPORTED_PROTOCOL_VERSION
    return isinstance(result, dict) and isinstance(result.get("supportedVersions"), list)
