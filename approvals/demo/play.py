"""The demo's script: three calls of an agent, one of them held until somebody answers."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import httpx2
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from approvals.demo.stage import Stage, built
from approvals.domain.card import card
from approvals.domain.states import Approval, Status
from approvals.ports import ListFilter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Answer = Literal["approve", "deny", "nothing", "quit"]
ORDER = 12345
CANCEL = {"symbol": "BTCUSD", "orderId": ORDER}
TOOL = "binance_us_cancel_order"
_LONG = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """How the demo is played: `ask` gives the person's answer once the call is held."""

    ask: Callable[[], Awaitable[Answer]]
    timeout: str
    say: Callable[[str], None]


async def play(script: Script) -> None:
    """The whole transcript of API.md, with everything in it really happening."""
    with tempfile.TemporaryDirectory(prefix="approvals-demo-") as folder:
        async with built(Path(folder), lasting=script.timeout) as stage:
            await _Play(stage, script).run()


class _Play:
    def __init__(self, stage: Stage, script: Script) -> None:
        self._stage = stage
        self._script = script
        self._say = script.say

    async def run(self) -> None:
        self._introduce()
        headers = {"authorization": f"Bearer {self._stage.agent_key}"}
        async with httpx2.AsyncClient(headers=headers, timeout=120, trust_env=False) as http:
            transport = streamable_http_client(f"{self._stage.url}/mcp/exchange", http_client=http)
            async with McpClient(transport) as agent:
                await self._scenes(agent)

    def _introduce(self) -> None:
        [(number, order)] = self._stage.exchange.open_orders.items()
        self._say("A toy exchange, a real gateway, a real agent. All on this machine.")
        self._say(f"  exchange   open order {number}: {order}")
        self._say("  policy     get_price runs · cancelling needs you · the rest is denied")

    async def _scenes(self, agent: McpClient) -> None:
        price = _text(await agent.call_tool("get_price", {"symbol": "BTCUSD"}))
        self._line("agent", "get_price BTCUSD", f"ran: {price}")
        blocked = await agent.call_tool("withdraw", {"amount": 0.5, "currency": "BTC"})
        self._line("agent", "withdraw 0.5 BTC", _verdict(blocked))
        asked_at = time.monotonic()
        calling = asyncio.create_task(agent.call_tool(TOOL, CANCEL))
        approval = await self._held()
        self._line("agent", TOOL, f"HELD: exchange saw {self._requests()}")
        self._card(approval)
        answer = await self._script.ask()
        if answer == "quit":
            calling.cancel()
            self._say("  left undecided, so it was not sent")
            return
        await self._decide(answer, approval)
        result = await calling
        self._outcome(answer, result, time.monotonic() - asked_at)
        await self._once_more(agent)
        self._say("  Next: README.md puts it in front of your own server.")

    async def _decide(self, answer: Answer, approval: Approval) -> None:
        you = self._stage.you
        if answer == "approve":
            await asyncio.to_thread(you.approve, approval.id, approval.digest)
            self._line("you", "approved")
        elif answer == "deny":
            await asyncio.to_thread(you.deny, approval.id)
            self._line("you", "denied")
        else:
            until = self._stage.services.waiting.until
            await until(approval.id, lambda found: found.status is Status.EXPIRED, within=_LONG)
            self._line("nobody", "answered: denied")

    def _outcome(self, answer: Answer, result: CallToolResult, seconds: float) -> None:
        requests = self._stage.exchange.requests
        if answer == "approve":
            self._line("gateway", "sent once, exactly as shown")
            state = "still open" if ORDER in self._stage.exchange.open_orders else "CANCELED"
            self._line("exchange", f"order {ORDER} {state} (requests received: {requests})")
            self._line("agent", f"got the result after {seconds:.1f} s")
            return
        self._line("exchange", f"order {ORDER} still open (requests received: {requests})")
        told, _, _ = _text(result).partition(". ")
        self._line("agent", f"was told: {told}.")

    async def _once_more(self, agent: McpClient) -> None:
        before = self._stage.exchange.requests
        again = asyncio.create_task(agent.call_tool(TOOL, CANCEL))
        held = asyncio.create_task(self._held())
        await asyncio.wait({again, held}, return_when=asyncio.FIRST_COMPLETED)
        ran = "not run" if self._stage.exchange.requests == before else "RUN AGAIN"
        if again.done():
            held.cancel()
            self._line("agent", "the same call again", f"denied as before: {ran}")
            return
        self._line("agent", "the same call again", f"HELD: asked anew, {ran}")
        await asyncio.to_thread(self._stage.you.cancel, (await held).id)
        await again

    async def _held(self) -> Approval:
        """The newest pending approval, once there is one."""
        waiting = ListFilter(statuses=frozenset({Status.PENDING}), limit=1)
        while not (found := (await self._stage.services.store.page(waiting)).approvals):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return found[0]

    def _card(self, approval: Approval) -> None:
        services = self._stage.services
        directory = services.rules.current.directory
        shown = card(approval, directory=directory, now=services.clock.now())
        self._say(f"  {shown.risk:<26}  denied at {_clock(approval.expires_at)} if you do nothing")
        self._say(f"    {shown.question}")
        for argument in shown.arguments:
            self._say(f"      {argument.name:<10} {argument.value}")
        call = approval.call
        self._say(f"    asked by {call.agent} on {call.server}, owner {call.owner.title()}")

    def _requests(self) -> str:
        return str(self._stage.exchange.requests or "nothing")

    def _line(self, who: str, what: str, came: str = "") -> None:
        now = time.strftime("%H:%M:%S", time.gmtime())
        self._say(f"{now}  {who:<9} {what:<30} {came}".rstrip())


def _text(result: CallToolResult) -> str:
    return " ".join(part.text for part in result.content if isinstance(part, TextContent))


def _verdict(result: CallToolResult) -> str:
    text = _text(result)
    return "blocked by policy" if "the policy does not allow" in text else f"ran: {text}"


def _clock(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}"
