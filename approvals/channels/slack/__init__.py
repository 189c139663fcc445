"""Slack: cards with buttons, and the clicks that come back (CHANNELS.md, "Slack")."""
