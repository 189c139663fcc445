"""One server process: lines in, lines out, an end that is noticed, and a stop that ends it.

The client library's transport is not used for the lines, because it parses them with a reader that
changes numbers; what it does to start and to end a process is.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio.subprocess import PIPE
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from mcp.client.stdio import get_default_environment
from mcp.os.posix.utilities import terminate_posix_process_tree

from approvals.domain.display import visible
from approvals.errors import Unavailable
from approvals.gateway.stdio.lines import whole_lines
from approvals.outbound import MAX_ANSWER

if TYPE_CHECKING:
    from collections.abc import Callable

    import anyio.abc

    from approvals.domain.rulebook import CommandServer

logger = logging.getLogger(__name__)

AT_ONCE = 500
"""Lines after which everybody else has a turn."""
MAX_UNREAD = 1024 * 1024
"""Bytes that may wait for a process to read them; while there are more, nothing is written."""
STUCK = timedelta(seconds=10)
"""A process that leaves so much unread for so long is started anew."""
MAX_SAID = 100
"""Lines of stderr that are logged in each ten seconds."""
MAX_STDERR = 2000
"""Bytes of one line of stderr; a longer one is not logged."""
EXIT = timedelta(seconds=2)
"""How long a process may take to end once its stdin is closed, and again after SIGTERM."""


class Ended(Unavailable):
    """The server's process has ended; nothing was written to it."""


class Process:
    """A running server. Its lines go to `heard`; `ended` is called once, when no more can come."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, *, heard: Callable[[bytes], None]
    ) -> None:
        assert process.stdin is not None  # noqa: S101 (started with pipes)
        self._name = name
        self._process = process
        self._stdin = process.stdin
        self._heard = heard
        self._reading = [
            asyncio.create_task(self._read(process.stdout)),
            asyncio.create_task(self._log(process.stderr)),
        ]
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unread_since: float | None = None

    @property
    def is_gone(self) -> bool:
        """It has ended, or cannot be talked with any more."""
        if self.ended.done() or self._stdin.is_closing():
            return True
        since = self._unread_since
        return since is not None and _now() - since > STUCK.total_seconds()

    @classmethod
    async def start(cls, server: CommandServer, *, heard: Callable[[bytes], None]) -> Process:
        """Start it in a process group of its own. Raises Unavailable when that does not work."""
        try:
            process = await asyncio.create_subprocess_exec(
                server.command,
                *server.args,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=get_default_environment() | dict(server.env),
                cwd=server.cwd,
                start_new_session=True,
            )
        except OSError as error:
            logger.warning("server %s cannot be started: %s", server.name, error.strerror)
            raise Unavailable("The server behind the gateway cannot be started.") from error
        logger.info("server %s runs as process %d", server.name, process.pid)
        return cls(server.name, process, heard=heard)

    async def write(self, line: bytes) -> None:
        """One line. Raises Ended, and then not one byte of it was written."""
        if self.ended.done() or self._stdin.is_closing():
            raise Ended("The server's process has ended.")
        if self._stdin.transport.get_write_buffer_size() > MAX_UNREAD:
            self._unread_since = self._unread_since or _now()
            raise Ended("The server's process does not read what it is told.")
        self._unread_since = None
        self._stdin.write(line + b"\n")
        with suppress(ConnectionError):  # the end of the process is told by `ended`
            await self._stdin.drain()

    async def stop(self) -> None:
        """Close its stdin, as the specification says; then SIGTERM, then SIGKILL, to the group."""
        self._stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(EXIT.total_seconds()):
                await self._process.wait()
        asked = cast("anyio.abc.Process", self._process)  # for its pid and return code only
        await terminate_posix_process_tree(asked, EXIT.total_seconds())
        for task in self._reading:
            task.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)
        self._over()

    async def _read(self, stdout: asyncio.StreamReader | None) -> None:
        assert stdout is not None  # noqa: S101 (started with pipes)
        try:
            heard = 0
            async for line in whole_lines(stdout, most=MAX_ANSWER):
                if line is None:
                    logger.warning("server %s sent a line beyond 16 MiB", self._name)
                    break
                self._take(line)
                heard += 1
                if heard % AT_ONCE == 0:
                    await asyncio.sleep(0)  # others go on while it floods
        finally:
            self._over()

    def _take(self, line: bytes) -> None:
        try:
            self._heard(line)
        except Exception:
            logger.exception("a line of server %s could not be handled", self._name)

    def _over(self) -> None:
        if not self.ended.done():
            logger.info("server %s: its process has ended", self._name)
            self.ended.set_result(None)

    async def _log(self, stderr: asyncio.StreamReader | None) -> None:
        """The server's own words for the operator, each line bounded and made visible."""
        assert stderr is not None  # noqa: S101 (started with pipes)
        until, said_so_far = 0.0, 0
        async for line in whole_lines(stderr, most=MAX_STDERR):
            if _now() > until:
                until, said_so_far = _now() + 10, 0
            said_so_far += 1
            if line and said_so_far <= MAX_SAID:
                said = visible(line.decode("utf-8", "replace").rstrip())
                logger.info("server %s says: %s", self._name, said)


def _now() -> float:
    return asyncio.get_running_loop().time()
