"""The reference of P10: a proxy of the library fastmcp over one connected client.

`python bench/fastmcp_proxy.py URL PORT`, with the Python of `.venv-bench`.
"""

from __future__ import annotations

import asyncio
import sys

from fastmcp import Client  # type: ignore[import-not-found]
from fastmcp.server import create_proxy  # type: ignore[import-not-found]


async def main(url: str, port: int) -> None:
    """Serve until killed."""
    async with Client(url) as client:
        proxy = create_proxy(client, name="bench")
        await proxy.run_http_async(
            host="127.0.0.1",
            port=port,
            show_banner=False,
            log_level="ERROR",
            json_response=True,
        )


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
