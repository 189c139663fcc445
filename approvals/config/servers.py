"""One entry of `servers`: what an MCP client's `mcpServers` block says, unchanged, and a policy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from approvals.config.expand import Expansion, refuse_forms
from approvals.domain.rulebook import CommandServer, HttpServer, Server
from approvals.errors import InvalidInput
from approvals.outbound import check_target

if TYPE_CHECKING:
    from approvals.domain.policy.model import Policy
    from approvals.domain.policy.reading import Place

_OF_COMMAND = ("args", "env", "cwd")
_OF_URL = ("headers",)
_OF_CLIENTS = ("disabled", "timeout", "autoApprove", "alwaysAllow", "description")
"""What clients note there for themselves; whether a call runs is for the policy to say."""
_KEYS = (
    "command",
    *_OF_COMMAND,
    "url",
    *_OF_URL,
    "type",
    "transport",
    "policy",
    *_OF_CLIENTS,
)
_STDIO = "stdio"
_TRANSPORTS = (_STDIO, "http", "streamable-http", "streamable_http", "streamableHttp")

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A field name of RFC 9110, section 5.1."""
_OURS = frozenset(
    {
        "host",
        "content-length",
        "content-type",
        "accept",
        "connection",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
    }
)
_OUR_PREFIXES = ("proxy-", "mcp-")


def read_server(
    name: str, place: Place, *, policy: Policy | None, expansion: Expansion
) -> Server | None:
    """The server, or None when something that it cannot be without is wrong."""
    place.only(_KEYS)
    _check_kind(place)
    url = read_url(place.child("url"))
    headers = _headers(place.child("headers"), expansion)
    command = _command(place.child("command"))
    args = tuple(_plain(item) or "" for item in place.child("args").items())
    env = _env(place.child("env"), expansion)
    cwd = _plain(place.child("cwd"))
    if policy is None:
        return None
    if url is not None:
        return HttpServer(name=name, policy=policy, url=url, headers=headers)
    if command is not None:
        return CommandServer(name=name, policy=policy, command=command, args=args, env=env, cwd=cwd)
    return None


def read_url(place: Place, *, allow_private: bool = True) -> str | None:
    """A URL that can be fetched; None when it is missing or wrong."""
    text = place.text()
    if text is None or refuse_forms(place):
        return None
    try:
        return check_target(text, allow_private=allow_private)
    except InvalidInput as error:
        place.wrong(str(error))
        return None


def _check_kind(place: Place) -> None:
    """Exactly one of `command` and `url`, and nothing beside it that belongs to the other."""
    if not isinstance(place.value, dict):
        return
    command, url = place.child("command").exists, place.child("url").exists
    if command and url:
        place.wrong("has both `command` and `url`; keep the one by which it is reached")
    elif not command and not url:
        place.wrong(
            "has neither `command`, which starts the server, nor `url`, its streamable HTTP "
            "endpoint; say one"
        )
    else:
        _check_beside(place, says="command" if command else "url")
    for key in ("type", "transport"):
        _check_transport(place.child(key), command=command, url=url)


def _check_beside(place: Place, *, says: str) -> None:
    other, keys = ("url", _OF_URL) if says == "command" else ("command", _OF_COMMAND)
    for key in keys:
        if place.child(key).exists:
            place.child(key).wrong(f"goes with `{other}`, and this server has `{says}`; remove it")


def _check_transport(place: Place, *, command: bool, url: bool) -> None:
    if place.value == "sse":
        place.wrong(
            "the old SSE transport is not supported; give the `url` of the server's streamable "
            "HTTP endpoint and leave this out"
        )
        return
    chosen = place.one_of(_TRANSPORTS)
    if chosen == _STDIO and url:
        place.wrong("is stdio, which goes with `command`, and this server has `url`; leave it out")
    elif chosen not in {None, _STDIO} and command:
        place.wrong(f"is {chosen}, which goes with `url`, and this server has `command`")


def _command(place: Place) -> str | None:
    text = _plain(place)
    if text is not None and not text.strip():
        place.wrong("is empty; name the program that is the server")
        return None
    return text


def _plain(place: Place) -> str | None:
    """A text that is used as it stands."""
    text = place.text()
    if text is None or refuse_forms(place) or _has_nul(place, text):
        return None
    return text


def _has_nul(place: Place, text: str) -> bool:
    if "\0" in text:
        place.wrong("has a NUL character, which no program can be given; remove it")
    return "\0" in text


def _env(places: Place, expansion: Expansion) -> tuple[tuple[str, str], ...]:
    found = []
    for name, place in places.members():
        if not _VARIABLE.fullmatch(name):
            place.wrong("is no name of a variable: use letters, digits and _, no digit first")
        value = expansion.text(place)
        if value is not None and not _has_nul(place, value):
            found.append((name, value))
    return tuple(found)


def _headers(places: Place, expansion: Expansion) -> tuple[tuple[str, str], ...]:
    found = []
    said: set[str] = set()
    for name, place in places.members():
        _check_header_name(name, place, said)
        said.add(name.lower())
        value = expansion.text(place)
        if value is not None and _is_header_value(place, value):
            found.append((name, value))
    return tuple(found)


def _check_header_name(name: str, place: Place, said: set[str]) -> None:
    low = name.lower()
    if not _TOKEN.fullmatch(name):
        place.wrong("is no header name: use letters, digits and -, without spaces and colons")
    elif low in _OURS or low.startswith(_OUR_PREFIXES):
        place.wrong("is a header that the gateway sets itself; remove it")
    elif low in said:
        place.wrong("is there twice, as case makes no difference in header names; keep one")


def _is_header_value(place: Place, value: str) -> bool:
    fits = value.isascii() and value.isprintable() and value == value.strip()
    if not fits:
        place.wrong(
            "must be printable ASCII in one line, without spaces at its ends (after expansion)"
        )
    return fits
