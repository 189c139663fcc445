"""The code of docs/how-to/webhooks.md, as it stands there: a receiver by which a person decides."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from tests.docs.pages import ROOT, blocks
from tests.e2e.world import text
from tests.webhooks.receiver import OPS, OTHER, SECRET, Receiver, desk

pytestmark = pytest.mark.anyio


async def test_the_recipe_shows_a_call_and_decides_on_what_was_shown(tmp_path: Path) -> None:
    [recipe] = [one for one in blocks(ROOT / "docs/how-to/webhooks.md") if one.kind == "python"]
    shown: list[dict[str, Any]] = []
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}) as w, w.agent() as agent:
        names: dict[str, Any] = {
            "SECRET": SECRET,
            "APPROVALS_URL": w.people_url,
            "show_to_a_person": shown.append,
            "http": httpx2,
        }
        exec(recipe.text, names)
        calling = asyncio.create_task(agent.call_tool("act", {"what": "lunch"}))
        letter = await ops.letter("approval.requested")
        names["received"](letter.body, letter.headers)
        [approval] = shown
        assert approval["arguments"] == {"what": "lunch"}

        await asyncio.to_thread(names["decided"], approval, w.keys["bot"], "approve")
        await asyncio.to_thread(
            names["decided"], {**approval, "digest": "v1:sha256:0"}, w.keys["bob"], "approve"
        )
        assert (await w.status(approval["id"]))["status"] == "pending"
        await asyncio.to_thread(names["decided"], approval, w.keys["bob"], "approve")
        assert "did lunch" in text(await calling)

        names["SECRET"] = OTHER
        with pytest.raises(WebhookVerificationError):
            names["received"](letter.body, letter.headers)
    assert len(shown) == 1
