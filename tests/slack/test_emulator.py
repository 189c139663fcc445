"""From the agent to the emulator's channel and back, with the button as it was really posted."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from slack_sdk.signature import SignatureVerifier

from tests.e2e.world import World, text, world
from tests.slack.emulator import Emulator, emulator
from tests.slack.fake import APP, BOT, SECRET

pytestmark = [pytest.mark.anyio, pytest.mark.long]


@asynccontextmanager
async def office(
    folder: Path, **approval: Any
) -> AsyncIterator[tuple[World, Emulator, dict[str, str]]]:
    async with emulator(folder) as slack:
        members = await slack.members()
        people = {name: {"slack": members[name]} for name in ("alice", "bob")}
        admin = {"carol": {"slack": members["carol"], "roles": ["approver", "admin"]}}
        settings = {"timeout": "15m", "channels": ["slack:#trading"], **approval}
        environment = {
            "slack_bot_token": BOT,
            "slack_app_id": APP,
            "slack_base_url": f"{slack.url}/api/",
            "slack_signing_secret": SECRET,
        }
        async with world(
            folder,
            people={**people, **admin},
            more={"approval": settings},
            environment=environment,
        ) as w:
            yield w, slack, members


async def send(w: World, payload: dict[str, Any]) -> httpx2.Response:
    """Signed by the SDK, as Slack signs."""
    body = urlencode({"payload": json.dumps(payload)})
    timestamp = str(int(time.time()))
    made = SignatureVerifier(SECRET).generate_signature(timestamp=timestamp, body=body)
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": timestamp,
        "x-slack-signature": str(made),
    }
    return await w.http.post(f"{w.people_url}/slack/interactions", content=body, headers=headers)


async def press(
    w: World, slack: Emulator, message: dict[str, Any], action: str, member: str
) -> None:
    """Press a button that stands on the message now."""
    [button] = [
        element
        for block in message["blocks"]
        if block["type"] == "actions"
        for element in block["elements"]
        if element["action_id"] == action
    ]
    # A dialog needs a trigger of the emulator, of the app that opens it.
    trigger = await slack.ask("views.generateTriggerId", token=BOT, user_id=member)
    team = (await slack.ask("auth.test"))["team_id"]
    answer = await send(
        w,
        {
            "type": "block_actions",
            "team": {"id": team},
            "user": {"id": member},
            "api_app_id": APP,
            "trigger_id": trigger["trigger_id"],
            "container": {
                "type": "message",
                "message_ts": message["ts"],
                "channel_id": message["channel"],
            },
            "channel": {"id": message["channel"], "name": "trading"},
            "actions": [{key: button[key] for key in ("action_id", "value", "type")}],
        },
    )
    assert answer.status_code == 200, answer.text


async def test_the_button_that_was_posted_releases_the_call(tmp_path: Path) -> None:
    async with office(tmp_path) as (w, slack, members), w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        card = await slack.message("(all 1 argument shown)")
        await press(w, slack, card, "details", members["bob"])
        await press(w, slack, card, "approve", members["bob"])
        assert "did x" in text(await calling)
        ended = await slack.message("Approved by Bob · ran at")
        assert ended["ts"] == card["ts"]
        assert "actions" not in {block["type"] for block in ended["blocks"]}
    assert len(w.upstream.seen) == 1


async def test_a_denial_with_its_reason_reaches_the_agent(tmp_path: Path) -> None:
    async with office(tmp_path) as (w, slack, members), w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        card = await slack.message("(all 1 argument shown)")
        await press(w, slack, card, "deny", members["bob"])
        place = {"channel": card["channel"], "name": "trading", "ts": card["ts"]}
        [value] = {
            element["value"]
            for block in card["blocks"]
            if block["type"] == "actions"
            for element in block["elements"]
        }
        sent = await send(
            w,
            {
                "type": "view_submission",
                "team": {"id": (await slack.ask("auth.test"))["team_id"]},
                "user": {"id": members["bob"]},
                "api_app_id": APP,
                "view": {
                    "callback_id": "denial",
                    "private_metadata": json.dumps({"value": value, **place}),
                    "state": {
                        "values": {
                            "preset": {"preset": {"selected_option": None}},
                            "words": {"words": {"value": "wrong order"}},
                        }
                    },
                },
            },
        )
        assert sent.status_code == 200
        assert "wrong order" in text(await calling)
        await slack.message("Denied by Bob: wrong order")
    assert w.upstream.seen == []


async def test_timeout_cancel_and_a_decision_made_elsewhere_are_shown(tmp_path: Path) -> None:
    async with office(tmp_path, timeout="3s") as (w, slack, _):
        await w.parked({"what": "late"})
        gone = await w.parked({"what": "gone"})
        await w.rest("POST", f"/v1/approvals/{gone['id']}/cancel", by="carol")
        other = await w.parked({"what": "other"})
        await w.approve(other, by="bob")
        await slack.message("Expired")
        await slack.message("Cancelled")
        await slack.message("Approved by Bob")
        for message in await slack.messages():
            assert "actions" not in {block["type"] for block in message["blocks"]}


async def test_two_people_are_needed(tmp_path: Path) -> None:
    async with office(tmp_path, required=2) as (w, slack, members), w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        card = await slack.message("(all 1 argument shown)")
        await press(w, slack, card, "approve", members["bob"])
        half = await slack.message("Approved by Bob")
        assert w.upstream.seen == []
        await press(w, slack, half, "approve", members["carol"])
        assert "did x" in text(await calling)
        await slack.message("Approved by Bob, Approved by Carol · ran at")
