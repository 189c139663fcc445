"""Measuring sticks: two ordinary ways to write such a service, started beside it in the same run.

Both keep an approval, an audit event and an outbox row, durably, behind FastAPI routes with models;
both wake their waiters in memory. Neither has a policy, keys, guards or a chain. `orm`: a SQLModel
session per request. `batched`: asyncpg, where what came meanwhile goes into one statement.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections import defaultdict
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import asyncpg
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.types import DateTime
from sqlmodel import Field, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

URL = "BENCH_DATABASE_URL"


class Asked(BaseModel):
    server: str
    tool: str
    arguments: dict[str, Any]
    agent: str
    timeout_s: int = 3600


class Made(BaseModel):
    id: str


class Said(BaseModel):
    answer: Literal["approved", "denied"]
    person: str


class Status(BaseModel):
    status: str


class Ask(SQLModel, table=True):
    __tablename__ = "ref_asks"

    id: str = Field(primary_key=True)
    status: str = "pending"
    server: str
    tool: str
    arguments: str
    agent: str
    created_at: datetime = Field(sa_type=DateTime(timezone=True))
    expires_at: datetime = Field(sa_type=DateTime(timezone=True))
    decided_by: str | None = None


class Audit(SQLModel, table=True):
    __tablename__ = "ref_audit"

    id: int | None = Field(default=None, primary_key=True)
    ask_id: str = Field(index=True)
    kind: str
    actor: str


class Outbox(SQLModel, table=True):
    __tablename__ = "ref_outbox"

    id: int | None = Field(default=None, primary_key=True)
    ask_id: str = Field(index=True)
    payload: str


def _tables() -> list[Any]:
    return [SQLModel.metadata.tables[name] for name in ("ref_asks", "ref_audit", "ref_outbox")]


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 (a stick of its own)


class Waiters:
    """Requests that wait for a decision made in this process."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, list[asyncio.Future[str]]] = defaultdict(list)

    def decided(self, id_: str, status: str) -> None:
        for future in self._waiting.pop(id_, []):
            if not future.done():
                future.set_result(status)

    async def until(self, id_: str) -> str:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[id_].append(future)
        return await asyncio.wait_for(future, 55)


def orm() -> FastAPI:
    """`uvicorn --factory bench.references:orm`."""
    url = os.environ[URL].replace("postgresql://", "postgresql+asyncpg://", 1)  # noqa: TID251 (bench)
    engine = create_async_engine(url, pool_size=16, max_overflow=0)
    waiters = Waiters()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(SQLModel.metadata.create_all, tables=_tables())
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.post("/asks")
    async def create(asked: Asked) -> Made:
        made = Ask(
            id=secrets.token_hex(10),
            server=asked.server,
            tool=asked.tool,
            arguments=json.dumps(asked.arguments),
            agent=asked.agent,
            created_at=now(),
            expires_at=now() + timedelta(seconds=asked.timeout_s),
        )
        async with AsyncSession(engine, expire_on_commit=False) as session:
            session.add(made)
            session.add(Audit(ask_id=made.id, kind="asked", actor=asked.agent))
            session.add(Outbox(ask_id=made.id, payload="{}"))
            await session.commit()
        return Made(id=made.id)

    @app.post("/asks/{ask_id}/decision")
    async def decide(ask_id: str, said: Said) -> Status:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            found = (
                await session.exec(select(Ask).where(Ask.id == ask_id).with_for_update())
            ).one()
            if found.status == "pending" and found.expires_at > now():
                found.status, found.decided_by = said.answer, said.person
                session.add(found)
                session.add(Audit(ask_id=ask_id, kind=said.answer, actor=said.person))
                session.add(Outbox(ask_id=ask_id, payload="{}"))
                await session.commit()
        waiters.decided(ask_id, found.status)
        return Status(status=found.status)

    @app.get("/asks/{ask_id}/wait")
    async def wait(ask_id: str) -> Status:
        future = asyncio.ensure_future(waiters.until(ask_id))
        await asyncio.sleep(0)
        async with AsyncSession(engine, expire_on_commit=False) as session:
            found = (await session.exec(select(Ask).where(Ask.id == ask_id))).one()
        if found.status != "pending":
            future.cancel()
            return Status(status=found.status)
        return Status(status=await future)

    return app


