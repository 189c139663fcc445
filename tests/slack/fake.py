"""A Slack that keeps Slack's limits: what the real one would refuse, it refuses.

It stores messages as they are shown, and can fail in the ways in which the real one does.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aiohttp import web
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx2
    from starlette.requests import Request

TEAM, APP, BOT = "T0TEAM", "A0APPROVE", "xoxb-test"
APP_TOKEN = f"xapp-1-{APP}-1-x"
SECRET = "signing-secret-of-the-app"
MEMBERS = {"alice": "U0ALICE", "bob": "U0BOB00", "carol": "U0CAROL", "stranger": "U0NOBODY"}
MAX_ALL = 13_000
LIMITS = {"header": 150, "section": 3000, "context": 2000}


@dataclass
class Message:
    """One message as a person sees it, and everything it ever showed."""

    channel: str
    ts: str
    text: str
    blocks: list[dict[str, Any]]
    thread: str | None
    versions: list[list[dict[str, Any]]] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """All text of it."""
        return "\n".join(texts(self.blocks))

    @property
    def buttons(self) -> dict[str, dict[str, Any]]:
        found = [e for b in self.blocks if b["type"] == "actions" for e in b["elements"]]
        return {button["action_id"]: button for button in found}


class FakeSlack:
    """Its methods, its messages, and its faults. `faults` are used up one per request of a method:
    a number is a status, a tuple a status and headers, a Refusal its error, `late` no answer,
    `lost` done and no answer, `down` no connection that holds. Those of `*` are of every method."""

    def __init__(self, channels: tuple[str, ...] = ("trading", "ops")) -> None:
        self.channels = {name: f"C{number:06}" for number, name in enumerate(channels, start=1)}
        self.messages: dict[tuple[str, str], Message] = {}
        self.ephemeral: list[tuple[str, str, str]] = []
        self.views: list[dict[str, Any]] = []
        self.faults: dict[str, Iterator[Any]] = {}
        self.refused: list[str] = []
        self.calls: list[tuple[str, float]] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.port = 0
        self.tickets: list[str] = []
        self.refused_sockets = 0
        self.acknowledged: list[dict[str, Any]] = []
        self.url = ""
        self._ts = itertools.count(1)
        self._trigger = itertools.count(1)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/{method}", self._answer, methods=["POST"]),
            ]
        )

    @property
    def cards(self) -> list[Message]:
        """Messages that are in no thread, oldest first."""
        return [m for m in self.messages.values() if m.thread is None]

    def replies(self, card: Message) -> list[str]:
        return [m.shown for m in self.messages.values() if m.thread == card.ts]

    def fail(self, method: str, *faults: Any) -> None:
        self.faults[method] = iter(faults)

    def always(self, method: str, fault: Any) -> None:
        self.faults[method] = itertools.repeat(fault)

    async def card(self, number: int = 1) -> Message:
        """The newest card, once there are so many."""
        async with asyncio.timeout(20):
            while len(self.cards) < number:
                await asyncio.sleep(0.02)
        return self.cards[-1]

    async def replied(self, card: Message, number: int) -> list[str]:
        """What stands in the card's thread, once there are so many replies."""
        async with asyncio.timeout(20):
            while len(self.replies(card)) < number:
                await asyncio.sleep(0.02)
        return self.replies(card)

    async def settled(self, card: Message, words: str) -> Message:
        """The card, once it says this."""
        async with asyncio.timeout(20):
            while words not in card.shown:
                await asyncio.sleep(0.02)
        return card

    def copied(self, card: Message) -> Message:
        """The card once more, as Slack keeps it when its reply to us was lost."""
        ts = f"1700000001.{next(self._ts):06}"
        copy = Message(card.channel, ts, card.text, card.blocks, None, [*card.versions])
        self.messages[card.channel, ts] = copy
        return copy

    async def _answer(self, request: Request) -> Response:
        method = request.path_params["method"]
        self.calls.append((method, time.monotonic()))
        fault = next(self.faults.get(method, self.faults.get("*", iter(()))), None)
        if isinstance(fault, int):
            return JSONResponse({"ok": False, "error": "internal_error"}, status_code=fault)
        if isinstance(fault, tuple):
            status, headers = fault
            body = {"ok": False, "error": "ratelimited"}
            return JSONResponse(body, status_code=status, headers=headers)
        if isinstance(fault, Refusal):
            return JSONResponse({"ok": False, "error": str(fault)})
        if fault == "late":
            await asyncio.sleep(3600)
        if fault == "down":
            return broken()
        wanted = APP_TOKEN if method == "apps.connections.open" else BOT
        if request.headers.get("authorization") != f"Bearer {wanted}":
            return JSONResponse({"ok": False, "error": "invalid_auth"})
        said = await request.json() if await request.body() else {}
        try:
            answer = self._do(method, said)
        except Refusal as error:
            self.refused.append(f"{method}: {error}")
            return JSONResponse({"ok": False, "error": str(error)})
        return broken() if fault == "lost" else JSONResponse({"ok": True, **answer})

    def _do(self, method: str, said: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "auth.test":
                return {"team_id": TEAM, "user_id": "U0BOT"}
            case "apps.connections.open":
                ticket = f"secret-ticket-{next(self._trigger)}"
                return {"url": f"ws://127.0.0.1:{self.port}/socket?ticket={ticket}"}
            case "chat.postMessage":
                return self._post(said)
            case "chat.update":
                return self._update(said)
            case "chat.postEphemeral":
                check_text(said["text"])
                self.ephemeral.append((said["channel"], said["user"], said["text"]))
                return {}
            case "views.open":
                check_blocks(said["view"]["blocks"], most=100)
                assert said["trigger_id"]
                self.views.append(said["view"])
                return {"view": said["view"]}
        raise Refusal("unknown_method")

    def _post(self, said: dict[str, Any]) -> dict[str, Any]:
        name = said["channel"].removeprefix("#")
        known = self.channels.get(name, name if name in self.channels.values() else None)
        if known is None:
            raise Refusal("channel_not_found")
        check_message(said)
        ts = f"1700000000.{next(self._ts):06}"
        message = Message(known, ts, said["text"], said["blocks"], said.get("thread_ts"))
        message.versions.append(said["blocks"])
        self.messages[known, ts] = message
        return {"channel": known, "ts": ts}

    def _update(self, said: dict[str, Any]) -> dict[str, Any]:
        message = self.messages.get((said["channel"], said["ts"]))
        if message is None:
            raise Refusal("message_not_found")
        check_message(said, update=True)
        message.text, message.blocks = said["text"], said["blocks"]
        message.versions.append(said["blocks"])
        return {"channel": said["channel"], "ts": said["ts"]}

    @asynccontextmanager
    async def sockets_served(self) -> AsyncIterator[None]:
        """Socket Mode, on a port of its own."""
        app = web.Application()
        app.router.add_get("/socket", self._socket)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self.tickets.append(request.query["ticket"])
        if len(self.tickets) <= self.refused_sockets:
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            self.acknowledged.append(json.loads(message.data))
        self.sockets.remove(socket)
        return socket

    async def over_socket(self, payload: dict[str, Any]) -> None:
        """Send a click over Socket Mode."""
        async with asyncio.timeout(10):
            while not self.sockets:
                await asyncio.sleep(0.02)
        envelope = {"envelope_id": f"e{next(self._trigger)}", "type": "interactive"}
        await self.sockets[-1].send_str(json.dumps({**envelope, "payload": payload}))

    def click(self, card: Message, action: str, *, by: str = "bob") -> dict[str, Any]:
        """What Slack says when somebody presses a button of the card."""
        return self.block_actions(card, card.buttons[action], by=by)

    def block_actions(
        self, card: Message, button: dict[str, Any], *, by: str = "bob"
    ) -> dict[str, Any]:
        names = {id_: name for name, id_ in self.channels.items()}
        pressed = {key: button[key] for key in ("action_id", "value", "type") if key in button}
        return {
            "type": "block_actions",
            "team": {"id": TEAM, "domain": "t"},
            "user": {"id": MEMBERS.get(by, by), "team_id": TEAM},
            "api_app_id": APP,
            "trigger_id": f"t{next(self._trigger)}",
            "container": {
                "type": "message",
                "message_ts": card.ts,
                "channel_id": card.channel,
            },
            "channel": {"id": card.channel, "name": names.get(card.channel, "x")},
            "message": {"ts": card.ts, "blocks": card.blocks},
            "actions": [pressed],
            "response_url": "http://169.254.169.254/never",
        }

    def submission(
        self, *, preset: str | None = None, words: str | None = None, by: str = "bob"
    ) -> dict[str, Any]:
        """The newest dialog, sent off."""
        view = self.views[-1]
        option = {"value": preset, "text": {"type": "plain_text", "text": preset}}
        return {
            "type": "view_submission",
            "team": {"id": TEAM},
            "user": {"id": MEMBERS.get(by, by)},
            "api_app_id": APP,
            "view": {
                "callback_id": view["callback_id"],
                "private_metadata": view["private_metadata"],
                "state": {
                    "values": {
                        "preset": {"preset": {"selected_option": option if preset else None}},
                        "words": {"words": {"value": words}},
                    }
                },
            },
        }


class Refusal(Exception):
    """The error word of Slack's answer."""


def signed(
    payload: dict[str, Any] | bytes, *, at: float | None = None, secret: str = SECRET
) -> tuple[bytes, dict[str, str]]:
    """Body and headers as Slack sends them."""
    body = (
        payload
        if isinstance(payload, bytes)
        else urlencode({"payload": json.dumps(payload)}).encode()
    )
    timestamp = str(int(time.time() if at is None else at))
    base = b"v0:" + timestamp.encode() + b":" + body
    digest = hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()
    return body, {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": timestamp,
        "x-slack-signature": f"v0={digest}",
    }


async def press(
    http: httpx2.AsyncClient, url: str, payload: dict[str, Any] | bytes, **how: Any
) -> httpx2.Response:
    """Send a click, signed."""
    body, headers = signed(payload, **how)
    return await http.post(f"{url}/slack/interactions", content=body, headers=headers)


def texts(value: Any) -> Iterator[str]:
    """All text in blocks, in order."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value["text"]
        for member in value.values():
            yield from texts(member)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def check_message(said: dict[str, Any], *, update: bool = False) -> None:
    check_text(said["text"])
    assert said["parse"] == "none"
    assert said["link_names"] is False
    if not update:
        assert said["mrkdwn"] is False
        assert said["unfurl_links"] is said["unfurl_media"] is False
    check_blocks(said["blocks"], most=50)
    size = len(said["text"]) + sum(map(len, texts(said["blocks"])))
    if size > MAX_ALL:
        raise Refusal("msg_blocks_too_long")


def check_text(text: str) -> None:
    """Nothing in it is markup."""
    if "<" in text or ">" in text:
        raise Refusal("it_would_render")
    for part in text.split("&")[1:]:
        if not part.startswith(("amp;", "lt;", "gt;")):
            raise Refusal("it_would_render")


def check_blocks(blocks: list[dict[str, Any]], *, most: int) -> None:
    if not 1 <= len(blocks) <= most:
        raise Refusal("invalid_blocks")
    for block in blocks:
        check_block(block)


def check_block(block: dict[str, Any]) -> None:
    kind = block["type"]
    for text in objects(block):
        if text["type"] == "mrkdwn":
            raise Refusal("mrkdwn")
        if text["type"] == "plain_text" and text.get("emoji") is not False:
            raise Refusal("emoji")
        if not text["text"] or len(text["text"]) > LIMITS.get(kind, 3000):
            raise Refusal("invalid_blocks")
    if kind == "section" and any(len(f["text"]) > 2000 for f in block.get("fields", [])):
        raise Refusal("invalid_blocks")
    if len(block.get("fields", [])) > 10 or len(block.get("elements", [])) > 25:
        raise Refusal("invalid_blocks")
    if kind == "context" and len(block["elements"]) > 10:
        raise Refusal("invalid_blocks")
    for button in block.get("elements", []) if kind == "actions" else []:
        check_button(button)


def check_button(button: dict[str, Any]) -> None:
    if len(button["text"]["text"]) > 75 or len(button.get("value", "")) > 2000:
        raise Refusal("invalid_blocks")
    if len(button["action_id"]) > 255:
        raise Refusal("invalid_blocks")
    confirm = button.get("confirm")
    if confirm and (len(confirm["title"]["text"]) > 100 or len(confirm["text"]["text"]) > 300):
        raise Refusal("invalid_blocks")


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """All text objects in a block."""
    if isinstance(value, dict):
        if value.get("type") in {"plain_text", "mrkdwn"}:
            yield value
        for member in value.values():
            yield from objects(member)
    elif isinstance(value, list):
        for item in value:
            yield from objects(item)


def broken() -> Response:
    """An answer that breaks off."""
    return Response(b"{", headers={"content-length": "100", "content-type": "application/json"})
