"""`approvals serve`: one process, one uvicorn worker."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
import uvicorn

from approvals.app import create_app
from approvals.cli.connection import read_state, write_state
from approvals.config.settings import read_settings
from approvals.errors import Unauthenticated

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator

    from fastapi import FastAPI

    from approvals.config.settings import Settings
    from approvals.service.services import Services

NOBODY = "none yet: approvals keys create --first-admin"
GRACE = 10
"""Seconds that open requests have to be answered after SIGTERM."""


def serve() -> None:
    """Read the settings and serve until a signal comes."""
    settings = read_settings()
    logging.basicConfig(
        level=settings.log_level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # a tick that is skipped is normal
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    """Open everything first, so that what is wrong is said in a sentence; then listen."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        server = _Server(_config(settings, app), app, settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.handle_exit, number, None)
        await server.serve()
    if not server.started:
        raise typer.Exit(1)


def _config(settings: Settings, app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )


class _Server(uvicorn.Server):
    """Says where it is once it listens, and answers held requests before it stops."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, settings: Settings) -> None:
        super().__init__(config)
        self._app = app
        self._settings = settings

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals are handled outside, so that after the last answer the database is closed."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            listening = self.servers[0].sockets[0].getsockname()
            await self._announce(f"http://{self._settings.host}:{listening[1]}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        services = getattr(self._app.state, "services", None)
        if services is not None:
            services.waiting.stop()
        await super().shutdown(sockets)

    async def _announce(self, url: str) -> None:
        services: Services = self._app.state.services
        directory = services.rulebook.directory
        key = await _starting_key(services)
        write_state(url, key)
        for line in (
            f"approvals listens at {url}",
            f"  database  {self._settings.database_url}",
            f"  config    {self._settings.config or 'none'}",
            f"  servers   {', '.join(services.rulebook.servers) or 'none'}",
            f"  people    {', '.join(directory.people) or NOBODY}",
        ):
            typer.echo(line)
        if directory.solo:
            typer.echo("  solo mode: one person exists, so the owner of an agent decides as well")


async def _starting_key(services: Services) -> str | None:
    """The starting user's key, the one of the last start where it still works."""
    starting = await services.identity.starting_person()
    if starting is None:
        return None
    known = read_state().get("key")
    if known:
        try:
            if (await services.identity.principal(known)).name == starting:
                return str(known)
        except Unauthenticated:
            pass
    _, key = await services.identity.first_key(starting, label="state file")
    return key
