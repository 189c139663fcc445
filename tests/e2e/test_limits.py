"""Limits hold exactly, whoever asks at once and however (POLICY.md "Limits", SECURITY.md 20)."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from approvals.demo.stage import served
from tests.e2e.test_killed import ACT, prepared
from tests.e2e.upstream import Upstream
from tests.e2e.world import World, policy, text, world

pytestmark = pytest.mark.anyio

ASKS: dict[str, Any] = {"require_approval_if": [{"conditions": []}]}


def limited(tool: str, *, most: object, rules: dict[str, Any] | None = None, **limit: Any) -> Any:
    """A policy whose one tool has one limit a day."""
    whole = {"counter": "c", "window": "day", "max": most, "scope": "agent", **limit}
    return policy(hide=[], tools={tool: {**(rules or {}), "limits": [whole]}})


def in_policy(tmp_path: Path, text_: str) -> None:
    """The policy as a file, for numbers that a float would change."""
    (tmp_path / "p.json").write_text(text_)


async def test_of_50_calls_at_once_at_most_10_pass_over_the_gateway(tmp_path: Path) -> None:
    async with world(tmp_path, document=limited("look", most=10)) as w, w.agent() as agent:
        results = await asyncio.gather(
            *(agent.call_tool("look", {"what": f"{n}"}) for n in range(50))
        )
        said = Counter(text(result).split(":")[0] for result in results if result.is_error)
        assert said == {"NOT EXECUTED": 40}
        assert len(w.upstream.seen) == 10
        [refused] = {text(result).split(" It starts")[0] for result in results if result.is_error}
        assert refused == "NOT EXECUTED: the limit for such calls is reached."


async def test_of_50_calls_at_once_at_most_10_pass_over_rest(tmp_path: Path) -> None:
    async with world(tmp_path, document=limited("look", most=10)) as w:
        answers = await asyncio.gather(*(_ask(w, {"what": f"{n}"}) for n in range(50)))
        assert Counter(found["verdict"] for found in answers) == {"allow": 10, "deny": 40}
        codes = {found["refusal"]["code"] for found in answers if found["refusal"]}
        assert codes == {"rate_limited"}
        waits = {found["refusal"]["retry_after"] for found in answers if found["refusal"]}
        assert all(0 < wait <= 86_400 for wait in waits)


async def test_sessions_of_one_agent_and_its_programs_share_a_counter(tmp_path: Path) -> None:
    async with (
        world(tmp_path, document=limited("look", most=5)) as w,
        w.agent("legacy") as one,
        w.agent("legacy") as another,
    ):
        ran = [
            not (await client.call_tool("look", {"what": f"{n}"})).is_error
            for n, client in enumerate((one, another, one, another))
        ]
        assert ran == [True] * 4
        assert (await _ask(w, {"what": "rest"}))["verdict"] == "allow"
        assert (await one.call_tool("look", {"what": "more"})).is_error
        assert (await another.call_tool("look", {"what": "more"})).is_error


async def test_another_agent_has_a_counter_of_its_own(tmp_path: Path) -> None:
    async with world(tmp_path, document=limited("look", most=1)) as w:
        assert (await _ask(w, {"what": "1"}))["verdict"] == "allow"
        assert (await _ask(w, {"what": "2"}))["verdict"] == "deny"
        assert (await _ask(w, {"what": "3"}, by="other"))["verdict"] == "allow"


async def test_spending_is_summed_exactly_to_18_decimals(tmp_path: Path) -> None:
    in_policy(
        tmp_path,
        """{"version": "1", "default": "deny", "tools": {"pay": {"limits": [{"counter": "spent",
        "window": "day", "max": 1.000000000000000001, "scope": "agent",
        "increment": "args.amount"}]}}}""",
    )
    async with world(tmp_path, document="p.json") as w:
        asked = ["0.333333333333333333"] * 3 + ["0.000000000000000003", "0.000000000000000002"]
        said = [await _pay(w, amount) for amount in asked]
        assert said == ["allow", "allow", "allow", "deny", "allow"]
        assert await _pay(w, "0.0000000000000000000000001") == "deny"
        assert await _pay(w, "0") == "allow"


@pytest.mark.parametrize("amount", ["-1", '"5"', "null", "true", "[1]", "{}"])
async def test_what_is_no_amount_is_denied(tmp_path: Path, amount: str) -> None:
    document = limited("pay", most=100, increment="args.amount")
    async with world(tmp_path, document=document) as w:
        body = f'{{"server":"up","tool":"pay","arguments":{{"amount":{amount}}}}}'
        found = (await _post(w, body)).json()
        assert (found["verdict"], found["refusal"]["code"]) == ("deny", "policy_denied")
        missing = (await _post(w, '{"server":"up","tool":"pay","arguments":{}}')).json()
        assert missing["refusal"]["rule"] == "/tools/pay/limits/0"


async def test_approved_calls_take_their_room_when_they_are_sent(tmp_path: Path) -> None:
    document = limited("act", most=2, rules=ASKS)
    async with world(tmp_path, document=document) as w, w.agent() as agent:
        calls = [asyncio.create_task(agent.call_tool("act", {"what": f"{n}"})) for n in range(3)]
        for approval in await w.pending(3):
            assert (await w.approve(approval)).status_code == 200
        results = await asyncio.gather(*calls)
        refused = [text(result) for result in results if result.is_error]
        assert len(refused) == 1
        assert w.upstream.calls == 2
        assert "It stays approved for a while." in refused[0]
        left = (await w.rest("GET", "/v1/approvals?status=approved", by="carol")).json()
        assert len(left["approvals"]) == 1
        late = await agent.call_tool("act", {"what": "late"})
        assert text(late).startswith("NOT EXECUTED: the limit for such calls is reached.")


async def test_a_call_that_did_not_go_out_gives_its_room_back(tmp_path: Path) -> None:
    document = limited("act", most=1, rules=ASKS)
    async with world(tmp_path, document=document) as w:
        for status, then in (("not_sent", 200), ("failed", 429)):
            approval = (await w.create({"what": status})).json()["approval"]
            await w.approve(approval)
            assert (await _release(w, approval)).status_code == 200
            asked = (await w.create({"what": f"after {status}"})).json()
            if status == "not_sent":
                assert asked["refusal"]["code"] == "rate_limited"
            await _report(w, approval, status)
            again = (await w.create({"what": f"after {status}"})).json()
            assert (again["refusal"] is None) is (then == 200)


async def test_an_allowed_call_that_cannot_reach_its_server_gives_its_room_back(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as going:
        url = await going.enter_async_context(served(Upstream().app()))
        server = {"url": f"{url}/mcp", "policy": limited("look", most=2)}
        more = {
            "servers": {"second": server},
            "agents": {"bot": {"servers": ["second"], "owner": "alice"}},
        }
        async with world(tmp_path, more=more) as w, w.agent("legacy", server="second") as agent:
            assert not (await agent.call_tool("look", {"what": "there"})).is_error
            await going.aclose()
            assert (await agent.call_tool("look", {"what": "gone"})).is_error
            asked = [await _ask(w, {"what": f"{n}"}, server="second") for n in range(2)]
            assert [found["verdict"] for found in asked] == ["allow", "deny"]


async def test_releasing_twice_reserves_once(tmp_path: Path) -> None:
    """The same release token, asked ten times at once, is one reservation."""
    document = limited("act", most=2, rules=ASKS)
    async with world(tmp_path, document=document) as w:
        one = (await w.create({"what": "one"})).json()["approval"]
        two = (await w.create({"what": "two"})).json()["approval"]
        for approval in (one, two):
            await w.approve(approval)
        answers = await asyncio.gather(*(_release(w, one) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {200}
        assert (await _release(w, two)).status_code == 200


async def test_a_crash_between_reserving_and_sending_denies_more_never_less(
    tmp_path: Path,
) -> None:
    document = limited("act", most=1, rules=ASKS)
    async with prepared(tmp_path, document=document) as killed:
        async with killed.service("after:reserved") as service:
            calling = asyncio.create_task(service.call())
            await service.approve(await service.pending())
            await service.dies()
            await asyncio.gather(calling, return_exceptions=True)
        assert killed.upstream.calls == 0
        async with killed.service("never") as service:
            body = {"server": "up", "tool": ACT[0], "arguments": {"what": "another"}}
            found = await service.rest("POST", "/v1/approvals", by="bot", body=body)
            assert found["refusal"]["code"] == "rate_limited"
            assert await service.call() == "did x 0"  # what was reserved was reserved for it
        assert killed.upstream.ran == {"x": 1}


async def _ask(
    w: World, arguments: dict[str, object], *, by: str = "bot", server: str = "up"
) -> Any:
    body = {"server": server, "tool": "look", "arguments": arguments}
    return (await w.rest("POST", "/v1/approvals", by=by, json_body=body)).json()


async def _pay(w: World, amount: str) -> str:
    body = f'{{"server":"up","tool":"pay","arguments":{{"amount":{amount}}}}}'
    found: str = (await _post(w, body)).json()["verdict"]
    return found


async def _post(w: World, body: str) -> Any:
    headers = {"authorization": f"Bearer {w.keys['bot']}", "content-type": "application/json"}
    return await w.http.post(f"{w.url}/v1/approvals", content=body, headers=headers)


async def _release(w: World, approval: dict[str, Any]) -> Any:
    path = f"/v1/approvals/{approval['id']}/release"
    body = {"release_token": f"token-of-{approval['id']}", "digest": approval["digest"]}
    return await w.rest("POST", path, by="bot", json_body=body)


async def _report(w: World, approval: dict[str, Any], status: str) -> Any:
    path = f"/v1/approvals/{approval['id']}/release/outcome"
    body = {"release_token": f"token-of-{approval['id']}", "status": status}
    return await w.rest("POST", path, by="bot", json_body=body)
