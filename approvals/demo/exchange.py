"""A toy exchange as an MCP server; it counts every request that would change something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.server.mcpserver import MCPServer

if TYPE_CHECKING:
    from starlette.applications import Starlette

PRICES = {"BTCUSD": "96,412.50"}


class Exchange:
    """One open order, and what was asked of it."""

    def __init__(self) -> None:
        self.open_orders = {12345: "sell 0.50 BTCUSD at 97,250"}
        self.requests = 0

    def app(self) -> Starlette:
        """The MCP server over streamable HTTP."""
        server = MCPServer("exchange", log_level="WARNING")

        @server.tool(structured_output=False)
        def get_price(symbol: str) -> str:
            """The last price of a symbol."""
            return PRICES[symbol]

        @server.tool(structured_output=False)
        def withdraw(amount: float, currency: str) -> str:
            """Send money out of the exchange."""
            self.requests += 1
            return f"sent {amount} {currency}"

        @server.tool(structured_output=False)
        def binance_us_cancel_order(symbol: str, orderId: int) -> str:  # noqa: N803 (its schema)
            """Cancel an active order on the exchange."""
            self.requests += 1
            self.open_orders.pop(orderId)
            return f"order {orderId} on {symbol} CANCELED"

        return server.streamable_http_app()
