"""A toy exchange as an MCP server; it counts every request that would change something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.server.mcpserver import MCPServer

from approvals.domain.strictjson import canonical, parse
from approvals.errors import InvalidJson

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PRICES = {"BTCUSD": "96,412.50"}
READS = frozenset({"get_price"})


class Exchange:
    """One open order, and what was asked of it: tool and exact arguments of each request that would
    change something, in the order in which they came over the wire."""

    def __init__(self) -> None:
        self.open_orders = {12345: "sell 0.50 BTCUSD at 97,250"}
        self.received: list[tuple[str, str]] = []

    @property
    def requests(self) -> int:
        """How many came, whatever became of them."""
        return len(self.received)

    def app(self) -> Starlette:
        """The MCP server over streamable HTTP."""
        server = MCPServer("exchange", log_level="WARNING")

        @server.tool(structured_output=False)
        def get_price(symbol: str) -> str:
            """The last price of a symbol."""
            return PRICES[symbol]

        @server.tool(structured_output=False)
        def withdraw(amount: float, currency: str, memo: str = "") -> str:
            """Send money out of the exchange."""
            del memo
            return f"sent {amount} {currency}"

        @server.tool(structured_output=False)
        def binance_us_cancel_order(symbol: str, orderId: int) -> str:  # noqa: N803 (its schema)
            """Cancel an active order on the exchange."""
            self.open_orders.pop(orderId)
            return f"order {orderId} on {symbol} CANCELED"

        app = server.streamable_http_app()
        app.add_middleware(_Counted, exchange=self)
        return app

    def count(self, body: bytes) -> None:
        """Note what a request asks, before any tool runs; what is no strict JSON as it came."""
        try:
            message = parse(body)
        except InvalidJson:
            self.received.append(("", body.decode(errors="replace")))
            return
        match message:
            case {"method": "tools/call", "params": {"name": str(tool), **params}}:
                if tool not in READS:
                    self.received.append((tool, canonical(params.get("arguments"))))


class _Counted:
    """Shows the exchange each request whole."""

    def __init__(self, app: ASGIApp, *, exchange: Exchange) -> None:
        self._app = app
        self._exchange = exchange

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""

        async def counted() -> Message:
            nonlocal body
            message = await receive()
            body += message.get("body", b"")
            if message["type"] == "http.request" and body and not message.get("more_body"):
                self._exchange.count(body)
                body = b""
            return message

        await self._app(scope, counted, send)
