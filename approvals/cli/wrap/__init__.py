"""`approvals wrap`: a stdio server, started here, whose calls the running service decides on.

The client's side, the server's side and the service over REST are three modules; `relay` stands
between them. The database is never opened here (GATEWAY.md, "approvals wrap").
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from approvals.cli.wrap.names import server_name
from approvals.cli.wrap.relay import Relay
from approvals.cli.wrap.service import Service
from approvals.cli.wrap.streams import Child, Client
from approvals.config.names import SERVER_NAME
from approvals.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence


def wrap(command: Sequence[str], *, server: str | None, url: str | None, key: str | None) -> int:
    """Run until the client or the server ends; the exit code is the server's."""
    name = server or server_name(command)
    if not SERVER_NAME.fullmatch(name):
        raise InvalidInput("--server is a name of letters, digits, - and _, at most 63.")
    return asyncio.run(_run(list(command), Service(name, url=url, key=key)))


async def _run(command: list[str], service: Service) -> int:
    try:
        client = await Client.opened()
    except ValueError:
        sys.stderr.write("approvals wrap is started by an MCP client, over pipes.\n")
        return 1
    try:
        child = await Child.started(command)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return 1
    relay = Relay(client, child, service, command=command)
    try:
        await relay.run()
    finally:
        code = await child.stop()
        await service.close()
    return code
