"""An MCP server made with the SDK, with one harmless tool: `python -m bench.sdk_server PORT`."""

from __future__ import annotations

import sys

import uvicorn
from mcp.server.mcpserver import MCPServer


def look(quantity: float) -> str:
    """See what an order would cost."""
    return f"about {quantity}"


def main() -> None:
    """Serve both eras on loopback."""
    server = MCPServer("bench", log_level="ERROR")
    server.add_tool(look, structured_output=False)
    app = server.streamable_http_app(json_response=True)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")


if __name__ == "__main__":
    main()
