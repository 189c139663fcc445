"""The MCP gateway: one endpoint per server, a relay that holds tool calls."""
