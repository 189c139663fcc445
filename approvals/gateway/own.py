"""Requests that the gateway makes for itself: reading a tool list, sending an approved call."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
)
from mcp_types.version import LATEST_MODERN_VERSION

from approvals import __version__
from approvals.domain.strictjson import Json, canonical, parse, quoted
from approvals.errors import Unavailable
from approvals.gateway.messages import Message
from approvals.ports import Answered, Asks, Given, SendOutcome, Unanswered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from approvals.gateway.catalogue import Entry

    Ask = Callable[["OwnRequest"], Awaitable[dict[str, Json] | None]]

MAX_PAGES = 100


OWN_META: dict[str, Json] = {
    PROTOCOL_VERSION_META_KEY: LATEST_MODERN_VERSION,
    CLIENT_INFO_META_KEY: {"name": "approvals", "version": __version__},
    CLIENT_CAPABILITIES_META_KEY: {},
}
OWN_MESSAGE = Message(
    body={},
    method="tools/call",
    id=None,
    has_id=False,
    params={"_meta": OWN_META},
)
"""What stands for a client's request where the gateway sends on its own."""


class OwnRequest:
    """A request of the gateway's own; its id is like no other in the session."""

    __slots__ = ("body", "id", "method")

    def __init__(self, method: str, params: str, id_: str | None = None) -> None:
        """`params` is JSON text."""
        self.id = id_ or _new_id()
        self.method = method
        self.body = (
            f'{{"jsonrpc":"2.0","id":"{self.id}","method":{quoted(method)},"params":{params}}}'
        ).encode()


def call_request(
    tool: str,
    arguments: str,
    message: Message,
    *,
    given: Given | None = None,
    hears: bool = False,
    asks: bool = False,
) -> OwnRequest:
    """The one `tools/call` of a release: the approved canonical arguments as they stand.

    `given` are answers to what the server asked in the one before; `hears`: somebody waits who is
    told what the server says meanwhile; `asks`: the server may ask for input.
    """
    id_ = _new_id()
    meta = _meta(message, asks=asks)
    if hears:
        meta |= {key: message.meta[key] for key in (LOG_LEVEL_META_KEY,) if key in message.meta}
        meta |= {"progressToken": id_} if "progressToken" in message.meta else {}
    params = f'"arguments":{arguments},"name":{quoted(tool)}'
    if given is not None:
        params += f',"inputResponses":{canonical(given.responses)}'
        params += f',"requestState":{quoted(given.state)}' if given.state is not None else ""
    params += f',"_meta":{canonical(meta)}' if meta else ""
    return OwnRequest("tools/call", f"{{{params}}}", id_)


def cancellation(id_: str) -> bytes:
    """`notifications/cancelled` for a request of the gateway's own."""
    params: dict[str, Json] = {"requestId": id_, "reason": "nobody waits for it any more"}
    note: dict[str, Json] = {"method": "notifications/cancelled", "params": params}
    return canonical({"jsonrpc": "2.0", **note}).encode()


def page_request(cursor: Json, message: Message) -> OwnRequest:
    """A `tools/list` for one page."""
    meta = _meta(message)
    inside = [f'"cursor":{quoted(cursor)}'] if isinstance(cursor, str) else []
    inside += [f'"_meta":{canonical(meta)}'] if meta else []
    return OwnRequest("tools/list", "{" + ",".join(inside) + "}")


def can_be_asked(message: Message, hears: object = None) -> bool:
    """Whether a server's question reaches this client: in the 2026 era it says so itself, in the
    older one somebody hears what the server says meanwhile."""
    return bool(_abilities(message)) if message.is_modern else hears is not None


def _abilities(message: Message) -> dict[str, Json]:
    """What the client can be asked for. Not its extensions: those the gateway speaks itself."""
    said = message.meta.get(CLIENT_CAPABILITIES_META_KEY)
    known = said if isinstance(said, dict) else {}
    return {name: value for name, value in known.items() if name != "extensions"}


def _meta(message: Message, *, asks: bool = False) -> dict[str, Json]:
    """The `_meta` of the 2026 era: who asks, and what can be asked back, else nothing."""
    if not message.is_modern:
        return {}
    kept = {
        key: message.meta[key]
        for key in (PROTOCOL_VERSION_META_KEY, CLIENT_INFO_META_KEY)
        if key in message.meta
    }
    return {**kept, CLIENT_CAPABILITIES_META_KEY: _abilities(message) if asks else {}}


def _new_id() -> str:
    return f"approvals-{secrets.token_hex(16)}"


async def read_tools(ask: Ask, message: Message) -> list[Entry]:
    """Every page of the server's list. Raises Unavailable when it cannot be had whole."""
    tools: list[Entry] = []
    cursor: Json = None
    for _ in range(MAX_PAGES):
        response = await ask(page_request(cursor, message))
        page = response.get("result") if response else None
        if not isinstance(page, dict):
            raise Unavailable("The server did not give its tool list.")
        listed = page.get("tools")
        tools += [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
        cursor = page.get("nextCursor")
        if not isinstance(cursor, str):
            return tools
    raise Unavailable("The server's tool list does not end.")


def response_to(raw: bytes, id_: str) -> dict[str, Json] | None:
    """The message, if it is the response to the request with this id. Raises InvalidJson.

    An error without an id is taken too: the server could not read whose it was.
    """
    body = parse(raw) if raw.strip() else None
    return body if isinstance(body, dict) and is_response(body, id_) else None


def is_response(body: Mapping[str, Json], id_: str) -> bool:
    """Whether it is the response to the request with this id."""
    if "method" in body:
        return False
    ours = body.get("id") == id_
    theirs = "error" in body and body.get("id") is None
    return (ours and ("result" in body or "error" in body)) or theirs


def answered(response: Mapping[str, Json], *, asks: bool = False) -> SendOutcome:
    """What the response to the one `tools/call` says of it. `asks`: it may ask for input."""
    error, result = response.get("error"), response.get("result")
    if isinstance(error, dict):
        return Answered(result=None, error=error, is_error=True, detail="The server refused it.")
    if not isinstance(result, dict):
        return Unanswered(why="the answer is no result")
    if asks and result.get("resultType") == "input_required":
        return Asks(result=result)
    if result.get("resultType") not in {None, "complete"}:
        return Answered(
            result=None,
            error=None,
            is_error=True,
            detail="The server asked for input nobody approved.",
        )
    return Answered(result=result, error=None, is_error=result.get("isError") is True)
