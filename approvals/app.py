"""The composition root: settings in, a running service out."""

from __future__ import annotations

import asyncio
import getpass
import logging
import re
import secrets
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from fastapi import FastAPI
from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider
from starlette.routing import Route

from approvals import __version__
from approvals.api.document import OPERATIONS, openapi
from approvals.api.problems import HttpProblems, error_page
from approvals.channels.registry import Registry
from approvals.config.channels import lacks
from approvals.config.load import load, names_people
from approvals.errors import ConfigurationInvalid
from approvals.gateway.calls import Calls
from approvals.gateway.cancelling import Cancelling
from approvals.gateway.catalogue import Catalogue
from approvals.gateway.endpoint import Gateway
from approvals.gateway.gateway_tools import GatewayTools
from approvals.gateway.hold import Hold
from approvals.gateway.http_exchange import Pools
from approvals.gateway.listing import Lists
from approvals.gateway.relay import Relay
from approvals.gateway.sessions import Sessions
from approvals.gateway.stdio.processes import Processes, is_configured
from approvals.gateway.tasks import Tasks
from approvals.gateway.waits import Waits
from approvals.hosts import HostCheck
from approvals.jobs import Jobs
from approvals.outbound import Outbound
from approvals.service.approvals import Approvals
from approvals.service.audit import Audit
from approvals.service.caller import CallerReleases
from approvals.service.definitions import Definitions
from approvals.service.delivery import Deliveries
from approvals.service.detached import Detached
from approvals.service.freezes import Freezes
from approvals.service.gate import Gate
from approvals.service.identity import Identity
from approvals.service.journal import Journal
from approvals.service.keyring import MIN_SECRET, Keyring
from approvals.service.liveness import Liveness
from approvals.service.minting import RandomIds
from approvals.service.news import News
from approvals.service.overview import Overview
from approvals.service.redelivery import Redelivery
from approvals.service.release import Releases
from approvals.service.restore import Restore
from approvals.service.retention import Retention
from approvals.service.reveal import Reveals
from approvals.service.rules import Rules
from approvals.service.services import Services
from approvals.service.sign_in import SignIn
from approvals.service.telling import Pace
from approvals.service.waiting import Patience, Waiting
from approvals.signals.polling import Polling
from approvals.signals.redis import RedisSignals
from approvals.storage.clock import elapsed
from approvals.storage.opening import opened
from approvals.telemetry.meter import PrometheusMeter
from approvals.telemetry.spans import OpenTelemetryTracer
from approvals.web.routes import routes
from approvals.wire import Place, respond

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from fastapi.telemetry import TelemetryConfig
    from opentelemetry.trace import TracerProvider
    from starlette.types import ASGIApp, Receive, Scope, Send

    from approvals.channels.slack.connection import Slack
    from approvals.config.settings import Settings
    from approvals.domain.rulebook import Rulebook
    from approvals.ports import Clock, Hints, Meter, Store, Tracer
    from approvals.service.restore import Restored
    from approvals.storage.opening import Database

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = timedelta(seconds=10)
SENDING_TIMEOUT = timedelta(seconds=4)
"""See `liveness.FRESH`."""
ROTATING = 2
"""Secret keys in use; those after them are old ones, with which only the audit is checked."""
UNTRACED = frozenset({"/healthz", "/readyz", "/metrics", "/login"})
"""What is looked at all the time; and what has a sign-in link in its query."""


@asynccontextmanager
async def open_services(
    settings: Settings,
    *,
    patience: Patience | None = None,
    pace: Pace | None = None,
    wrap_store: Callable[[Store], Store] | None = None,
    traces: TracerProvider | None = None,
) -> AsyncIterator[tuple[Services, Gateway]]:
    """Everything one process runs. `traces` is where spans go, else to the process's own provider.

    For tests: `patience` with requests stands before what settings say, `pace` makes telling people
    faster, `wrap_store` stands between service and database.
    """
    meter = PrometheusMeter()
    async with opened(settings.database_url, meter) as database:
        store: Store = wrap_store(database.store) if wrap_store else database.store
        rules = _rules(settings, await starting_person(database, settings))
        if not settings.secret_key:
            _make_secret(settings.database_path)
        keyring, all_keys = Keyring(_secrets(settings)[:ROTATING]), keys_of_audit(settings)
        tracer = OpenTelemetryTracer(traces)
        telling = _telling(settings, rules, database.clock)
        services = _services(
            settings,
            database,
            store,
            rules,
            keyring,
            telling=telling,
            pace=pace or Pace(),
            all_keys=all_keys,
            meter=meter,
            tracer=tracer,
        )
        await services.liveness.renew()
        await services.releases.recover()
        await services.approvals.expire_due()
        await services.approvals.give_up_unreported()
        pools = _pools()
        processes = Processes(lambda place: is_configured(services.rules.current, place))
        gateway = _gateway(
            services, keyring, pools, processes, tracer, patience=patience, settings=settings
        )
        running = [
            asyncio.create_task(services.detached.run(gateway.upstream_of)),
            asyncio.create_task(services.deliveries.run()),
        ]
        if telling.slack is not None:
            telling.slack.connect()
        try:
            yield services, gateway
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            services.waiting.stop()
            await telling.stop(services.deliveries)
            await services.releases.drain(within=settings.upstream_timeout)
            await services.liveness.leave()
            await gateway.close()
            await pools.close()
            await processes.close()
            await services.hints.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Telling:
    """How people are told, and what that needs."""

    channels: Registry
    slack: Slack | None
    pools: tuple[Outbound, ...]
    woken: asyncio.Event

    async def stop(self, deliveries: Deliveries) -> None:
        if self.slack is not None:
            await self.slack.stop()
        await deliveries.stop()
        for pool in self.pools:
            await pool.close()


