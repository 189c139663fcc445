"""What authors of plug-ins run their own channels against.

Needs pytest with anyio's plug-in. Nothing of the running service is imported here.
"""

from approvals.testing.channel import ChannelContract, notice

__all__ = ["ChannelContract", "notice"]
