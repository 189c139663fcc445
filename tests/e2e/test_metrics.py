"""`/metrics` of whole deployments: facts once over all replicas, and how things stand."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from approvals.errors import Unavailable
from tests.e2e.deployment import deployed
from tests.e2e.test_caller import report, take
from tests.e2e.test_freeze import freeze
from tests.e2e.world import Slowed, World, policy, world
from tests.telemetry.reading import samples, scraped, scraped_until

if TYPE_CHECKING:
    from approvals.ports import Store
    from approvals.ports.telling import Notice

pytestmark = pytest.mark.anyio
deployment = pytest.mark.usefixtures("deployment")

REQUIRED = 'approvals_verdicts_total{verdict="require_approval"}'
BY_REST = 'approvals_decisions_total{channel="rest",decision="approve"}'
TOLD = 'approvals_deliveries_total{channel_kind="log",result="told"}'


def of(found: dict[str, float], *names: str) -> list[float]:
    return [found[name] for name in names]


class Instead:
    """The real store, with other answers to some questions."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers
        self._store: Any = None

    def __call__(self, store: Store) -> Instead:
        self._store = store
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for while a copy is made
            raise AttributeError(name)
        return self._answers.get(name) or getattr(self._store, name)


@deployment
async def test_a_held_call_is_counted_once_on_its_whole_way(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        before = await scraped_until(w, lambda found: found["approvals_pending"] > 0)
        replicas = len({w.url, w.people_url})
        assert before["approvals_pending"] == replicas
        assert before["approvals_processes"] == replicas**2
        assert 0 < before["approvals_pending_oldest_seconds"] < 60
        for _ in range(3):
            assert (await w.approve(approval)).status_code == 200
        await calling
        found = await scraped_until(w, lambda found: found[TOLD] >= 3)
        assert of(found, REQUIRED, "approvals_parked_total", BY_REST) == [1, 1, 1]
        assert found['approvals_ended_total{status="approved"}'] == 1
        assert found['approvals_released_total{outcome="succeeded"}'] == 1
        for name in ("wait", "decide_to_release", "upstream"):
            assert found[f"approvals_{name}_seconds_count"] == 1
            assert 0 < found[f"approvals_{name}_seconds_sum"] < 30
        assert found["approvals_delivery_lag_seconds_count"] == found[TOLD] == 3
        assert found["approvals_delivery_lag_seconds_sum"] < 90
        assert found["approvals_flush_operations_sum"] >= 4
        assert found["approvals_flush_seconds_count"] > 0
        await scraped_until(w, lambda found: found["approvals_pending"] == 0)


@deployment
async def test_each_verdict_is_counted_on_both_ways_in(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        await agent.call_tool("look", {"what": "x"})
        with pytest.raises(Exception, match="Unknown tool"):
            await agent.call_tool("hidden_act", {"what": "x"})
        for tool in ("look", "no_such_tool", "hidden_act"):
            asked = {"server": "up", "tool": tool, "arguments": {"what": "x"}}
            await w.rest("POST", "/v1/approvals", by="bot", json_body=asked)
        await freeze(w)
        await w.create({"what": "x"})
        found = await scraped_until(w, lambda found: found["approvals_frozen"] > 0)
        assert found['approvals_verdicts_total{verdict="allow"}'] == 2
        assert found['approvals_verdicts_total{verdict="deny"}'] == 1
        assert found['approvals_verdicts_total{verdict="hide"}'] == 1
        assert found['approvals_refusals_total{reason="unknown_tool"}'] == 1
        assert found['approvals_refusals_total{reason="frozen"}'] == 1


@deployment
async def test_a_call_nobody_answers_is_recorded_soon_after_its_deadline(tmp_path: Path) -> None:
    async with world(tmp_path, timeout="1s") as w:
        await w.parked()
        expired = 'approvals_ended_total{status="expired"}'
        found = await scraped_until(w, lambda found: found[expired] > 0)
        assert found[expired] == found["approvals_expiry_lag_seconds_count"] == 1
        assert 0 < found["approvals_expiry_lag_seconds_sum"] < 10
        assert found["approvals_wait_seconds_count"] == 0


async def test_an_outcome_that_nobody_knows_is_counted_and_its_correction_beside_it(
    tmp_path: Path,
) -> None:
    unknown = 'approvals_released_total{outcome="outcome_unknown"}'
    async with world(tmp_path, upstream_timeout=timedelta(milliseconds=300)) as w, w.agent() as a:
        w.upstream.pause.clear()
        calling = asyncio.create_task(a.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        await w.approve(approval)
        await calling
        w.upstream.pause.set()
        found = await scraped(w)
        assert found[unknown] == 1
        assert found["approvals_upstream_seconds_count"] == 0
        mine = await w.parked({"what": "mine"})
        await w.approve(mine)
        await take(w, mine)
        await report(w, mine, "succeeded")
        found = await scraped(w)
        assert found['approvals_released_total{outcome="succeeded"}'] == 1
        assert found["approvals_decide_to_release_seconds_count"] == 2
        assert found["approvals_upstream_seconds_count"] == 0


async def test_a_call_whose_client_left_while_it_was_parked_is_counted(tmp_path: Path) -> None:
    """The write goes on without the request that asked for it."""
    slow = Slowed("parked", after=60)
    async with world(tmp_path, wrap_store=slow) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        await w.pending()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        assert (await scraped(w))["approvals_parked_total"] == 1


async def test_a_channel_that_cannot_be_told_is_counted_each_time(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        channels: Any = w.services.channels
        channels._log = Deaf()
        await w.parked()
        failed = 'approvals_deliveries_total{channel_kind="log",result="failed"}'
        found = await scraped_until(w, lambda found: found[failed] >= 2)
        assert found[TOLD] == found["approvals_delivery_lag_seconds_count"] == 0


class Deaf:
    async def announce(self, notice: Notice) -> None:
        raise ConnectionError(f"{notice.delivery.kind} is not heard")


async def test_a_job_that_fails_is_counted_by_its_name(tmp_path: Path) -> None:
    async def broken(**_: object) -> list[object]:
        raise Unavailable("on purpose")

    async with world(tmp_path, wrap_store=Instead(to_remind=broken)) as w:
        failed = 'approvals_job_failures_total{name="remind_due"}'
        found = await scraped_until(w, lambda found: found[failed] >= 2)
        assert found['approvals_job_failures_total{name="expire_due"}'] == 0


@pytest.mark.parametrize("how", ["refuses", "hangs"])
async def test_while_the_database_does_not_answer_the_rest_is_still_told(
    tmp_path: Path, how: str
) -> None:
    async def silent() -> None:
        if how == "hangs":
            await asyncio.sleep(60)
        raise Unavailable("on purpose")

    async with world(tmp_path, wrap_store=Instead(backlog=silent)) as w:
        await w.parked()
        async with asyncio.timeout(10):
            found = await scraped(w)
        assert found["approvals_database_up"] == 0
        assert found["approvals_parked_total"] == 1
        assert not found.keys() & {"approvals_pending", "approvals_frozen"}


async def test_however_many_ask_the_queue_is_counted_once_a_second(tmp_path: Path) -> None:
    asked = 0

    async with world(tmp_path, wrap_store=(instead := Instead())) as w:

        async def counting() -> Any:
            nonlocal asked
            asked += 1
            return await instead._store.backlog()

        instead._answers["backlog"] = counting
        await asyncio.gather(*(scraped(w) for _ in range(50)))
        assert asked <= 2


@deployment
async def test_a_configuration_that_does_not_load_or_that_replicas_differ_in_shows(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        replicas = len({w.url, w.people_url})
        found = await scraped(w)
        assert found["approvals_configuration_loaded"] == replicas
        path = tmp_path / "approvals.yaml"
        good = path.read_text()
        path.write_text(good.replace('"servers"', '"serverz"'))
        await w.rest("POST", "/v1/policies/reload", by="carol", json_body={})
        found = await scraped(w)
        assert found["approvals_configuration_loaded"] == replicas - 1
        changed = {**json.loads(good), "approval": {"timeout": "14m"}}
        path.write_text(json.dumps(changed))
        await w.services.rules.reload()  # this process alone
        await scraped_until(w, lambda f: f["approvals_configurations"] == replicas * replicas)


async def test_a_record_that_cannot_be_read_shows(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked()
        with sqlite3.connect(tmp_path / "test.db") as database:
            database.execute(
                "update approvals set requirement = '?' where id = ?", [approval["id"]]
            )
        database.close()
        await w.rest("GET", "/v1/approvals", by="carol")
        assert (await scraped(w))["approvals_unreadable"] == 1


async def test_without_redis_there_is_nothing_to_say_of_hints(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        assert "approvals_hints_listening" not in await scraped(w)


async def test_hints_that_cannot_be_sent_are_counted(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/test.db"
    deployed(tmp_path, database_url=database, redis_url="redis://127.0.0.1:9/0")
    async with world(tmp_path) as w:
        await w.parked()
        found = await scraped_until(w, lambda found: found["approvals_hints_lost_total"] > 0)
        assert found["approvals_hints_listening"] == 0


@pytest.mark.usefixtures("replicas")
async def test_hints_that_come_in_show(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await scraped_until(w, lambda found: found["approvals_hints_listening"] == 2)


async def test_no_name_from_outside_becomes_a_label(tmp_path: Path) -> None:
    """Whoever could make up labels could fill Prometheus with series."""
    async with world(tmp_path, document=policy(default="allow", hide=[])) as w, w.agent() as agent:
        await use_odd_names(w)
        await agent.call_tool("look", {"what": "x"})
        text = (await w.http.get(f"{w.url}/metrics")).text
        labels = set(re.findall(r'(\w+)="', text))
        assert labels == {
            *("verdict", "reason", "decision", "channel", "status", "outcome", "le"),
            *("channel_kind", "result", "name", "version"),
        }
        for name in ("odd_tool", "odd_server", "odd_reason", "bot", "up"):
            assert f'"{name}' not in text
        assert len(samples(text)) < 300


async def use_odd_names(w: World) -> None:
    for n in range(20):
        asked = {"server": f"odd_server_{n}", "tool": f"odd_tool_{n}", "arguments": {}}
        await w.rest("POST", "/v1/approvals", by="bot", json_body=asked)
        asked = {**asked, "server": "up"}
        await w.rest("POST", "/v1/approvals", by="bot", json_body=asked)
    approval = await w.parked()
    await w.deny(approval, reason="odd_reason")


async def test_prometheus_gets_the_text_it_asks_for(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        answer = await w.http.get(f"{w.url}/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert (await w.http.post(f"{w.url}/metrics")).status_code == 405