def _telling(settings: Settings, rules: Rules, clock: Clock) -> _Telling:
    pools = tuple(
        Outbound(allow_private=private, connect_timeout=SENDING_TIMEOUT, keep_alive=False)
        for private in (False, True)
    )
    slack = _slack(settings, clock)
    public, private = pools
    channels = Registry(rules=rules, clock=clock, slack=slack, public=public, private=private)
    return _Telling(channels=channels, slack=slack, pools=pools, woken=asyncio.Event())


def _slack(settings: Settings, clock: Clock) -> Slack | None:
    if settings.slack is None:
        return None
    # slack-sdk takes a third of a second to import, and only who uses Slack should wait for it.
    from approvals.channels.slack.api import SlackApi  # noqa: PLC0415
    from approvals.channels.slack.connection import Slack  # noqa: PLC0415

    return Slack(settings.slack, SlackApi(settings.slack, clock))


def _rules(settings: Settings, starting_person: str | None) -> Rules:
    """The configuration; what this version cannot do yet is not served at all."""

    def read() -> Rulebook:
        rulebook = load(settings.config, starting_person=starting_person)
        if lacking := lacks(rulebook, settings):
            raise ConfigurationInvalid(str(settings.config), lacking)
        return replace(rulebook, pages=settings.pages)

    return Rules(read(), read)


def _services(
    settings: Settings,
    database: Database,
    store: Store,
    rules: Rules,
    keyring: Keyring,
    *,
    telling: _Telling,
    pace: Pace,
    all_keys: Keyring,
    meter: Meter,
    tracer: Tracer,
) -> Services:
    clock, ids, waiting, news = database.clock, RandomIds(), Waiting(store), News()
    waiting.stopped.add_done_callback(lambda _: news.reset())
    hints = _hints(settings.redis_url, waiting, news, keyring, woken=telling.woken)
    process = _process()
    journal = Journal(store=store, keyring=keyring, clock=clock, ids=ids, stream=process)
    reveals = Reveals(journal=journal, keyring=keyring, rules=rules, clock=clock)
    approvals = Approvals(
        store=store,
        rules=rules,
        clock=clock,
        ids=ids,
        signals=hints,
        tracer=tracer,
        reveals=reveals,
    )
    gate = Gate(
        store=store,
        approvals=approvals,
        journal=journal,
        rules=rules,
        keyring=keyring,
        clock=clock,
        ids=ids,
        signals=hints,
        tracer=tracer,
    )
    liveness = Liveness(store=store, rules=rules, process=process, monotonic=elapsed)
    releases = Releases(
        store=store,
        approvals=approvals,
        gate=gate,
        clock=clock,
        ids=ids,
        signals=hints,
        liveness=liveness,
        tracer=tracer,
    )
    caller = CallerReleases(
        store=store,
        approvals=approvals,
        gate=gate,
        rules=rules,
        clock=clock,
        ids=ids,
        signals=hints,
    )
    identity = Identity(database.store, rules, clock)
    outbox = database.store.outbox
    deliveries = Deliveries(
        store=store,
        outbox=outbox,
        rules=rules,
        clock=clock,
        channels=telling.channels,
        meter=meter,
        pace=pace,
        woken=telling.woken,
        name=process,
    )
    if telling.slack is not None:
        telling.slack.listen(
            store=store,
            approvals=approvals,
            outbox=outbox,
            journal=journal,
            rules=rules,
            clock=clock,
        )
    return Services(
        rules=rules,
        store=store,
        clock=clock,
        identity=identity,
        approvals=approvals,
        gate=gate,
        waiting=waiting,
        news=news,
        hints=hints,
        sign_in=SignIn(
            sessions=database.store.sessions, journal=journal, keyring=keyring, rules=rules
        ),
        reveals=reveals,
        releases=releases,
        caller=caller,
        freezes=Freezes(
            store=store,
            journal=journal,
            rules=rules,
            clock=clock,
            ids=ids,
            callers=identity.callers,
        ),
        definitions=Definitions(store=store, journal=journal, rules=rules, clock=clock),
        liveness=liveness,
        deliveries=deliveries,
        redelivery=Redelivery(
            outbox=outbox, channels=telling.channels, journal=journal, wake=deliveries.wake
        ),
        channels=telling.channels,
        interactions=telling.slack.interactions if telling.slack else None,
        detached=Detached(
            store=store,
            releases=releases,
            clock=clock,
            ids=ids,
            signals=hints,
            callers=identity.callers,
        ),
        audit=Audit(store=store, audit=database.store, keyring=all_keys, clock=clock),
        retention=Retention(
            store=store,
            keyring=keyring,
            clock=clock,
            ids=ids,
            signals=hints,
            keep=settings.retention_arguments,
        ),
        overview=Overview(store=store, rules=rules, clock=clock, hints=hints),
        meter=meter,
    )


