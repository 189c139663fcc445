"""How long a request is held, by what it declares, and what it is told meanwhile."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from approvals.gateway.waits import Wait
from approvals.outbound import Answer
from approvals.service.waiting import Patience
from tests.e2e.raw import MODERN, ROUTING, call, opened, post
from tests.e2e.world import ERAS, Broken, Slowed, World, text, world

pytestmark = pytest.mark.anyio
both_eras = pytest.mark.parametrize("era", ERAS)

QUICK = Patience(
    hold=timedelta(seconds=2),
    with_progress=timedelta(seconds=4),
    leg=timedelta(milliseconds=300),
    progress_every=timedelta(milliseconds=200),
)


@both_eras
async def test_who_asks_for_progress_is_told_and_held_longer(tmp_path: Path, era: str) -> None:
    told: list[tuple[float, str | None]] = []

    async def tell(progress: float, total: float | None = None, message: str | None = None) -> None:
        assert total is None
        told.append((progress, message))

    async with world(tmp_path, patience=QUICK) as w, w.agent(era) as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}, progress_callback=tell))
        [approval] = await w.pending()
        await asyncio.sleep(2.5)  # longer than without
        await w.approve(approval)
        assert text(await calling) == "did x 0"
    values = [value for value, _ in told]
    assert len(values) > 5
    assert values == sorted(set(values))
    assert told[0][1] is not None
    assert told[0][1].startswith("Waiting for a person until")
    assert approval["id"] in told[0][1]


async def test_a_denial_after_progress_is_an_event_too(tmp_path: Path) -> None:
    async def tell(progress: float, total: float | None = None, message: str | None = None) -> None:
        del progress, total, message

    async with world(tmp_path, patience=QUICK) as w, w.agent("legacy") as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}, progress_callback=tell))
        [approval] = await w.pending()
        await w.deny(approval)
        assert text(await calling).startswith("NOT EXECUTED: a person denied this call.")


async def test_a_client_of_the_2026_era_comes_back_leg_by_leg_and_gets_its_result(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, patience=QUICK) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        await asyncio.sleep(1.5)  # several legs
        assert len(await w.pending()) == 1
        await w.approve(approval)
        assert text(await calling) == "did x 0"
        assert w.upstream.ran == {"x": 1}


async def test_after_the_ninth_leg_it_is_pending_and_not_asked_for_more(tmp_path: Path) -> None:
    async with world(tmp_path, patience=QUICK) as w:
        state: dict[str, Any] = {}
        rounds = 0
        while True:
            said = await leg(w, **state)
            if said["resultType"] != "input_required":
                break
            rounds += 1
            assert set(said) == {"resultType", "requestState"}
            state = {"requestState": said["requestState"]}
        assert rounds == 8
        assert said["_meta"]["mcp-approvals/call"]["code"] == "pending"
        assert len(await w.pending()) == 1


async def test_a_state_counts_for_this_call_of_this_agent_only(tmp_path: Path) -> None:
    async with world(tmp_path, patience=QUICK) as w:
        state = (await leg(w))["requestState"]
        for how in (
            {"by": "other"},
            {"what": "y"},
            {"state": state[:-2] + ("AA" if state[-2:] != "AA" else "BB")},
            {"state": "approvals."},
            {"state": "approvals.\u00e9"},
        ):
            said = await called(w, **{"state": state, **how})
            assert said["error"]["code"] == -32602, how
            assert said["error"]["message"] == "Invalid or expired requestState"
        assert len(await w.pending()) == 1


async def test_a_state_of_ours_is_not_passed_on_to_the_server(tmp_path: Path) -> None:
    async with world(tmp_path, patience=QUICK) as w:
        state = (await leg(w))["requestState"]
        said = json.loads((tmp_path / "approvals.yaml").read_text())
        said["servers"]["up"]["policy"]["tools"]["act"] = {}
        (tmp_path / "approvals.yaml").write_text(json.dumps(said))
        assert (await w.rest("POST", "/v1/policies/reload", by="carol")).status_code == 200
        result = await leg(w, requestState=state)
        assert result["content"][0]["text"] == "did x 0"
        assert [body for body in w.upstream.seen if "requestState" in body] == []


async def test_a_call_that_is_cancelled_is_withdrawn_for_all_who_wait(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        session = await opened(w)
        first = asyncio.create_task(post(w, session, call(7)))
        second = asyncio.create_task(post(w, session, call(8)))
        [approval] = await w.pending()
        await asyncio.sleep(0.5)
        note = {"method": "notifications/cancelled", "params": {"requestId": 7}}
        assert (await post(w, session, note)).status_code == 202
        for answer in await asyncio.gather(first, second):
            assert "NOT EXECUTED: " in answer.text
        assert (await w.status(approval["id"]))["status"] == "cancelled"
        assert w.upstream.calls == 0


async def test_a_call_that_is_cancelled_before_it_is_parked_is_withdrawn(tmp_path: Path) -> None:
    async with world(tmp_path, wrap_store=Slowed("parked", before=1)) as w:
        session = await opened(w)
        calling = asyncio.create_task(post(w, session, call(7)))
        await asyncio.sleep(0.5)
        note = {"method": "notifications/cancelled", "params": {"requestId": 7}}
        assert (await post(w, session, note)).status_code == 202
        assert "NOT EXECUTED: " in (await calling).text
        assert (await w.rest("GET", "/v1/approvals?status=pending", by="carol")).json()[
            "approvals"
        ] == []


async def test_an_allowed_call_that_is_cancelled_before_it_goes_out_is_not_sent(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, wrap_store=Slowed("call_allow", before=1)) as w:
        session = await opened(w)
        look = {**call(7), "params": {"name": "look", "arguments": {"what": "x"}}}
        calling = asyncio.create_task(post(w, session, look))
        await asyncio.sleep(0.5)
        note = {"method": "notifications/cancelled", "params": {"requestId": 7}}
        await post(w, session, note)
        assert "NOT EXECUTED: it was cancelled before it was sent." in (await calling).text
        assert w.upstream.seen == []


async def test_a_cancel_that_could_not_be_written_is_not_acknowledged(tmp_path: Path) -> None:
    store = Broken("cancelled")
    async with world(tmp_path, wrap_store=store) as w:
        session = await opened(w)
        calling = asyncio.create_task(post(w, session, call(7)))
        [approval] = await w.pending()
        await asyncio.sleep(0.3)
        note = {"method": "notifications/cancelled", "params": {"requestId": 7}}
        assert (await post(w, session, note)).status_code == 503
        assert (await w.status(approval["id"]))["status"] == "pending"
        await w.deny(approval)
        await calling


async def test_a_cancel_of_another_session_or_request_changes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        session, other = await opened(w), await opened(w)
        calling = asyncio.create_task(post(w, session, call(7)))
        [approval] = await w.pending()
        for who, id_ in ((other, 7), (session, "7"), (session, 8)):
            note = {"method": "notifications/cancelled", "params": {"requestId": id_}}
            await post(w, who, note)
        assert (await w.status(approval["id"]))["status"] == "pending"
        await w.approve(approval)
        assert "did x 0" in (await calling).text


async def test_of_a_sent_call_the_server_is_told_and_its_answer_is_kept(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.upstream.pause.clear()
        session = await opened(w)
        calling = asyncio.create_task(post(w, session, call(7)))
        [approval] = await w.pending()
        await w.approve(approval)
        while not w.upstream.calls:
            await asyncio.sleep(0.02)
        note = {"method": "notifications/cancelled", "params": {"requestId": 7}}
        assert (await post(w, session, note)).status_code == 202
        assert any('"notifications/cancelled"' in body for body in w.upstream.said)
        w.upstream.pause.set()
        await calling
        after = await w.status(approval["id"])
        assert after["status"] == "released"
        assert w.upstream.calls == 1


async def leg(w: World, **params: Any) -> dict[str, Any]:
    said = await called(w, state=params.get("requestState"))
    result: dict[str, Any] = said["result"]
    return result


async def called(
    w: World, *, by: str = "bot", what: str = "x", state: str | None = None
) -> dict[str, Any]:
    """One `tools/call` of the 2026 era."""
    params: dict[str, Any] = {"name": "act", "arguments": {"what": what}, "_meta": MODERN}
    if state is not None:
        params["requestState"] = state
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"accept": "application/json, text/event-stream", **ROUTING}
    answer = await w.rest("POST", "/mcp/up", by=by, json_body=body, headers=headers)
    said: dict[str, Any] = answer.json()
    return said


async def test_who_has_left_hears_nothing_any_more(tmp_path: Path) -> None:
    """What a server asks then is refused at once, and not kept for nobody."""

    class Client:
        async def tell(self, message: bytes) -> None:
            del message

        async def pass_on(self, answer: Answer) -> None:
            del answer

    async with world(tmp_path) as w:
        parked = await w.parked()
        approval = await w.services.store.approval(parked["id"])
        assert approval is not None
        waits = w.app.state.gateway._relay._calls._waits
        wait = Wait(within=timedelta(seconds=1), streams=True)
        heard: list[Any] = []

        async def leave() -> None:
            async with waits.telling(wait, approval, Client()) as telling:
                heard.append(telling.heard)
                assert telling.heard({"method": "notifications/message"})
                raise asyncio.CancelledError

        await asyncio.gather(leave(), return_exceptions=True)
        assert not heard[0]({"method": "notifications/message"})
