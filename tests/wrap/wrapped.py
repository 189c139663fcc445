"""`approvals wrap` as a process between a real MCP client and a real server."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.cli.test_serve import APPROVALS, Machine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SERVER = [sys.executable, str(Path(__file__).parent.parent / "e2e" / "stdio_server.py")]


@asynccontextmanager
async def wrapped(
    machine: Machine, *command: str, more: dict[str, str] | None = None, mode: str = "auto"
) -> AsyncIterator[Client]:
    """A client whose server is wrapped; the wrap has no other environment than the machine's."""
    parameters = StdioServerParameters(
        command=str(APPROVALS),
        args=["wrap", "--server", "up", "--", *(command or (*SERVER, str(machine.folder)))],
        env={**machine.environment, **(more or {})},
        cwd=str(machine.folder),
    )
    async with Client(stdio_client(parameters), mode=mode) as client:
        yield client


def ran(machine: Machine) -> list[str]:
    """What reached the tool, as it noted itself."""
    noted = machine.folder / "ran"
    return noted.read_text().splitlines() if noted.exists() else []


class Person:
    """The starting person, over REST."""

    def __init__(self, machine: Machine) -> None:
        state = json.loads(machine.state.read_text())
        self._http = httpx2.AsyncClient(
            base_url=machine.url,
            headers={"authorization": f"Bearer {state['key']}"},
            trust_env=False,
            timeout=30,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.aclose()

    async def pending(self, count: int = 1) -> list[dict[str, Any]]:
        """What waits, once there are so many."""
        async with asyncio.timeout(20):
            while True:
                answer = await self._http.get("/v1/approvals?status=pending")
                found: list[dict[str, Any]] = answer.json()["approvals"]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.02)

    async def all_of(self, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        """Every approval of a call with these arguments, whatever became of it."""
        answer = await self._http.get("/v1/approvals?limit=200")
        found = answer.json()["approvals"]
        return [one for one in found if one["arguments"] == arguments]

    async def freeze(self, server: str | None = None, *, status: int = 201) -> None:
        answer = await self._http.post("/v1/freezes", json={"reason": "test", "server": server})
        assert answer.status_code == status, answer.text

    async def approval(self, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self._http.get(f"/v1/approvals/{id_}")).json()
        return found

    async def status(self, id_: str, wanted: str) -> dict[str, Any]:
        """The approval once its release, or it itself, has this status."""
        async with asyncio.timeout(20):
            while True:
                found = await self.approval(id_)
                release = found["release"] or {}
                if wanted in {found["status"], release.get("status")}:
                    return found
                await asyncio.sleep(0.02)

    async def approve(self, approval: dict[str, Any]) -> None:
        body = {"digest": approval["digest"]}
        answer = await self._http.post(f"/v1/approvals/{approval['id']}/approve", json=body)
        assert answer.status_code == 200, answer.text

    async def deny(self, approval: dict[str, Any], reason: str) -> None:
        body = {"reason": reason}
        answer = await self._http.post(f"/v1/approvals/{approval['id']}/deny", json=body)
        assert answer.status_code == 200, answer.text

    async def keys(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._http.get("/v1/keys")).json()["keys"]
        return found
