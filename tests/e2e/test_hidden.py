"""Hidden values occur nowhere but in what is sent, and hide the Approve (SECURITY.md 3 and 6)."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from approvals.channels.log import LogChannel
from approvals.domain.digest import digest
from approvals.domain.strictjson import canonical
from tests.e2e.upstream import arguments_in
from tests.e2e.world import policy, text, world

pytestmark = pytest.mark.anyio

SECRET = "hunter2-very-secret"
INNER = "inner-9f8e7d"
ARGUMENTS: dict[str, object] = {
    "what": "x",
    "api_key": SECRET,
    "note": {"pin_code": INNER, "to": "bob"},
}
RULE = {
    "require_approval_if": [{"conditions": []}],
    "redact": ["args.note.pin_code"],
    "summary": "Do {what} with {api_key}",
}


def document() -> dict[str, Any]:
    return policy(hide=[], tools={"act": RULE, "look": {}})


async def test_hidden_values_are_on_no_surface(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    async with world(tmp_path, document=document(), more={"approval": {"timeout": "15m"}}) as w:
        created = await w.create(ARGUMENTS)
        approval = created.json()["approval"]
        seen.append(created.text)
        for by in ("bob", "carol", "bot"):
            seen.append((await w.rest("GET", f"/v1/approvals/{approval['id']}", by=by)).text)
            seen.append((await w.rest("GET", "/v1/approvals", by=by)).text)
        asked = {"approval_id": approval["id"]}
        seen.append((await w.rest("POST", "/v1/policies/explain", by="bob", json_body=asked)).text)
        assert isinstance(w.services.channels.find("log"), LogChannel)
        await w.services.deliveries.deliver_due()
        await w.services.deliveries.settled()
        seen.append((await w.deny(approval, reason="no")).text)
        seen.append((await w.create(ARGUMENTS)).text)
        events = await w.services.store.events(approval["id"])
        seen.append(str(events))
        hashes = events[0].fact.detail["hidden"]
    assert isinstance(hashes, dict)
    assert set(hashes) == {"/api_key", "/note/pin_code"}
    assert approval["hidden"] == ["/note/pin_code", "/api_key"]
    assert approval["arguments"] == {
        "what": "x",
        "api_key": "[hidden]",
        "note": {"pin_code": "[hidden]", "to": "bob"},
    }
    assert approval["summary"] == 'Do x with "[hidden]" + 1 more'
    for where in (*seen, caplog.text):
        assert SECRET not in where
        assert INNER not in where


async def test_a_call_with_hidden_values_can_be_denied_here_and_not_approved(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, document=document()) as w:
        approval = await w.parked(ARGUMENTS)
        refused = await w.approve(approval)
        assert (refused.status_code, refused.json()["code"]) == (403, "assurance_too_low")
        shown = (await w.rest("GET", f"/v1/approvals/{approval['id']}", by="bob")).json()
        assert shown["viewer"] == {"can_decide": False, "why_not": "assurance_too_low"}
        assert (await w.deny(approval)).json()["status"] == "denied"


async def test_what_the_agent_hears_of_its_denied_call_has_no_hidden_value(tmp_path: Path) -> None:
    async with world(tmp_path, document=document()) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x", "n": 1}))
        [approval] = await w.pending()
        assert approval["hidden"] == []
        await w.approve(approval)
        assert text(await calling) == "did x 1"
        assert arguments_in(w.upstream.seen[0]) == '{"n":1,"what":"x"}'


async def test_the_arguments_are_kept_whole_for_the_one_who_sends_them(tmp_path: Path) -> None:
    async with world(tmp_path, document=document()) as w:
        approval = await w.parked(ARGUMENTS)
        stored = await w.services.store.approval(approval["id"])
        assert stored is not None
        assert stored.call.shown_arguments == ARGUMENTS
    with sqlite3.connect(tmp_path / "test.db") as database:
        rows = database.execute("select * from events").fetchall()
    database.close()
    assert SECRET not in str(rows)


async def test_the_digest_does_not_tell_a_short_secret_to_whoever_tries_all(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, document=document()) as w:
        approval = await w.parked({"what": "x", "otp": "4930"})
        stored = await w.services.store.approval(approval["id"])
        assert stored is not None
        whole = stored.call
        assert digest(whole, stored.requirement, revision=1) != stored.digest
        for number in range(10_000):
            guess = canonical({"what": "x", "otp": f"{number:04}"})
            tried = digest(replace(whole, arguments=guess), stored.requirement, revision=1)
            assert tried != approval["digest"]


async def test_many_hidden_values_do_not_make_a_small_call_a_large_record(tmp_path: Path) -> None:
    async with world(tmp_path, document=document()) as w:
        created = await w.create({"what": "x", "k" * 30_000: [{"pwd": 1}] * 900})
        assert len(created.text) < 200_000
        [hidden] = created.json()["approval"]["hidden"]
        assert hidden == f"/{'k' * 30_000}"


async def test_a_schema_error_does_not_repeat_a_value(tmp_path: Path) -> None:
    async with world(tmp_path, document=document()) as w, w.agent() as agent:
        said = text(await agent.call_tool("act", {"what": "x", "n": SECRET}))
        assert said.startswith("NOT EXECUTED: the arguments do not fit the tool")
        assert SECRET not in said
