"""A whole deployment on this machine: real HTTP servers, a real database, real clients."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx2
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from approvals.app import create_app
from approvals.demo.stage import served
from approvals.domain.directory import Assurance, Role
from approvals.errors import Unavailable
from approvals.service.identity import PersonPrincipal
from approvals.service.waiting import Patience
from approvals.storage.migrations import upgrade
from tests.e2e.deployment import settings_in
from tests.e2e.killable import kind_of
from tests.e2e.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from mcp_types import CallToolResult
    from opentelemetry.trace import TracerProvider

    from approvals.ports import Answer, Operation, Store
    from approvals.service.services import Services
    from approvals.service.telling import Pace

ADMIN = PersonPrincipal(name="carol", roles=frozenset({Role.ADMIN}), assurance=Assurance.KEY)
PEOPLE = {
    "alice": {},
    "bob": {},
    "carol": {"roles": ["approver", "admin"]},
    "dan": {"roles": ["auditor"]},
}
ERAS = ("auto", "legacy")


def policy(**changes: object) -> dict[str, Any]:
    """`act` and `break_it` need a person, `look` runs, `hidden_act` is hidden, the rest denied."""
    return {
        "version": "1",
        "default": "deny",
        "hide": ["hidden_*"],
        "tools": {
            "look": {},
            "act": {"require_approval_if": [{"conditions": []}]},
            "break_it": {"require_approval_if": [{"conditions": []}]},
        },
        **changes,
    }


@dataclass(kw_only=True)
class World:
    """What a test plays with."""

    upstream: Upstream
    services: Services
    url: str
    people_url: str
    keys: dict[str, str]
    http: httpx2.AsyncClient
    app: Any = field(repr=False)
    asked: list[str] = field(default_factory=list)
    """Which clients were asked for input."""

    async def rest(
        self, method: str, path: str, *, by: str, json_body: object = None, **more: Any
    ) -> httpx2.Response:
        """One REST request with somebody's key, agents and people each to their replica."""
        key = {"authorization": f"Bearer {self.keys[by]}"} if self.keys[by] else {}
        headers = {**key, **more.pop("headers", {})}
        url = self.people_url if by in PEOPLE else self.url
        return await self.http.request(
            method, f"{url}{path}", headers=headers, json=json_body, **more
        )

    async def create(self, arguments: dict[str, object], **more: Any) -> httpx2.Response:
        """bot asks over REST whether `act` may run."""
        body = {"server": "up", "tool": "act", "arguments": arguments}
        return await self.rest("POST", "/v1/approvals", by="bot", json_body=body, **more)

    async def parked(self, arguments: dict[str, object] | None = None) -> dict[str, Any]:
        """An approval parked over REST."""
        response = await self.create(arguments or {"what": "x"})
        assert response.status_code == 201, response.text
        found: dict[str, Any] = response.json()["approval"]
        return found

    async def approve(self, approval: dict[str, Any], *, by: str = "bob") -> httpx2.Response:
        path = f"/v1/approvals/{approval['id']}/approve"
        return await self.rest("POST", path, by=by, json_body={"digest": approval["digest"]})

    async def deny(
        self, approval: dict[str, Any], *, by: str = "bob", reason: str | None = None
    ) -> httpx2.Response:
        path = f"/v1/approvals/{approval['id']}/deny"
        return await self.rest("POST", path, by=by, json_body={"reason": reason})

    async def pending(self, count: int = 1) -> list[dict[str, Any]]:
        """The pending approvals, once there are `count` of them."""
        async with asyncio.timeout(20):
            while True:
                path = "/v1/approvals?status=pending&limit=200"
                found = (await self.rest("GET", path, by="carol")).json()["approvals"]
                if len(found) >= count:
                    return list(found)
                await asyncio.sleep(0.02)

    async def status(self, approval_id: str) -> dict[str, Any]:
        found = await self.rest("GET", f"/v1/approvals/{approval_id}", by="carol")
        body: dict[str, Any] = found.json()
        return body

    @asynccontextmanager
    async def agent(
        self, mode: str = "auto", *, key: str = "bot", server: str = "up"
    ) -> AsyncIterator[McpClient]:
        """A real MCP client of the gateway."""
        headers = {"authorization": f"Bearer {self.keys[key]}"}
        async with _http(headers=headers) as http:
            transport = streamable_http_client(f"{self.url}/mcp/{server}", http_client=http)
            async with McpClient(transport, mode=mode) as client:
                yield client


def text(result: CallToolResult) -> str:
    return " ".join(getattr(part, "text", "") for part in result.content)