class Batches:
    """What comes while one statement runs goes into the next."""

    def __init__(self, run: Callable[[Sequence[tuple[Any, ...]]], Awaitable[set[str]]]) -> None:
        self._run = run
        self._waiting: list[tuple[tuple[Any, ...], asyncio.Future[bool]]] = []
        self._task: asyncio.Task[None] | None = None

    async def add(self, row: tuple[Any, ...]) -> bool:
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, future))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:256], self._waiting[256:]
            done = await self._run([row for row, _ in batch])
            for row, future in batch:
                future.set_result(row[0] in done)
        self._task = None


_CREATE = """
with x as (
  select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
    $6::timestamptz[], $7::timestamptz[]) as x(id, server, tool, arguments, agent, at, until)
), made as (
  insert into ref_asks (id, status, server, tool, arguments, agent, created_at, expires_at)
  select id, 'pending', server, tool, arguments, agent, at, until from x returning id, agent
), said as (
  insert into ref_audit (ask_id, kind, actor) select id, 'asked', agent from made
), told as (
  insert into ref_outbox (ask_id, payload) select id, '{}' from made
)
select id from made
"""
_DECIDE = """
with x as (
  select * from unnest($1::text[], $2::text[], $3::text[]) as x(id, answer, person)
), won as (
  update ref_asks a set status = x.answer, decided_by = x.person from x
  where a.id = x.id and a.status = 'pending' and a.expires_at > clock_timestamp()
  returning a.id, x.answer, x.person
), said as (
  insert into ref_audit (ask_id, kind, actor) select id, answer, person from won
), told as (
  insert into ref_outbox (ask_id, payload) select id, '{}' from won
)
select id from won
"""


def batched() -> FastAPI:
    """`uvicorn --factory bench.references:batched`."""
    waiters = Waiters()
    decided: dict[str, str] = {}
    batches: dict[str, Batches] = {}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        url = os.environ[URL]  # noqa: TID251 (bench)
        engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://", 1))
        async with engine.begin() as connection:
            await connection.run_sync(SQLModel.metadata.create_all, tables=_tables())
        await engine.dispose()
        pool = await asyncpg.create_pool(url, min_size=4, max_size=4)

        def statement(sql: str) -> Batches:
            async def run(rows: Sequence[tuple[Any, ...]]) -> set[str]:
                columns = [list(column) for column in zip(*rows, strict=True)]
                async with pool.acquire() as connection:
                    return {row["id"] for row in await connection.fetch(sql, *columns)}

            return Batches(run)

        batches.update(create=statement(_CREATE), decide=statement(_DECIDE))
        yield
        await pool.close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/asks")
    async def create(asked: Asked) -> Made:
        id_, at = secrets.token_hex(10), now()
        until = at + timedelta(seconds=asked.timeout_s)
        arguments = json.dumps(asked.arguments)
        row = (id_, asked.server, asked.tool, arguments, asked.agent, at, until)
        await batches["create"].add(row)
        return Made(id=id_)

    @app.post("/asks/{ask_id}/decision")
    async def decide(ask_id: str, said: Said) -> Status:
        if await batches["decide"].add((ask_id, said.answer, said.person)):
            decided[ask_id] = said.answer
            waiters.decided(ask_id, said.answer)
        return Status(status=decided.get(ask_id, "pending"))

    @app.get("/asks/{ask_id}/wait")
    async def wait(ask_id: str) -> Status:
        return Status(status=decided.get(ask_id) or await waiters.until(ask_id))

    return app
