"""What an attacker may try, byte for byte, and what a person does meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx2
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    PROTOCOL_VERSION_META_KEY,
)
from mcp_types.version import LATEST_MODERN_VERSION

from approvals.domain.card import card
from approvals.domain.states import Status
from approvals.ports import ListFilter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from approvals.demo.stage import Stage
    from approvals.domain.card import Card
    from approvals.domain.states import Approval

WITHDRAW = "withdraw"
_META = {
    PROTOCOL_VERSION_META_KEY: LATEST_MODERN_VERSION,
    CLIENT_INFO_META_KEY: {"name": "attacker", "version": "1"},
    CLIENT_CAPABILITIES_META_KEY: {},
}
_LOOK_AGAIN = timedelta(milliseconds=10)
_ENDS_WITHIN = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How an attack ended; `said` explains it in one line."""

    stopped: bool
    said: str


class NotHeld(Exception):
    """A call that needs a person came back without one."""


class Attacker:
    """Has the keys of the agent, of its owner Alice and of you; remembers what you approved."""

    def __init__(self, stage: Stage, http: httpx2.AsyncClient, *, alice: str, you: str) -> None:
        self.services = stage.services
        self.exchange = stage.exchange
        self._url = stage.url
        self._http = http
        self._keys = {"agent": stage.agent_key, "alice": alice, "you": you}
        self._calls: list[asyncio.Task[httpx2.Response]] = []
        self._seen: set[str] = set()
        self._approved: dict[str, tuple[str, str]] = {}

    @property
    def unapproved(self) -> int:
        """How many requests the exchange received beyond one for each approval of yours."""
        return (Counter(self.exchange.received) - Counter(self._approved.values())).total()

    async def rest(
        self, by: str, path: str, body: Mapping[str, object], **headers: str
    ) -> httpx2.Response:
        """One POST under /v1/approvals, with somebody's key."""
        return await self._http.post(
            f"{self._url}/v1/approvals{path}",
            json=body,
            headers={"authorization": f"Bearer {self._keys[by]}", **headers},
        )

    async def approve(self, approval: Approval) -> httpx2.Response:
        """You read the call and approve it."""
        answer = await self.rest("you", f"/{approval.id}/approve", {"digest": approval.digest})
        if answer.is_success:
            self._approved[approval.id] = (approval.call.tool, approval.call.arguments)
        return answer

    async def deny(self, approval: Approval) -> None:
        """You read the call and deny it."""
        await self.rest("you", f"/{approval.id}/deny", {})

    def call(self, arguments: str, *, tool: str = WITHDRAW) -> asyncio.Task[httpx2.Response]:
        """The agent calls over MCP, with arguments exactly as written, and waits."""
        calling = asyncio.create_task(self._call(arguments, tool))
        self._calls.append(calling)
        return calling

    async def sends(self, arguments: str, *, tool: str = WITHDRAW) -> Approval | httpx2.Response:
        """The agent calls: now either you are asked or it has an answer."""
        calling = self.call(arguments, tool=tool)
        while not calling.done():
            if asked := await self._asked():
                return asked
            await asyncio.sleep(_LOOK_AGAIN.total_seconds())
        return await calling

    async def held(self, arguments: str, *, tool: str = WITHDRAW) -> Approval:
        """The agent calls and you are asked. Raises NotHeld where you are not."""
        found = await self.sends(arguments, tool=tool)
        if isinstance(found, httpx2.Response):
            raise NotHeld(f"nobody was asked ({found.status_code})")
        return found

    def shown(self, approval: Approval) -> Card:
        """The card you see."""
        directory = self.services.rules.current.directory
        return card(approval, directory=directory, now=self.services.clock.now())

    async def leave(self) -> None:
        """Withdraw what still waits, until every call has ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_ENDS_WITHIN.total_seconds()):
                while not all(calling.done() for calling in self._calls):
                    for approval in await self._waiting():
                        await self.rest("you", f"/{approval.id}/cancel", {})
                    await asyncio.sleep(_LOOK_AGAIN.total_seconds())
        for calling in self._calls:
            calling.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        self._calls.clear()

    async def _asked(self) -> Approval | None:
        """The one that you are asked about now and were not before."""
        for approval in await self._waiting():
            if approval.id not in self._seen:
                self._seen.add(approval.id)
                return approval
        return None

    async def _waiting(self) -> Sequence[Approval]:
        pending = ListFilter(statuses=frozenset({Status.PENDING}), limit=10)
        return (await self.services.store.page(pending)).approvals

    async def _call(self, arguments: str, tool: str) -> httpx2.Response:
        body = (
            '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":'
            f'{json.dumps(tool)},"arguments":{arguments},"_meta":{json.dumps(_META)}}}}}'
        )
        headers = {
            "authorization": f"Bearer {self._keys['agent']}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": LATEST_MODERN_VERSION,
            "mcp-method": "tools/call",
            "mcp-name": tool,
        }
        return await self._http.post(
            f"{self._url}/mcp/exchange", content=body.encode(), headers=headers
        )


@asynccontextmanager
async def attacking(stage: Stage) -> AsyncIterator[Attacker]:
    """An attacker on `stage`, whose keys are made for it."""
    identity = stage.services.identity
    _, alice = await identity.first_key("alice", label="demo")
    _, you = await identity.first_key("you", label="demo")
    async with httpx2.AsyncClient(timeout=60, trust_env=False) as http:
        yield Attacker(stage, http, alice=alice, you=you)
