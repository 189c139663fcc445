"""The five published policies, pasted unchanged: parked, parked, hidden, hidden, hidden."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mcp.server.mcpserver import MCPServer
from mcp.shared.exceptions import MCPError

from approvals.demo.stage import served
from tests.e2e.world import ERAS, text, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette

pytestmark = pytest.mark.anyio

# As published; the users paste exactly these files.
SEEDS = sorted((Path(__file__).parent.parent / "data").glob("seed-*.json"))
PARKS = ("binance_us_cancel_order", "binance_us_cust_cancel_orders_symbol")
HIDES = ("binance_us_cust_cancel_order", "cancel_order", "BinanceSpotCancelOpenTWAPOrder")


def exchange(ran: list[str]) -> Starlette:
    """A server with the five tools and one that no policy names."""
    server = MCPServer("exchange", log_level="ERROR")
    for name in (*PARKS, *HIDES, "get_price"):

        def tool(symbol: str, name: str = name) -> str:
            ran.append(name)
            return f"did {name} {symbol}"

        server.add_tool(tool, name=name, structured_output=False)
    return server.streamable_http_app(json_response=True)


@pytest.fixture
async def exchange_url() -> AsyncIterator[tuple[str, list[str]]]:
    ran: list[str] = []
    async with served(exchange(ran)) as url:
        yield f"{url}/mcp", ran


def servers(folder: Path, url: str) -> dict[str, Any]:
    """One server entry for each published file."""
    for number, seed in enumerate(SEEDS):
        (folder / f"seed-{number}.json").write_bytes(seed.read_bytes())
    found = {f"s{n}": {"url": url, "policy": f"seed-{n}.json"} for n in range(len(SEEDS))}
    return {"servers": found, "agents": {"bot": {"servers": [*found], "owner": "alice"}}}


@pytest.mark.parametrize("era", ERAS)
async def test_the_two_that_ask_park_the_call_and_deny_everything_else(
    tmp_path: Path, exchange_url: tuple[str, list[str]], era: str
) -> None:
    url, ran = exchange_url
    async with world(tmp_path, more=servers(tmp_path, url)) as w:
        for number, tool in enumerate(PARKS):
            async with w.agent(era, server=f"s{number}") as agent:
                calling = asyncio.create_task(agent.call_tool(tool, {"symbol": "BTCUSD"}))
                [approval] = await w.pending()
                assert (approval["tool"], approval["rule"]) == (tool, f"/tools/{tool}/deny_if/0")
                assert approval["message"] == ""  # the published wording itself is never shown
                assert ran.count(tool) == 0
                await w.approve(approval)
                assert text(await calling) == f"did {tool} BTCUSD"
                assert ran.count(tool) == 1
                other = await agent.call_tool("get_price", {"symbol": "BTCUSD"})
                assert text(other).startswith("NOT EXECUTED: the policy does not allow this call")
        assert sorted(ran) == sorted(PARKS)


@pytest.mark.parametrize("era", ERAS)
async def test_the_three_that_hide_answer_exactly_as_if_there_were_no_such_tool(
    tmp_path: Path, exchange_url: tuple[str, list[str]], era: str
) -> None:
    url, ran = exchange_url
    async with world(tmp_path, more=servers(tmp_path, url)) as w:
        for number, tool in enumerate(HIDES, start=len(PARKS)):
            async with w.agent(era, server=f"s{number}") as agent:
                listed = {entry.name for entry in (await agent.list_tools()).tools}
                assert listed == {*PARKS, *HIDES, "get_price"} - {tool}
                missing = "no_such_tool"
                said = []
                for name in (tool, missing):
                    with pytest.raises(MCPError) as refused:
                        await agent.call_tool(name, {"symbol": "BTCUSD"})
                    said.append(refused.value.error.model_dump_json().replace(name, "NAME"))
                assert said[0] == said[1]
                other = await agent.call_tool("get_price", {"symbol": "BTCUSD"})
                assert text(other).startswith("NOT EXECUTED: the policy does not allow this call")
            body = {"server": f"s{number}", "tool": tool, "arguments": {}}
            hidden = (await w.rest("POST", "/v1/approvals", by="bot", json_body=body)).json()
            body["tool"] = missing
            unknown = (await w.rest("POST", "/v1/approvals", by="bot", json_body=body)).json()
            assert hidden == unknown
            assert hidden["refusal"]["rule"] == "(default deny)"
        assert ran == []
