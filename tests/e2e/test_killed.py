"""kill -9 at every named point: nothing is lost, nothing is sent twice (PRODUCT.md, promise 3).

The upstream lives in the test's process and counts; only the service dies and comes back.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from approvals.app import open_services
from approvals.demo.stage import served
from approvals.storage.opening import opened
from tests.e2e.deployment import settings_in
from tests.e2e.upstream import Upstream
from tests.e2e.world import configured, keys_for, text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from approvals.storage.postgres import PostgresStore
    from approvals.storage.sqlite import SqliteStore

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("database")]
ROOT = Path(__file__).parent.parent.parent
ACT = ("act", {"what": "x"})


@dataclass
class Killed:
    """A folder with a database, an upstream that stays, and services that come and go."""

    folder: Path
    upstream: Upstream
    keys: dict[str, str]

    @asynccontextmanager
    async def store(self) -> AsyncIterator[SqliteStore | PostgresStore]:
        """The database while no service runs."""
        config = self.folder / "approvals.yaml"
        settings = settings_in(self.folder, config=config, upstream_timeout=timedelta(seconds=20))
        async with opened(settings.database_url) as database:
            yield database.store

    @asynccontextmanager
    async def service(self, point: str) -> AsyncIterator[Service]:
        """A service process that dies at `point`, or is killed at the end."""
        port = free_port()
        command = (sys.executable, "-m", "tests.e2e.killable", str(self.folder), str(port), point)
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
        service = Service(f"http://127.0.0.1:{port}", process, self.keys)
        try:
            await service.ready()
            yield service
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@dataclass
class Service:
    url: str
    process: asyncio.subprocess.Process
    keys: dict[str, str]

    async def ready(self) -> None:
        async with asyncio.timeout(30), httpx2.AsyncClient(trust_env=False) as http:
            while True:
                try:
                    if (await http.get(f"{self.url}/readyz")).status_code == 200:
                        return
                except httpx2.HTTPError:
                    await asyncio.sleep(0.05)

    async def rest(self, method: str, path: str, *, by: str, body: object = None) -> Any:
        headers = {"authorization": f"Bearer {self.keys[by]}"}
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
            response = await http.request(method, self.url + path, headers=headers, json=body)
            return response.json()

    async def approvals(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.rest("GET", "/v1/approvals", by="carol"))[
            "approvals"
        ]
        return found

    async def outcome(self) -> str:
        """How the release ended. On PostgreSQL a dead process is given up after 15 seconds."""
        async with asyncio.timeout(25):
            while True:
                [approval] = await self.approvals()
                if approval["release"]["status"] != "sent":
                    return str(approval["release"]["status"])
                await asyncio.sleep(0.1)

    async def pending(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                for approval in await self.approvals():
                    if approval["status"] == "pending":
                        return approval
                await asyncio.sleep(0.03)

    async def approve(self, approval: dict[str, Any]) -> Any:
        path = f"/v1/approvals/{approval['id']}/approve"
        return await self.rest("POST", path, by="bob", body={"digest": approval["digest"]})

    async def call(self) -> str:
        """A real MCP client asks, and waits for what comes."""
        headers = {"authorization": f"Bearer {self.keys['bot']}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
            transport = streamable_http_client(f"{self.url}/mcp/up", http_client=http)
            async with McpClient(transport) as agent:
                return text(await agent.call_tool(*ACT))

    async def dies(self) -> None:
        async with asyncio.timeout(20):
            assert await self.process.wait() == -signal.SIGKILL


@asynccontextmanager
async def prepared(
    folder: Path, *, timeout: str = "15m", document: dict[str, Any] | None = None
) -> AsyncIterator[Killed]:
    upstream = Upstream()
    async with served(upstream.app()) as url:
        config = configured(folder, f"{url}/mcp", document=document, timeout=timeout)
        settings = settings_in(folder, config=config, upstream_timeout=timedelta(seconds=20))
        async with open_services(settings) as (services, _):
            keys = await keys_for(services)
        yield Killed(folder, upstream, keys)


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


async def run_until_killed(killed: Killed, point: str, *, approve: bool = True) -> None:
    """An agent asks, bob approves, and the service dies at `point`."""
    async with killed.service(point) as service:
        calling = asyncio.create_task(service.call())
        if approve:
            approval = await service.pending()
            await asyncio.gather(service.approve(approval), return_exceptions=True)
        await service.dies()
        await asyncio.gather(calling, return_exceptions=True)


async def test_killed_after_parking_the_call_is_still_there_and_runs_once_when_approved(
    tmp_path: Path,
) -> None:
    async with prepared(tmp_path) as killed:
        await run_until_killed(killed, "after:parked", approve=False)
        async with killed.service("never") as service:
            [approval] = await service.approvals()
            assert approval["status"] == "pending"
            calling = asyncio.create_task(service.call())
            await service.approve(approval)
            assert await calling == "did x 0"
            assert len(await service.approvals()) == 1
        assert killed.upstream.ran == {"x": 1}


async def test_killed_after_the_decision_nothing_runs_until_it_is_asked_again_then_once(
    tmp_path: Path,
) -> None:
    async with prepared(tmp_path) as killed:
        await run_until_killed(killed, "after:approved")
        async with killed.service("never") as service:
            [approval] = await service.approvals()
            assert approval["status"] == "approved"
            await asyncio.sleep(0.5)
            assert killed.upstream.calls == 0
            assert await service.call() == "did x 0"
        assert killed.upstream.ran == {"x": 1}


async def test_killed_before_sent_was_written_the_approval_is_intact_and_runs_once(
    tmp_path: Path,
) -> None:
    async with prepared(tmp_path) as killed:
        await run_until_killed(killed, "before:sent")
        assert killed.upstream.calls == 0
        async with killed.service("never") as service:
            assert [a["status"] for a in await service.approvals()] == ["approved"]
            assert await service.call() == "did x 0"
        assert killed.upstream.ran == {"x": 1}


@pytest.mark.parametrize(
    ("point", "ran"),
    [("after:sent", 0), ("before:succeeded", 1)],
    ids=["after sent was written", "after the answer, before it was written"],
)
async def test_killed_between_sending_and_recording_the_outcome_is_unknown_and_never_sent_again(
    tmp_path: Path, point: str, ran: int
) -> None:
    async with prepared(tmp_path) as killed:
        await run_until_killed(killed, point)
        assert killed.upstream.calls == ran
        async with killed.service("never") as service:
            assert await service.outcome() == "outcome_unknown"
            told = await service.call()
            assert told.startswith("OUTCOME UNKNOWN: the call was approved and sent")
            assert killed.upstream.calls == ran


async def test_killed_while_the_tool_works_the_outcome_is_unknown_and_never_sent_again(
    tmp_path: Path,
) -> None:
    async with prepared(tmp_path) as killed:
        killed.upstream.pause.clear()
        async with killed.service("never") as service:
            calling = asyncio.create_task(service.call())
            await service.approve(await service.pending())
            async with asyncio.timeout(10):
                while not killed.upstream.calls:
                    await asyncio.sleep(0.02)
            service.process.kill()
            await service.dies()
            await asyncio.gather(calling, return_exceptions=True)
        killed.upstream.pause.set()
        async with killed.service("never") as service:
            assert (await service.call()).startswith("OUTCOME UNKNOWN")
        assert killed.upstream.ran == {"x": 1}


async def test_killed_after_the_outcome_was_written_the_next_call_gets_it_and_nothing_runs_again(
    tmp_path: Path,
) -> None:
    async with prepared(tmp_path) as killed:
        await run_until_killed(killed, "after:succeeded")
        async with killed.service("never") as service:
            [approval] = await service.approvals()
            assert approval["release"]["status"] == "succeeded"
            assert await service.call() == "did x 0"
            assert len(await service.approvals()) == 1
        assert killed.upstream.ran == {"x": 1}


async def test_killed_as_the_outcome_was_handed_over_a_person_is_asked_and_nothing_runs_again(
    tmp_path: Path,
) -> None:
    async with prepared(tmp_path) as killed:
        await run_until_killed(killed, "after:delivered")
        async with killed.service("never") as service:
            again = asyncio.create_task(service.call())
            await service.pending()
            again.cancel()
            await asyncio.gather(again, return_exceptions=True)
        assert killed.upstream.ran == {"x": 1}


async def test_what_became_overdue_while_the_service_was_dead_expires_at_the_next_start(
    tmp_path: Path,
) -> None:
    async with prepared(tmp_path, timeout="1s") as killed:
        await run_until_killed(killed, "after:parked", approve=False)
        await asyncio.sleep(timedelta(seconds=1.1).total_seconds())
        async with killed.service("never") as service:
            [approval] = await service.approvals()
            assert approval["status"] == "expired"
            refused = await service.approve(approval)
            assert refused["code"] == "expired"
        async with killed.store() as store:
            events = await store.events(approval["id"])
            assert [event.fact.type for event in events] == ["parked", "expired"]
        assert killed.upstream.calls == 0
