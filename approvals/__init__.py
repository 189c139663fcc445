"""Human-in-the-loop approval for the tool calls of AI agents, with the MCP gateway in front."""

__version__ = "0.1.0"
