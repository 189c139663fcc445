"""`approvals serve`: one process, one uvicorn worker."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
import uvicorn

from approvals.app import create_app
from approvals.cli.connection import read_state, write_state
from approvals.cli.logs import configure
from approvals.cli.traces import provider
from approvals.config.settings import read_settings
from approvals.errors import ConfigurationInvalid, Unauthenticated
from approvals.protocol import BoundedHttp

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from fastapi import FastAPI

    from approvals.config.settings import Settings
    from approvals.domain.rulebook import Rulebook
    from approvals.service.services import Services

CONNECT = (
    "  connect   claude mcp add git -- approvals wrap -- uvx mcp-server-git",
    "  decide    on the page, or in a terminal: approvals watch",
)
NOBODY = "none yet: approvals keys create --first-admin"
GRACE = 10
"""Seconds that open requests have to be answered after SIGTERM."""
COLLECT_AFTER = (10_000, 20, 50)
"""Objects made, and younger collections, before Python's collector looks for cycles."""


def serve() -> None:
    """Read the settings and serve until a signal comes."""
    settings = read_settings()
    configure(level=settings.log_level, as_json=settings.log_format == "json")
    with (
        _listening(settings) as listening,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        runner.run(_serve(settings, listening))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _listening(settings: Settings) -> socket.socket:
    """The socket, taken before anything is written. Raises ConfigurationInvalid."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        made = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        why = f"cannot listen on {settings.host} port {settings.port} ({error.strerror})"
        hint = "set APPROVALS_HOST and APPROVALS_PORT"
        raise ConfigurationInvalid("the address", [f"{why}; {hint}"]) from None
    # asyncio does so for sockets it makes; without it each answer waits 40 ms for an ACK
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


async def _serve(settings: Settings, listening: socket.socket) -> None:
    """Open everything first, so that what is wrong is said in a sentence; then listen."""
    app = create_app(settings, traces=provider())
    async with app.router.lifespan_context(app):
        gc.collect()
        gc.freeze()  # what is loaded by now stays; to look at it again and again costs 5 to 10 %
        gc.set_threshold(*COLLECT_AFTER)
        server = _Server(_config(app), app, settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, server.handle_exit, number, None)
        loop.add_signal_handler(signal.SIGHUP, server.reload)
        await server.serve(sockets=[listening])


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        http=BoundedHttp,
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
        self._reloading: set[asyncio.Task[object]] = set()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Signals are handled outside, so that after the last answer the database is closed."""
        yield

    def reload(self) -> None:
        """SIGHUP: read the configuration again. What is wrong with it is logged and in /readyz."""
        task = asyncio.ensure_future(self._app.state.services.liveness.reload())
        self._reloading.add(task)
        task.add_done_callback(self._reloaded)

    def _reloaded(self, task: asyncio.Task[object]) -> None:
        self._reloading.discard(task)
        if not task.cancelled():
            task.exception()  # the older configuration stays; the reason was logged

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            listening = self.servers[0].sockets[0].getsockname()
            await self._announce(f"http://{self._settings.host}:{listening[1]}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        services = getattr(self._app.state, "services", None)
        if services is not None:
            services.releases.stop_sending()
            services.waiting.stop()
        await super().shutdown(sockets)

    async def _announce(self, url: str) -> None:
        services: Services = self._app.state.services
        starting = await services.identity.starting_person()
        write_state(url, await _starting_key(services, starting))
        for line in _said(self._settings, services.rules.current, url):
            typer.echo(line)
        if starting is not None and self._settings.on_loopback:
            link, _ = await services.sign_in.first_link(starting)
            base = self._settings.public_url or url
            typer.echo(f"  sign in   {base}/login?link={link}  (works once, 15 minutes)")
            for line in CONNECT:
                typer.echo(line)


def _said(settings: Settings, book: Rulebook, url: str) -> Iterator[str]:
    people = book.directory.people
    yield f"approvals listens at {url}"
    yield f"  database  {settings.database_name}"
    yield f"  config    {settings.config or 'none'}"
    yield f"  servers   {', '.join(book.servers) or 'none in a file'}"
    yield f"  policy    {_policies(book)}"
    yield f"  people    {', '.join(people) or NOBODY}"
    if book.directory.solo:
        [you] = people.values()
        yield f"  you       {you.name}: {', '.join(sorted(you.roles))}"
        yield "  solo mode: one person exists, so the owner of an agent decides as well"


def _policies(book: Rulebook) -> str:
    """The built-in `ask` is what servers without a policy have, and what `wrap` uses."""
    named = [f"{name}: {server.policy.name}" for name, server in book.servers.items()]
    return ", ".join(named) or "ask (built in): what only reads runs, the rest needs you"


async def _starting_key(services: Services, starting: str | None) -> str | None:
    """The starting user's key, the one of the last start where it still works."""
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