def _hints(
    url: str | None, waiting: Waiting, news: News, keyring: Keyring, *, woken: asyncio.Event
) -> Hints:
    """Between replicas over Redis, where there is one; the name of the channel is theirs alone."""

    def heard(approval_id: str, version: int) -> None:
        waiting.changed(approval_id, version)
        news.changed(approval_id, version)
        woken.set()

    async def resync() -> None:
        news.reset()
        await waiting.poll()

    if url is None:
        return Polling(heard)
    name = keyring.hash("hints", "channel").replace(":", "")[:24]
    hints = RedisSignals(url, channel=f"approvals:{name}", heard=heard, resync=resync)
    hints.start()
    return hints


def _pools() -> Pools:
    """A server's URL may be private or on loopback: the admin wrote it into the file."""
    return Pools(
        passing=Outbound(allow_private=True, connect_timeout=CONNECT_TIMEOUT),
        reading=Outbound(allow_private=True, connect_timeout=CONNECT_TIMEOUT, keep_alive=False),
        sending=Outbound(allow_private=True, connect_timeout=SENDING_TIMEOUT, keep_alive=False),
    )


def _gateway(
    services: Services,
    keyring: Keyring,
    pools: Pools,
    processes: Processes,
    tracer: Tracer,
    *,
    patience: Patience | None,
    settings: Settings,
) -> Gateway:
    patience = patience or Patience(with_progress=settings.hold_with_progress)
    holding = Hold(
        store=services.store,
        approvals=services.approvals,
        waiting=services.waiting,
        releases=services.releases,
        rules=services.rules,
        clock=services.clock,
        tracer=tracer,
    )
    return Gateway(
        rules=services.rules,
        identity=services.identity,
        relay=_relay(services, keyring, holding, patience),
        sessions=Sessions(keyring),
        catalogue=Catalogue(services.definitions),
        pools=pools,
        processes=processes,
        upstream_timeout=settings.upstream_timeout,
    )


def _relay(services: Services, keyring: Keyring, hold: Hold, patience: Patience) -> Relay:
    cancelling = Cancelling(approvals=services.approvals, releases=services.releases)
    tasks = Tasks(
        approvals=services.approvals,
        releases=services.releases,
        hold=hold,
        cancelling=cancelling,
        rules=services.rules,
    )
    gateway_tools = GatewayTools(approvals=services.approvals, rules=services.rules)
    calls = Calls(
        gate=services.gate,
        definitions=services.definitions,
        hold=hold,
        gateway_tools=gateway_tools,
        waits=Waits(rules=services.rules, keyring=keyring, patience=patience),
        tasks=tasks,
        detached=services.detached,
        cancelling=cancelling,
        releases=services.releases,
        approvals=services.approvals,
    )
    return Relay(
        gate=services.gate,
        releases=services.releases,
        calls=calls,
        tasks=tasks,
        lists=Lists(
            gate=services.gate, gateway_tools=gateway_tools, definitions=services.definitions
        ),
        cancelling=cancelling,
    )


