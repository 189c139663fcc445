"""A receiver of webhooks that believes nothing but what it has verified, and a desk that tells it.

It can fail in the ways in which real ones do.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.e2e.world import World, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

SECRET, OLD, OTHER = ("whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3))
OPS, DESK = "webhook:ops", "webhook:desk"
SECONDS = 20
"""Longer than anything takes here that is not broken."""

Fault = int | str | tuple[int, dict[str, str]]
FaultOf = Callable[["Letter"], Fault]


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One request whose signature is ours. `at` is the time of this machine."""

    id: str
    body: bytes
    headers: dict[str, str]
    said: dict[str, Any]
    at: float

    @property
    def type(self) -> str:
        return str(self.said["type"])

    @property
    def approval(self) -> dict[str, Any]:
        found: dict[str, Any] = self.said["data"]["approval"]
        return found


class Receiver:
    """`tried` is every letter that came, `letters` those it took. Faults are used up one a request:
    a number is a status, a tuple a status and headers, `late` no answer until `let_go` is set,
    `down` a connection that breaks off, `cut` a 200 whose body does; a function says it of each
    letter."""

    def __init__(self, secret: str = SECRET) -> None:
        self.secret = secret
        self.url = ""
        self.tried: list[Letter] = []
        self.letters: list[Letter] = []
        self.forged: list[str] = []
        self.let_go = asyncio.Event()
        self._faults: Iterator[Fault | FaultOf] = iter(())

    def fail(self, *faults: Fault | FaultOf) -> None:
        self._faults = iter(faults)

    def always(self, fault: Fault | FaultOf) -> None:
        self._faults = itertools.repeat(fault)

    def types(self, approval: dict[str, Any] | None = None) -> list[str]:
        """Of the letters it took, as they came: of all, or of those about one approval."""
        return [
            letter.type for letter in self.letters if approval is None or is_of(letter, approval)
        ]

    async def taken(self, number: int, *, within: float = SECONDS) -> list[Letter]:
        """The letters it took, once there are so many."""
        await until(lambda: len(self.letters) >= number, within=within)
        return self.letters

    async def tries(self, number: int, *, within: float = SECONDS) -> list[Letter]:
        """The letters that came, once there are so many."""
        await until(lambda: len(self.tried) >= number, within=within)
        return self.tried

    async def letter(self, kind: str, approval: dict[str, Any] | None = None) -> Letter:
        """The first it took of this type, once there is one."""

        def found() -> list[Letter]:
            about = (one for one in self.letters if approval is None or is_of(one, approval))
            return [one for one in about if one.type == kind]

        await until(found)
        return found()[0]

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """On a free port of this machine."""
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/hook", self._receive)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        try:
            yield self.url
        finally:
            self.let_go.set()
            await runner.cleanup()

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            said = Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError as error:
            self.forged.append(f"{error}: {body[:200]!r}")
            return web.Response(status=401)
        letter = Letter(
            id=headers["webhook-id"], body=body, headers=headers, said=said, at=time.time()
        )
        self.tried.append(letter)
        fault = next(self._faults, 200)
        status, more = await self._broken(request, fault(letter) if callable(fault) else fault)
        if 200 <= status < 300:
            self.letters.append(letter)
        return web.Response(status=status, headers=more)

    async def _broken(self, request: web.Request, fault: Fault) -> tuple[int, dict[str, str]]:
        match fault:
            case int():
                return fault, {}
            case tuple():
                return fault
            case "late":
                await self.let_go.wait()
                return 200, {}
        assert request.transport is not None
        if fault == "cut":
            request.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
        request.transport.close()
        raise web.HTTPServiceUnavailable


def is_of(letter: Letter, approval: dict[str, Any]) -> bool:
    return bool(letter.approval["id"] == approval["id"])


@asynccontextmanager
async def desk(
    folder: Path,
    receivers: dict[str, Receiver],
    *,
    approval: dict[str, Any] | None = None,
    channels: dict[str, dict[str, Any]] | None = None,
    log: bool = False,
    **how: Any,
) -> AsyncIterator[World]:
    """A world whose people are told through these webhooks: every letter that comes is ours.

    `channels` changes what the file says of them, or adds to it.
    """
    async with AsyncExitStack() as stack:
        declared = dict(channels or {})
        for name, receiver in receivers.items():
            url = await stack.enter_async_context(receiver.served())
            said = {"url": url, "secret": receiver.secret, "allow_private": True}
            declared[name] = {**said, **declared.get(name, {})}
        told = [*declared, *(["log"] if log else [])]
        settings = {"timeout": "15m", "channels": told, **(approval or {})}
        more = {"approval": settings, "channels": declared}
        yield await stack.enter_async_context(world(folder, more=more, **how))
    for name, receiver in receivers.items():
        assert receiver.forged == [], name


async def deliveries(w: World, query: str = "", *, by: str = "carol") -> list[dict[str, Any]]:
    """What GET /v1/deliveries lists."""
    found = await w.rest("GET", f"/v1/deliveries?limit=200{query}", by=by)
    assert found.status_code == 200, found.text
    return list(found.json()["deliveries"])


async def ended(w: World, status: str, number: int, *, channel: str = OPS) -> list[dict[str, Any]]:
    """The channel's deliveries of this status, once there are so many."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = await deliveries(w, f"&channel={channel}&status={status}")
            if len(found) >= number:
                return found
            await asyncio.sleep(0.05)


async def redelivered(w: World, delivery_id: str, *, by: str = "carol") -> int:
    """The status of the answer."""
    body = {"id": delivery_id}
    found = await w.rest("POST", "/v1/deliveries/redeliver", by=by, json_body=body)
    return int(found.status_code)


async def until(condition: Callable[[], object], *, within: float = SECONDS) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.02)


def whole(letter: Letter) -> str:
    """Everything of it that went over the wire."""
    return json.dumps(letter.headers) + letter.body.decode()