def _http(**settings: Any) -> httpx2.AsyncClient:
    # servers close what was idle for five seconds, just when it might be used again
    limits = httpx2.Limits(max_connections=2000, keepalive_expiry=2)
    return httpx2.AsyncClient(timeout=300, trust_env=False, limits=limits, **settings)


class Slowed:
    """The real store, slower around one kind of operation: `before` it is applied, or `after`."""

    def __init__(self, kind: str, *, before: float = 0, after: float = 0) -> None:
        self._kind, self._before, self._after = kind, before, after
        self._store: Any = None

    def __call__(self, store: Store) -> Store:
        self._store = store
        return self

    async def apply(self, operation: Operation, **how: Any) -> Answer:
        hit = kind_of(operation) == self._kind
        await asyncio.sleep(self._before if hit else 0)
        answer: Answer = await self._store.apply(operation, **how)
        await asyncio.sleep(self._after if hit else 0)
        return answer

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for while a copy is made
            raise AttributeError(name)
        return getattr(self._store, name)


class Broken(Slowed):
    """The real store, which refuses one kind of operation."""

    async def apply(self, operation: Operation, **how: Any) -> Answer:
        if kind_of(operation) == self._kind:
            raise Unavailable("The database does not answer.")
        return await super().apply(operation, **how)


@asynccontextmanager
async def world(
    folder: Path,
    *,
    document: dict[str, Any] | str | None = None,
    people: dict[str, Any] | None = None,
    timeout: str = "15m",
    hold: timedelta | None = None,
    patience: Patience | None = None,
    pace: Pace | None = None,
    upstream: Upstream | None = None,
    upstream_timeout: timedelta = timedelta(seconds=20),
    wrap_store: Callable[[Store], Store] | None = None,
    traces: TracerProvider | None = None,
    more: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
) -> AsyncIterator[World]:
    """A running world; entering again with the same folder is a restart on the same database.

    `more` are further keys of approvals.yaml, `environment` further settings. Where the folder says
    so (`deployed`), there are two replicas on PostgreSQL: agents use the one, people the other.
    """
    upstream = upstream or Upstream()
    async with served(upstream.app()) as upstream_url:
        config = configured(
            folder,
            f"{upstream_url}/mcp",
            document=document,
            people=people,
            timeout=timeout,
            more=more,
        )
        settings = settings_in(folder, config=config, upstream_timeout=upstream_timeout)
        settings = replace(settings, **(environment or {}))
        if settings.on_sqlite and not settings.database_path.exists():
            settings.database_path.write_bytes(migrated())
        patience = patience or (Patience(hold=hold) if hold else None)
        app = create_app(
            settings, patience=patience, pace=pace, wrap_store=wrap_store, traces=traces
        )
        async with AsyncExitStack() as stack:
            url = people_url = await stack.enter_async_context(served(app))
            if not settings.on_sqlite:
                other = create_app(
                    settings,
                    patience=patience,
                    pace=pace,
                    wrap_store=copy(wrap_store),
                    traces=traces,
                )
                people_url = await stack.enter_async_context(served(other))
            services: Services = app.state.services
            yield World(
                upstream=upstream,
                services=services,
                url=url,
                people_url=people_url,
                keys=await keys_for(services),
                http=await stack.enter_async_context(_http()),
                app=app,
            )


@cache
def migrated() -> bytes:
    """A database with the schema: making one takes longer than most tests."""
    with TemporaryDirectory() as folder:
        upgrade(f"sqlite:///{folder}/made.db")
        return Path(folder, "made.db").read_bytes()


def configured(
    folder: Path,
    upstream_url: str,
    *,
    document: dict[str, Any] | str | None = None,
    people: dict[str, Any] | None = None,
    timeout: str = "15m",
    more: dict[str, Any] | None = None,
) -> Path:
    """approvals.yaml with one server, two agents of alice and four people."""
    config = folder / "approvals.yaml"
    config.write_text(
        json.dumps(
            {
                "servers": {"up": {"url": upstream_url, "policy": document or policy()}},
                "agents": {
                    "bot": {"servers": ["up"], "owner": "alice", "max_pending": 100_000},
                    "other": {"servers": ["up"], "owner": "alice"},
                    "outsider": {"servers": [], "owner": "alice"},
                },
                "people": PEOPLE if people is None else people,
                "approval": {"timeout": timeout},
                **(more or {}),
            }
        )
    )
    return config


async def keys_for(services: Services) -> dict[str, str]:
    """A key for everybody in the file."""
    keys = {}
    for person in services.rules.current.directory.people:
        _, keys[person] = await services.identity.first_key(person, label="test")
    for agent in services.rules.current.directory.agents:
        _, keys[agent] = await services.identity.create_key(
            ADMIN, person=None, agent=agent, label="test"
        )
    return keys
