"""A real MCP server on standard streams, with what real ones do: greet, log, crash, take long.

`python stdio_server.py FOLDER [SECONDS]`, which it takes to start. Each call of `act` is a line in
FOLDER/ran, written at once, so that it is there when the process dies; FOLDER/starts has a line for
each start.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import anyio
from mcp import MCPError
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

FOLDER = Path(sys.argv[1])


class Name(BaseModel):
    """What `ask` asks for."""

    name: str


def note(name: str, line: str) -> None:
    with (FOLDER / name).open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


async def act(what: str, n: int = 0) -> str:
    """Do something that cannot be undone."""
    note("ran", what)
    if what == "die":
        os._exit(3)
    if what == "hang":
        await anyio.sleep(60)
    return f"did {what} {n}"


def look(what: str) -> str:
    """See something."""
    return f"saw {what}"


def large(size: int) -> str:
    """Say much."""
    return "x" * size


async def slow(context: Context, steps: int) -> str:
    """Tell how far it is."""
    for step in range(steps):
        await context.report_progress(step, steps, f"step {step}")
    return "slow, but done"


async def pause(seconds: float) -> str:
    """Take a while."""
    await anyio.sleep(seconds)
    return f"paused {seconds}"


async def ask(context: Context, seconds: float = 0) -> str:
    """Ask the client's person for a name."""
    with anyio.CancelScope(shield=True):  # it does not hear that nobody waits
        await anyio.sleep(seconds)
        try:
            said = await context.elicit("Who are you?", Name)
        except MCPError as error:
            return f"refused: {error}"
    return f"hello {said.data.name}" if said.action == "accept" else said.action


def get_note(what: str) -> str:
    """Read a note."""
    return f"saw {what}"


def environment() -> str:
    """The names of its variables."""
    return " ".join(sorted(os.environ))  # noqa: TID251 (a program of its own)


def one() -> str:
    """A note."""
    return "noted"


def main() -> None:
    """Serve until stdin closes."""
    note("starts", str(os.getpid()))
    time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print("Welcome to a server that greets", flush=True)
    print("and logs", file=sys.stderr, flush=True)
    server = MCPServer("stdio", log_level="ERROR")
    for tool in (act, look, get_note, large, slow, pause, ask, environment):
        server.add_tool(tool, structured_output=False)
    server.resource("note://one")(one)
    server.run("stdio")


if __name__ == "__main__":
    main()
