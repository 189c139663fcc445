"""`approvals demo`: a toy exchange, a real gateway, a real agent, on this machine."""
