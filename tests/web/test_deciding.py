"""A person reads the card in a browser and decides; the call runs once, or not at all."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.world import world
from tests.web.signed_in import browser, buttons, hidden

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("deployment")]


async def test_what_is_approved_on_the_page_runs_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        call = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        bob = await browser(w, "bob")
        inbox = await bob.get("/")
        assert f'href="{bob.base}/a/{approval["id"]}"' in inbox.text
        done = await bob.pressed(f"/a/{approval['id']}", "approve")
        if done.status_code == 200:  # a critical call is asked about twice
            fields = hidden(done.text, "approve")
            done = await bob.post(f"/a/{approval['id']}/approve", fields)
        assert done.status_code == 303, done.text
        assert not (await call).is_error
        assert w.upstream.calls == 1
        after = await bob.get(f"/a/{approval['id']}")
        assert "Approved by Bob" in after.text
        assert buttons(after.text) == set()
