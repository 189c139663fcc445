"""`python -m tests.web.screenshots`: the pictures in docs/images."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.e2e.world import world
from tests.web.chromium import LAPTOP, PHONE, window

FOLDER = Path(__file__).parent.parent.parent / "docs" / "images"
POLICY = {
    "version": "1",
    "default": "deny",
    "tools": {
        "binance_us_cancel_order": {
            "require_approval_if": [{"conditions": []}],
            "summary": "Cancel order {orderId} on {symbol}",
            "risk": {
                "category": "Financial",
                "why": "ends a committed trade; a cancelled order cannot be brought back.",
            },
        }
    },
}
CALL = {
    "server": "exchange",
    "tool": "binance_us_cancel_order",
    "arguments": {"symbol": "BTCUSD", "orderId": 12345},
    "justification": "Order is stale, replacing at a better price.",
}
CONFIG = {
    "servers": {"exchange": {"url": "http://127.0.0.1:9/mcp", "policy": POLICY}},
    "agents": {"trader-bot": {"servers": ["exchange"], "owner": "alice"}},
}
TAKEN = (("laptop", LAPTOP, False), ("phone", PHONE, False), ("dark", PHONE, True))


async def main() -> None:
    """Take every picture."""
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        async with world(Path(folder), more=CONFIG) as w:
            asked = await w.rest("POST", "/v1/approvals", by="trader-bot", json_body=CALL)
            id_ = asked.json()["approval"]["id"]
            for name, size, dark in TAKEN:
                async with window(size=size, dark=dark) as seen:
                    await seen.sign_in(w, "bob")
                    await seen.page.goto(f"{seen.inbox}a/{id_}")
                    await seen.page.screenshot(path=FOLDER / f"card-{name}.png")


asyncio.run(main())
