"""Real agents, people and replicas write an audit that verifies at any moment."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import World, text, world

pytestmark = pytest.mark.anyio


async def verified(w: World) -> dict[str, Any]:
    response = await w.rest("GET", "/v1/audit/verify", by="dan")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_the_audit_verifies_while_agents_call_and_people_decide(
    tmp_path: Path, deployment: str
) -> None:
    """Half of the calls are approved and run, half are denied; all processes seal meanwhile."""
    async with world(tmp_path) as w, w.agent() as agent:
        calls = [asyncio.create_task(agent.call_tool("act", {"what": str(n)})) for n in range(12)]
        waiting = await w.pending(12)
        for n, approval in enumerate(waiting):
            await (w.approve(approval) if n % 2 else w.deny(approval))
            if n % 4 == 0:
                sealing = [w.services.audit.seal_due() for _ in range(2)]
                found, *_ = await asyncio.gather(verified(w), *sealing)
                assert found["findings"] == []
        answers = [text(await call) for call in calls]
        assert sum(answer.startswith("did") for answer in answers) == 6
        await agent.call_tool("look", {"what": "x"})
        await w.services.audit.seal_due()
        found = await verified(w)
        assert (found["ok"], found["approvals"], found["unsealed"]) == (True, 12, 0)
        assert found["newest_seal"]["number"] == found["seals"] > 1


async def test_events_are_sealed_without_being_asked(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.parked()
        async with asyncio.timeout(30):
            while (await verified(w))["unsealed"]:
                await asyncio.sleep(0.5)
        assert (await verified(w))["newest_seal"]["number"] == 1
