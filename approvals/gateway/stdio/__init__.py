"""Servers that are started as processes and speak over their standard streams."""