def create_app(
    settings: Settings,
    *,
    patience: Patience | None = None,
    pace: Pace | None = None,
    wrap_store: Callable[[Store], Store] | None = None,
    traces: TracerProvider | None = None,
) -> FastAPI:
    """The web application; `app.state.services` is there while it runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(
            settings, patience=patience, pace=pace, wrap_store=wrap_store, traces=traces
        ) as (
            services,
            gateway,
        ):
            app.state.services, app.state.gateway = services, gateway
            jobs = Jobs(services)
            jobs.start()
            try:
                yield
            finally:
                await jobs.stop()

    app = _Service(
        title="approvals",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        telemetry=_telemetry(traces),
    )
    app.openapi = openapi  # type: ignore[method-assign]
    app.router.routes.append(Route("/mcp/{server}", _McpEndpoint()))
    app.router.routes.extend(operation.route() for operation in OPERATIONS)
    app.state.place, app.state.live = Place(settings.public_url), Counter()
    app.router.routes.extend(routes())
    app.router.routes.append(Route("/errors/{code}", error_page))
    app.router.routes.append(
        Route("/slack/interactions", _SlackEndpoint(), methods=["POST"], include_in_schema=False)
    )
    if settings.on_loopback:
        app.add_middleware(HostCheck, public_url=settings.public_url)
    return app


class _Service(FastAPI):
    """FastAPI with the layers that our routes use.

    No route has a body model or a dependency; the layers for those would take time from every
    request, and stand in memory beside every one that is held. A bug's exception goes to uvicorn,
    which logs it and answers 500.
    """

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = HttpProblems(self.router)
        for middleware in reversed(self.user_middleware):
            app = middleware.cls(app, *middleware.args, **middleware.kwargs)
        return app


def _telemetry(traces: TracerProvider | None) -> TelemetryConfig:
    """A span for each request, which continues its caller's trace. Never `logs`: they record what
    was sent. Metrics are our own."""
    somewhere = traces is not None or not isinstance(get_tracer_provider(), ProxyTracerProvider)
    return {
        "tracing": somewhere,  # else each request would look for a provider in the environment
        "tracer_provider": traces,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "auto_configure": False,
        "exclude": lambda scope: scope.get("path") in UNTRACED,
    }


class _McpEndpoint:
    """Hands `/mcp/…` to the gateway of the running service."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].state.gateway(scope, receive, send)


class _SlackEndpoint:
    """Hands `/slack/interactions` to the channel of the running service."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        interactions = scope["app"].state.services.interactions
        if interactions is None:
            await respond(send, 404, b"no clicks come over HTTP here", content_type=b"text/plain")
        else:
            await interactions(scope, receive, send)


async def starting_person(database: Database, settings: Settings) -> str | None:
    """The one person of a file that names nobody: made at once on loopback, elsewhere on demand."""
    if names_people(settings.config):
        return None
    known = await database.store.starting_person()
    if known is None and settings.on_loopback:
        return await make_starting_person(database)
    return known


async def after_restore(settings: Settings) -> Restored:
    """End what was open when the backup of this database was made. Raises Unavailable while a
    service runs on it."""
    async with opened(settings.database_url) as database:
        restore = Restore(
            store=database.store,
            sessions=database.store.sessions,
            clock=database.clock,
            ids=RandomIds(),
            stream=_process(),
        )
        return await restore.end_all(user=getpass.getuser())


def _process() -> str:
    return f"prc_{secrets.token_hex(8)}"


async def make_starting_person(database: Database) -> str:
    """Keep the operating system's user as the starting person."""
    name = re.sub(r"[^A-Za-z0-9._-]", "", getpass.getuser()) or "admin"
    await database.store.set_starting_person(name, at=database.clock.now())
    return name


def keys_of_audit(settings: Settings) -> Keyring:
    """Every secret key that is given, or the one beside an SQLite database.

    Raises ConfigurationInvalid when there is none.
    """
    return Keyring(_secrets(settings))


def _secrets(settings: Settings) -> tuple[bytes, ...]:
    return settings.secret_key or (_secret_beside(settings.database_path),)


def _secret_path(database: Path) -> Path:
    return database.with_name(database.name + ".secret")


def _make_secret(database: Path) -> None:
    """The secret key of an SQLite deployment, made at first start, readable by its owner only."""
    path = _secret_path(database)
    if not path.exists():
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600, exist_ok=False)
        fresh.write_text(secrets.token_hex(32))
        fresh.replace(path)


def _secret_beside(database: Path) -> bytes:
    path = _secret_path(database)
    if not path.exists():
        raise ConfigurationInvalid(str(path), ["is not there; set APPROVALS_SECRET_KEY"])
    secret = path.read_text().strip().encode()
    if len(secret) < MIN_SECRET:
        raise ConfigurationInvalid(str(path), ["is no secret key; restore it, or remove it"])
    return secret
