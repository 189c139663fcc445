"""What holds between replicas: one winner, one reload, one revocation, and owners that stall."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bench.load import Client
from tests.contracts.suite import is_whole
from tests.e2e.test_killed import ACT, prepared
from tests.e2e.world import policy, text, world

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("replicas")]


async def test_of_1000_people_deciding_at_once_on_two_replicas_one_wins(tmp_path: Path) -> None:
    people: dict[str, dict[str, object]] = {f"p{n}": {} for n in range(40)}
    people |= {"alice": {}, "carol": {"roles": ["approver", "admin"]}}
    async with world(tmp_path, people=people) as w:
        approval = await w.parked()
        path = f"/v1/approvals/{approval['id']}"
        people_at = {  # lean clients: a thousand others would keep this event loop for themselves
            (url, p): Client(url, w.keys[p]) for url in (w.url, w.people_url) for p in people
        }

        async def decide(n: int) -> tuple[int, str]:
            client = people_at[(w.url, w.people_url)[n // 40 % 2], f"p{n % 40}"]
            what = ("approve", "deny")[n % 2]
            body = {"digest": approval["digest"]} if n % 2 == 0 else {}
            status, said = await client.request("POST", f"{path}/{what}", body)
            return status, json.loads(said).get("code", "")

        said = Counter(await asyncio.gather(*(decide(n) for n in range(1000))))
        for client in people_at.values():
            client.close()
        stored = await w.services.store.approval(approval["id"])
        assert stored is not None
        assert len(stored.decisions) == 1
        assert await is_whole(w.services.store, stored)
        winner = stored.decisions[0].person
        refused = {(409, "already_decided"), (503, "unavailable")}  # the latter on a busy machine
        assert said.keys() <= {(200, ""), *refused}
        # the winner's own repetitions of the same answer are good answers, nobody else's are
        assert 1 <= said[200, ""] <= 25, winner


async def test_what_is_decided_on_one_replica_releases_what_the_other_holds(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        for n in range(5):
            calling = asyncio.create_task(agent.call_tool("act", {"what": f"call {n}"}))
            [approval] = await w.pending()
            async with asyncio.timeout(5):  # far less than a poll a call, were hints lost
                await w.approve(approval)
                assert text(await calling) == f"did call {n} 0"
        assert (await w.status(approval["id"]))["decisions"][0]["person"] == "bob"


async def test_a_reload_asked_of_one_replica_reaches_the_other_within_5_seconds(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        config = tmp_path / "approvals.yaml"
        config.write_text(config.read_text().replace('"bot"', '"robot"', 1))
        reloaded = await w.rest("POST", "/v1/policies/reload", by="carol", json_body={})
        assert reloaded.status_code == 200

        async def unknown() -> bool:
            return (await w.create({"what": "x"})).status_code == 401

        assert (await w.create({"what": "x"})).status_code in {200, 201, 401}
        await within_5_seconds(unknown)

        async def one_hash() -> bool:
            said = (await w.http.get(f"{w.url}/readyz")).json()
            return len(said["configuration"]["of_all"]) == 1 and said["processes"] == 2

        await within_5_seconds(one_hash)


async def test_a_key_revoked_on_one_replica_is_dead_on_the_other_within_5_seconds(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        assert (await w.create({"what": "x"})).status_code == 201
        keys = (await w.rest("GET", "/v1/keys", by="carol")).json()["keys"]
        [mine] = [key for key in keys if key["agent"] == "bot"]
        gone = await w.rest("DELETE", f"/v1/keys/{mine['id']}", by="carol")
        assert gone.status_code < 300

        async def dead() -> bool:
            return (await w.create({"what": "y"})).status_code == 401

        await within_5_seconds(dead)


async def test_limits_and_freezes_are_shared(tmp_path: Path) -> None:
    limited = policy(
        tools={"look": {"limits": [{"counter": "c", "window": "day", "max": 3, "scope": "agent"}]}}
    )
    async with world(tmp_path, document=limited) as w:

        async def look(n: int) -> str:
            url = (w.url, w.people_url)[n % 2]
            key = {"authorization": f"Bearer {w.keys['bot']}"}
            body = {"server": "up", "tool": "look", "arguments": {"what": f"{n}"}}
            said = await w.http.post(f"{url}/v1/approvals", headers=key, json=body)
            return str((said.json()["refusal"] or {}).get("code", "ran"))

        assert Counter(await asyncio.gather(*(look(n) for n in range(20)))) == {
            "ran": 3,
            "rate_limited": 17,
        }
        frozen = await w.rest("POST", "/v1/freezes", by="carol", json_body={"reason": "stop"})
        assert frozen.status_code == 201
        assert {await look(30), await look(31)} == {"frozen"}


async def test_without_redis_the_other_replica_polls_and_says_so(
    tmp_path: Path, postgres_url: str
) -> None:
    from tests.e2e.deployment import deployed

    deployed(tmp_path, database_url=postgres_url, redis_url=None)
    async with world(tmp_path) as w, w.agent() as agent:
        assert (await w.http.get(f"{w.url}/readyz")).json()["hints"] == "polling"
        calling = asyncio.create_task(agent.call_tool(*ACT))
        [approval] = await w.pending()
        await w.approve(approval)
        async with asyncio.timeout(10):
            assert text(await calling) == "did x 0"


@pytest.mark.long
async def test_an_owner_that_stalls_before_it_sends_wakes_up_and_sends_nothing(
    tmp_path: Path,
) -> None:
    async with prepared(tmp_path) as killed, killed.service("never") as other:
        async with killed.service("stop:sent") as owner:
            calling = asyncio.create_task(owner.call())
            await other.approve(await other.pending())
            assert await other.outcome() == "outcome_unknown"
            owner.process.send_signal(signal.SIGCONT)
            assert "OUTCOME UNKNOWN" in await calling
        assert killed.upstream.calls == 0


@pytest.mark.long
async def test_the_late_result_of_an_owner_given_up_for_dead_corrects_the_record(
    tmp_path: Path,
) -> None:
    async with prepared(tmp_path) as killed, killed.service("never") as other:
        killed.upstream.pause.clear()
        async with killed.service("never") as owner:
            calling = asyncio.create_task(owner.call())
            await other.approve(await other.pending())
            async with asyncio.timeout(10):
                while not killed.upstream.calls:
                    await asyncio.sleep(0.02)
            owner.process.send_signal(signal.SIGSTOP)
            assert await other.outcome() == "outcome_unknown"
            killed.upstream.pause.set()
            owner.process.send_signal(signal.SIGCONT)
            assert await calling == "did x 0"
            assert await other.outcome() == "succeeded"
        assert killed.upstream.ran == {"x": 1}


@pytest.mark.long
async def test_a_replica_that_is_told_to_stop_finishes_what_it_sent(
    tmp_path: Path,
) -> None:
    async with prepared(tmp_path) as killed, killed.service("never") as other:
        killed.upstream.pause.clear()
        async with killed.service("never") as owner:
            sent = asyncio.create_task(owner.call())
            await other.approve(await other.pending())
            async with asyncio.timeout(10):
                while not killed.upstream.calls:
                    await asyncio.sleep(0.02)
            owner.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(1)
            killed.upstream.pause.set()
            await asyncio.gather(sent, return_exceptions=True)  # its goodbye finds nobody
            async with asyncio.timeout(30):
                await owner.process.wait()
        assert await other.outcome() == "succeeded"
        assert killed.upstream.ran == {"x": 1}


async def within_5_seconds(so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(5):
        while not await so():
            await asyncio.sleep(0.1)
