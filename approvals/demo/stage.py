"""Start the exchange and the service on free ports, with a policy, two people and an agent."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from approvals.app import create_app
from approvals.client import Client
from approvals.config.settings import Settings
from approvals.demo.exchange import Exchange
from approvals.protocol import BoundedHttp
from approvals.service.identity import PersonPrincipal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from starlette.types import ASGIApp

    from approvals.service.services import Services

POLICY = {
    "version": "1",
    "default": "deny",
    "tools": {
        "get_price": {"risk": {"category": "Read"}},
        "binance_us_cancel_order": {
            "require_approval_if": [{"conditions": []}],
            "summary": "Cancel order {orderId} on {symbol}",
            "risk": {
                "category": "Financial",
                "why": "ends a committed trade; a cancelled order cannot be brought back.",
            },
        },
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Everything the demo plays with."""

    exchange: Exchange
    services: Services
    url: str
    agent_key: str
    you: Client


@asynccontextmanager
async def built(
    folder: Path, *, lasting: str, policy: Mapping[str, object] = POLICY
) -> AsyncIterator[Stage]:
    """A running stage; `lasting` is how long a held call waits, as a policy writes it."""
    exchange = Exchange()
    async with served(exchange.app()) as exchange_url:
        config = folder / "approvals.yaml"
        config.write_text(_config(f"{exchange_url}/mcp", policy, lasting))
        settings = Settings(database_url=f"sqlite:///{folder}/demo.db", config=config)
        app = create_app(settings)
        async with served(app) as url:
            services: Services = app.state.services
            agent_key, your_key = await _keys(services)
            with Client(url, your_key) as you:
                yield Stage(
                    exchange=exchange, services=services, url=url, agent_key=agent_key, you=you
                )


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """`app` behind a real HTTP server on a free port of this machine."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = _Server(
        uvicorn.Config(
            app, http=BoundedHttp, log_config=None, access_log=False, timeout_graceful_shutdown=1
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
            if serving.done():
                serving.result()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.leave()
        await serving
        listening.close()


class _Server(uvicorn.Server):
    """Ends at once where uvicorn's own looks for it ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        self.should_exit = True
        self._leaving.set()

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), 0.1)


def _config(exchange_url: str, policy: Mapping[str, object], lasting: str) -> str:
    return json.dumps(
        {
            "servers": {
                "exchange": {
                    "url": exchange_url,
                    "policy": {**policy, "approval": {"timeout": lasting}},
                }
            },
            "agents": {"trader-bot": {"servers": ["exchange"], "owner": "alice"}},
            "people": {"alice": {}, "you": {"roles": ["approver", "admin"]}},
        }
    )


async def _keys(services: Services) -> tuple[str, str]:
    _, yours = await services.identity.first_key("you", label="demo")
    by = await services.identity.principal(yours)
    assert isinstance(by, PersonPrincipal)  # noqa: S101 (the key is yours)
    _, agents = await services.identity.create_key(
        by, person=None, agent="trader-bot", label="demo"
    )
    return agents, yours
