"""What each server offers, asked as a client would ask it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from os import SEEK_END
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from approvals.cli.init.writing import AGENT, is_nameable
from approvals.config.expand import Expansion
from approvals.config.settings import environment
from approvals.domain.call import Call, Executor, read_definition
from approvals.domain.display import visible
from approvals.domain.policy.document import ask_policy
from approvals.domain.policy.evaluate import judge
from approvals.domain.policy.reading import Place, Problems
from approvals.domain.risk import Category

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from approvals.cli.init.entries import Entry
    from approvals.domain.call import ToolDefinition

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The built-in policy does not look at the time."""
WITHIN = 30.0
MAX_PAGES = 100
MAX_SAID = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A server, and the category of each of its tools; None: it did not say."""

    entry: Entry
    tools: Mapping[str, Category] | None = None
    why: str = ""

    @property
    def said(self) -> str:
        if self.tools is None:
            return f"its tools could not be listed ({self.why}); its policy asks about all that act"
        reading = sum(category is Category.READ for category in self.tools.values())
        unnamed = [tool for tool in self.tools if not is_nameable(tool)]
        denied = f"; denied, as no policy can name it: {', '.join(unnamed)}" if unnamed else ""
        counts = f"{len(self.tools)} tools, {reading} only read"
        return f"{counts}, a person is asked about the others{denied}"


async def listed(entries: Mapping[str, Entry]) -> dict[str, Listed]:
    """All servers at once, each for at most 30 s."""
    logging.getLogger("mcp").addHandler(logging.NullHandler())  # else it prints each greeting
    found = await asyncio.gather(*(_listed(entry) for entry in entries.values()))
    return dict(zip(entries, found, strict=True))


async def _listed(entry: Entry) -> Listed:
    with TemporaryFile("w+") as stderr:
        try:
            async with asyncio.timeout(WITHIN):
                return Listed(entry=entry, tools=await _tools(entry, stderr))
        except TimeoutError:
            return Listed(entry=entry, why=f"no answer within {WITHIN:.0f} s")
        except Exception as error:  # noqa: BLE001 (a server may fail in any way)
            return Listed(entry=entry, why=f"{_reason(error)}{_last_line(stderr)}")


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return visible(f"{type(error).__name__}: {error}".splitlines()[0])[:MAX_SAID]


def _last_line(stderr: TextIO) -> str:
    """What a server wrote last is of use if it came to nothing, and in the way if it did not."""
    written = stderr.buffer
    written.seek(max(0, written.seek(0, SEEK_END) - MAX_SAID))
    lines = [line for line in written.read().decode(errors="replace").splitlines() if line.strip()]
    return f"; it wrote: {visible(lines[-1])}" if lines else ""


async def _tools(entry: Entry, stderr: TextIO) -> dict[str, Category]:
    expanded = _expanded(entry)
    if "url" not in entry:
        parameters = StdioServerParameters.model_validate(expanded)
        async with Client(stdio_client(parameters, errlog=stderr)) as client:
            return await _named(client)
    async with httpx2.AsyncClient(
        headers=expanded.get("headers"), timeout=WITHIN, trust_env=False
    ) as http:
        transport = streamable_http_client(str(expanded["url"]), http_client=http)
        async with Client(transport) as client:
            return await _named(client)


def _expanded(entry: Entry) -> dict[str, Any]:
    """With `${NAME}` replaced, as the client that wrote it does."""
    expansion = Expansion(folder=Path(), environ=environment())
    top = Place(entry, "", Problems())
    told: dict[str, Any] = {
        key: {name: expansion.text(place) or "" for name, place in top.child(key).members()}
        for key in ("env", "headers")
        if key in entry
    }
    return {**{key: value for key, value in entry.items() if key != "type"}, **told}


def _category(tool: str, definition: ToolDefinition) -> Category:
    """As the built-in policy sees it."""
    call = Call(
        executor=Executor.GATEWAY,
        server="server",
        tool=tool,
        arguments="{}",
        agent=AGENT,
        owner=AGENT,
        definition=definition,
    )
    return judge(ask_policy(), call, now=EPOCH).risk.category


async def _named(client: Client) -> dict[str, Category]:
    found: dict[str, Category] = {}
    cursor = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            entry = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
            category = _category(tool.name, read_definition(entry))
            if found.get(tool.name, Category.READ) is Category.READ:  # listed twice: its worst
                found[tool.name] = category
        cursor = page.next_cursor
        if cursor is None:
            break
    return found
