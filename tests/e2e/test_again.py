"""The client gives up and asks again: the list "what an arriving call meets" (GATEWAY.md)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from approvals.errors import Unavailable, Undetermined
from approvals.ports import Answer, Operation
from tests.e2e.killable import kind_of
from tests.e2e.raw import asked
from tests.e2e.world import ERAS, Slowed, World, policy, text, world

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("deployment")]
both_eras = pytest.mark.parametrize("era", ERAS)
ACT = ("act", {"what": "x"})
SHORT = timedelta(milliseconds=250)


async def given_up(w: World, era: str) -> None:
    """A client that asks and then closes its connection while the call is held."""
    calling = await asked(w, era)
    await w.pending()
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)


@both_eras
async def test_a_client_that_gave_up_attaches_when_it_asks_again(tmp_path: Path, era: str) -> None:
    async with world(tmp_path) as w:
        await given_up(w, era)
        async with w.agent(era) as agent:
            calling = asyncio.create_task(agent.call_tool(*ACT))
            await asyncio.sleep(0.1)
            [approval] = await w.pending()
            await w.approve(approval)
            assert text(await calling) == "did x 0"
            assert w.upstream.ran == {"x": 1}
            everything = (await w.rest("GET", "/v1/approvals", by="carol")).json()["approvals"]
            assert len(everything) == 1


@both_eras
async def test_approved_with_nobody_attached_runs_when_it_is_asked_again_and_only_once(
    tmp_path: Path, era: str
) -> None:
    async with world(tmp_path) as w:
        await given_up(w, era)
        [approval] = await w.pending()
        await asyncio.sleep(0.1)
        assert (await w.approve(approval)).status_code == 200
        await asyncio.sleep(0.2)
        assert w.upstream.calls == 0
        async with w.agent(era) as agent:
            assert text(await agent.call_tool(*ACT)) == "did x 0"
        assert w.upstream.ran == {"x": 1}
        assert (await w.status(approval["id"]))["release"]["status"] == "succeeded"


@both_eras
async def test_a_client_that_missed_the_result_gets_it_once_without_a_second_execution(
    tmp_path: Path, era: str
) -> None:
    async with world(tmp_path, hold=timedelta(seconds=20)) as w:
        w.upstream.pause.clear()
        calling = await asked(w, era)
        [approval] = await w.pending()
        await w.approve(approval)
        while not w.upstream.calls:
            await asyncio.sleep(0.01)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await asyncio.sleep(0.1)
        w.upstream.pause.set()
        await finished(w, approval["id"])
        async with w.agent(era) as agent:
            assert text(await agent.call_tool(*ACT)) == "did x 0"
            assert w.upstream.ran == {"x": 1}
            third = asyncio.create_task(agent.call_tool(*ACT))
            [new] = await w.pending()
            assert new["id"] != approval["id"]
            third.cancel()
            await asyncio.gather(third, return_exceptions=True)


async def test_a_call_being_sent_is_joined_and_both_clients_get_the_one_result(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w, w.agent() as one, w.agent() as two:
        w.upstream.pause.clear()
        first = asyncio.create_task(one.call_tool(*ACT))
        [approval] = await w.pending()
        await w.approve(approval)
        while not w.upstream.calls:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(two.call_tool(*ACT))
        await asyncio.sleep(0.1)
        w.upstream.pause.set()
        assert [text(await first), text(await second)] == ["did x 0", "did x 0"]
        assert w.upstream.ran == {"x": 1}


async def test_twenty_clients_with_the_same_call_share_one_approval_and_one_execution(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        calls = [asyncio.create_task(agent.call_tool(*ACT)) for _ in range(20)]
        [approval] = await w.pending()
        await asyncio.sleep(0.2)
        await w.approve(approval)
        assert {text(await call) for call in calls} == {"did x 0"}
        assert w.upstream.ran == {"x": 1}


async def test_a_denial_is_remembered_for_the_same_call_and_no_new_card_is_made(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        first = asyncio.create_task(agent.call_tool(*ACT))
        [approval] = await w.pending()
        await w.deny(approval)
        await first
        again = await agent.call_tool(*ACT)
        assert approval["id"] in text(again)
        everything = (await w.rest("GET", "/v1/approvals", by="carol")).json()["approvals"]
        assert len(everything) == 1


async def test_the_same_call_after_it_ran_asks_anew_and_says_that_it_ran(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        first = asyncio.create_task(agent.call_tool(*ACT))
        [approval] = await w.pending()
        await w.approve(approval)
        await first
        second = asyncio.create_task(agent.call_tool(*ACT))
        [new] = await w.pending()
        stored = await w.services.store.approval(new["id"])
        assert stored is not None
        assert stored.earlier_run is not None
        assert stored.earlier_run.status == "succeeded"
        assert w.upstream.ran == {"x": 1}
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)


@pytest.mark.parametrize(
    ("changed", "ran"),
    [
        (policy(tools={"act": {"action": "deny", "reason": "No more."}}), 0),
        (policy(tools={"act": {}}), 1),
        (
            policy(
                tools={
                    "act": {
                        "require_approval_if": [
                            {"conditions": [], "approval": {"approvers": ["person:carol"]}}
                        ]
                    }
                }
            ),
            0,
        ),
    ],
    ids=["denies now", "allows now", "asks others now"],
)
async def test_an_approval_given_under_another_policy_is_not_used(
    tmp_path: Path, changed: dict[str, object], ran: int
) -> None:
    """After a restart with a changed policy the same call meets the new policy."""
    async with world(tmp_path, hold=SHORT) as w, w.agent() as agent:
        await agent.call_tool(*ACT)
        [approval] = await w.pending()
        assert (await w.approve(approval)).status_code == 200
    async with world(tmp_path, document=changed, hold=SHORT) as w, w.agent() as agent:
        result = await agent.call_tool(*ACT)
        assert w.upstream.calls == ran
        assert result.is_error is (ran == 0)
        if "deny_if" not in str(changed) and "action" not in str(changed):
            assert (await w.status(approval["id"]))["status_reason"] == "policy_changed"


async def test_a_tool_that_changed_after_approval_is_not_run(tmp_path: Path) -> None:
    async with world(tmp_path, hold=SHORT) as w, w.agent() as agent:
        await agent.call_tool(*ACT)
        [approval] = await w.pending()
        await w.approve(approval)
    async with world(tmp_path, hold=SHORT) as w:
        pass
    changed = type(w.upstream)()
    changed.description = "Now something else entirely."
    async with world(tmp_path, hold=SHORT, upstream=changed) as w, w.agent() as agent:
        result = await agent.call_tool(*ACT)
        assert result.is_error
        assert changed.calls == 0
        assert (await w.status(approval["id"]))["status_reason"] == "definition_changed"


async def finished(w: World, approval_id: str) -> None:
    async with asyncio.timeout(10):
        while True:
            release = (await w.status(approval_id))["release"]
            if release and release["status"] != "sent":
                return
            await asyncio.sleep(0.02)


async def in_flight(w: World) -> tuple[asyncio.Task[object], str]:
    """A client whose approved call has reached the tool, which has not answered yet."""
    w.upstream.pause.clear()

    async def ask() -> object:
        async with w.agent() as agent:
            return await agent.call_tool(*ACT)

    calling = asyncio.create_task(ask())
    [approval] = await w.pending()
    await w.approve(approval)
    async with asyncio.timeout(10):
        while not w.upstream.calls:
            await asyncio.sleep(0.01)
    return calling, approval["id"]


async def leave(calling: asyncio.Task[object]) -> None:
    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    await asyncio.sleep(0.1)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_outcome_recorded_just_as_the_hold_ends_is_not_lost(
    tmp_path: Path, when: str
) -> None:
    """The hold ends while the outcome is being committed, or as the answer of it comes back."""
    slow = Slowed("succeeded", **{when: 1.0})
    async with world(tmp_path, hold=timedelta(seconds=1), wrap_store=slow) as w:
        async with w.agent() as agent:
            first = asyncio.create_task(agent.call_tool(*ACT))
            [approval] = await w.pending()
            await asyncio.sleep(0.4)
            await w.approve(approval)
            said = text(await first)
            if said != "did x 0":
                assert said.startswith("SENT: the call was approved and sent")
                await finished(w, approval["id"])
                assert text(await agent.call_tool(*ACT)) == "did x 0"
        assert w.upstream.ran == {"x": 1}
        everything = (await w.rest("GET", "/v1/approvals", by="carol")).json()["approvals"]
        assert len(everything) == 1


async def test_an_outcome_that_one_client_got_is_not_given_to_a_later_call(
    tmp_path: Path,
) -> None:
    """One client leaves while the call runs, another attaches and gets the result: that was it."""
    async with world(tmp_path) as w:
        leaving, first_id = await in_flight(w)
        await leave(leaving)
        async with w.agent() as two:
            second = asyncio.create_task(two.call_tool(*ACT))
            await asyncio.sleep(0.2)
            w.upstream.pause.set()
            assert text(await second) == "did x 0"
            third = asyncio.create_task(two.call_tool(*ACT))
            [new] = await w.pending()
            assert new["id"] != first_id
            third.cancel()
            await asyncio.gather(third, return_exceptions=True)


async def test_a_client_that_leaves_while_it_is_given_the_outcome_leaves_it_for_the_next(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, wrap_store=Slowed("delivered", after=0.5)) as w:
        leaving, approval_id = await in_flight(w)
        await leave(leaving)
        w.upstream.pause.set()
        await finished(w, approval_id)
        async with w.agent() as two:
            given = asyncio.create_task(two.call_tool(*ACT))
            await asyncio.sleep(0.25)
            await leave(given)
        await asyncio.sleep(1)
        async with w.agent() as three:
            assert text(await three.call_tool(*ACT)) == "did x 0"
        assert w.upstream.ran == {"x": 1}


async def test_an_outcome_is_not_used_up_by_a_call_that_may_not_see_it(tmp_path: Path) -> None:
    """The policy hides the tool meanwhile: the agent learns nothing, and nothing is consumed."""
    async with world(tmp_path) as w:
        leaving, approval_id = await in_flight(w)
        await leave(leaving)
        w.upstream.pause.set()
        await finished(w, approval_id)
    async with world(tmp_path, document=policy(hide=["act"])) as w, w.agent() as agent:
        with pytest.raises(Exception, match="Unknown tool"):
            await agent.call_tool(*ACT)
        stored = await w.services.store.approval(approval_id)
        assert stored is not None
        events = await w.services.store.events(approval_id)
        assert "delivered" not in [event.fact.type for event in events]


async def test_an_outcome_whose_hand_over_nobody_can_confirm_is_given_all_the_same(
    tmp_path: Path,
) -> None:
    """The database is too slow to say whether the mark was written: the outcome is not lost."""
    async with world(tmp_path, wrap_store=Doubtful("delivered")) as w:
        leaving, approval_id = await in_flight(w)
        await leave(leaving)
        w.upstream.pause.set()
        await finished(w, approval_id)
        async with w.agent() as two:
            assert text(await two.call_tool(*ACT)) == "did x 0"
        assert w.upstream.ran == {"x": 1}


async def test_of_two_waiting_clients_one_leaves_and_the_other_has_the_outcome_for_good(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, wrap_store=Slowed("delivered", after=0.4)) as w:
        leaving, first_id = await in_flight(w)
        async with w.agent() as two:
            staying = asyncio.create_task(two.call_tool(*ACT))
            await asyncio.sleep(0.2)
            w.upstream.pause.set()
            await finished(w, first_id)
            await leave(leaving)
            assert text(await staying) == "did x 0"
            await asyncio.sleep(1)
            third = asyncio.create_task(two.call_tool(*ACT))
            [new] = await w.pending()
            assert new["id"] != first_id
            await leave(third)


async def test_a_client_that_left_leaves_its_outcome_also_when_the_database_hesitates(
    tmp_path: Path,
) -> None:
    refusing = Refusing("undelivered", times=2, slow="delivered")
    async with world(tmp_path, wrap_store=refusing) as w:
        leaving, approval_id = await in_flight(w)
        await leave(leaving)
        w.upstream.pause.set()
        await finished(w, approval_id)
        async with w.agent() as two:
            given = asyncio.create_task(two.call_tool(*ACT))
            await asyncio.sleep(0.25)
            await leave(given)
        await asyncio.sleep(2.5)
        async with w.agent() as three:
            assert text(await three.call_tool(*ACT)) == "did x 0"


class Doubtful(Slowed):
    """Applies, and does not say so."""

    async def apply(self, operation: Operation, **how: Any) -> Answer:
        answer = await super().apply(operation, **how)
        if kind_of(operation) == self._kind:
            raise Undetermined("The database has not answered in time.")
        return answer


class Refusing(Slowed):
    """Refuses the first writes of one kind, and is slow to answer those of another."""

    def __init__(self, kind: str, *, times: int, slow: str) -> None:
        super().__init__(slow, after=0.5)
        self._refused, self._times = kind, times

    async def apply(self, operation: Operation, **how: Any) -> Answer:
        if kind_of(operation) == self._refused and self._times:
            self._times -= 1
            raise Unavailable("The database refused the write; nothing was changed.")
        return await super().apply(operation, **how)
