"""Everything that approval settings say, end to end over REST, with a real agent where it waits."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.world import World, policy, text, world

pytestmark = pytest.mark.anyio


def asking(**approval: Any) -> dict[str, Any]:
    """A policy whose `act` asks with these settings."""
    rule = {"conditions": [], "approval": approval}
    return policy(hide=[], tools={"act": {"require_approval_if": [rule]}, "look": {}})


async def post(w: World, approval: dict[str, Any], what: str, *, by: str, **body: Any) -> Any:
    path = f"/v1/approvals/{approval['id']}/{what}"
    return await w.rest("POST", path, by=by, json_body=body)


async def kinds(w: World, approval: dict[str, Any]) -> list[str]:
    return [event.fact.type for event in await w.services.store.events(approval["id"])]


PEOPLE: dict[str, Any] = {
    "alice": {},
    "bob": {},
    "carol": {"roles": ["approver", "admin"]},
    "dan": {},
    "erin": {},
}
TWO = [
    {"name": "desk", "approvers": ["person:bob", "person:carol"], "required": 1},
    {"name": "risk", "approvers": ["person:dan", "person:carol"], "required": 1},
]


async def test_two_stages_need_two_people_and_one_person_counts_for_one(tmp_path: Path) -> None:
    async with world(tmp_path, document=asking(stages=TWO), people=PEOPLE) as w:
        approval = await w.parked()
        after = (await w.approve(approval, by="carol")).json()
        assert after["status"] == "pending"
        assert sum(stage["approved"] for stage in after["progress"]) == 1
        after = (await w.approve(approval, by="bob")).json()
        assert after["status"] == "approved"  # carol counts for risk, since bob can only be desk


async def test_ordered_stages_are_asked_one_after_the_other(tmp_path: Path) -> None:
    document = asking(stages=TWO, ordered=True)
    async with world(tmp_path, document=document, people=PEOPLE) as w:
        approval = await w.parked()
        early = await w.approve(approval, by="dan")
        assert (early.status_code, early.json()["code"]) == (403, "not_an_approver")
        assert (await w.status(approval["id"]))["viewer"]["can_decide"] is True  # carol, in desk
        assert (await w.approve(approval, by="bob")).json()["status"] == "pending"
        assert (await w.approve(approval, by="dan")).json()["status"] == "approved"


async def test_a_later_stage_may_say_no_at_any_time(tmp_path: Path) -> None:
    document = asking(stages=TWO, ordered=True)
    async with world(tmp_path, document=document, people=PEOPLE) as w:
        approval = await w.parked()
        assert (await w.deny(approval, by="dan")).json()["status"] == "denied"


async def test_a_deny_threshold_of_two_needs_two_denials(tmp_path: Path) -> None:
    stage = {"approvers": ["everyone"], "required": 2, "deny_threshold": 2}
    async with world(tmp_path, document=asking(stages=[stage]), people=PEOPLE) as w:
        approval = await w.parked()
        assert (await w.deny(approval, by="bob")).json()["status"] == "pending"
        assert (await w.approve(approval, by="carol")).json()["status"] == "pending"
        assert (await w.deny(approval, by="dan")).json()["status"] == "denied"


async def test_a_stage_that_wants_a_stronger_sign_in_refuses_a_key(tmp_path: Path) -> None:
    stage = {"approvers": ["everyone"], "min_assurance": "web"}
    async with world(tmp_path, document=asking(stages=[stage]), people=PEOPLE) as w:
        refused = await w.approve(await w.parked())
        assert (refused.status_code, refused.json()["code"]) == (403, "assurance_too_low")


async def test_an_approved_call_waits_for_its_release_delay_and_then_runs(tmp_path: Path) -> None:
    async with world(tmp_path, document=asking(release_delay="2s")) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        after = (await w.approve(approval)).json()
        decided, use_from, use_by = (
            datetime.fromisoformat(after[key]) for key in ("decided_at", "use_from", "use_by")
        )
        assert (use_from - decided, use_by - use_from) == (
            timedelta(seconds=2),
            timedelta(minutes=5),
        )
        assert text(await calling) == "did x 0"
        release = (await w.status(approval["id"]))["release"]
        events = await w.services.store.events(approval["id"])
        [sent] = [event.fact.at for event in events if event.fact.type == "sent"]
        assert sent >= use_from
        assert release["status"] == "succeeded"


async def test_an_approval_can_be_taken_back_while_it_is_delayed(tmp_path: Path) -> None:
    async with world(tmp_path, document=asking(release_delay="1h")) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        await w.approve(approval)
        revoked = await post(w, approval, "revoke", by="carol", reason="second thoughts")
        assert (revoked.json()["status"], revoked.json()["status_reason"]) == (
            "cancelled",
            "revoked",
        )
        said = text(await calling)
        assert said.startswith("NOT EXECUTED: an approver took this call back before it was sent.")
        assert w.upstream.calls == 0
        again = await post(w, approval, "revoke", by="carol")
        assert (again.status_code, again.json()["code"]) == (409, "cancelled")


async def test_a_program_may_not_release_before_the_delay_is_over(tmp_path: Path) -> None:
    async with world(tmp_path, document=asking(release_delay="1h")) as w:
        approval = await w.parked()
        await w.approve(approval)
        body = {"release_token": "token-of-the-program", "digest": approval["digest"]}
        refused = await post(w, approval, "release", by="bot", **body)
        assert (refused.status_code, refused.json()["code"]) == (409, "not_approved")
        assert "not to be sent before" in refused.json()["detail"]


@pytest.mark.parametrize(("memory", "asked_again"), [("5m", False), ("0s", True)])
async def test_a_denial_is_remembered_as_long_as_the_rule_says(
    tmp_path: Path, memory: str, asked_again: bool
) -> None:
    async with world(tmp_path, document=asking(deny_memory=memory)) as w:
        approval = await w.parked()
        await w.deny(approval)
        again = (await w.create({"what": "x"})).json()
        assert (again["verdict"] == "require_approval") is asked_again


async def test_people_are_reminded_at_the_given_parts_of_the_time(tmp_path: Path) -> None:
    document = asking(remind_at=[0.2, 0.4, 0.5], timeout="5s")
    async with world(tmp_path, document=document) as w:
        approval = await w.parked()
        async with asyncio.timeout(10):
            while (told := await kinds(w, approval))[-1] != "expired":
                await asyncio.sleep(0.1)
        assert told[0] == "parked"
        assert 2 <= told.count("reminded") <= 3  # two that fall together are one


async def test_a_call_that_is_not_answered_is_escalated_and_the_new_people_get_time(
    tmp_path: Path,
) -> None:
    document = asking(
        approvers=["person:bob"],
        timeout="4s",
        remind_at=[],
        escalate={"after": "1s", "approvers": ["person:dan"]},
    )
    async with world(tmp_path, document=document, people=PEOPLE) as w:
        approval = await w.parked()
        assert (await w.approve(approval, by="dan")).status_code == 403
        first = datetime.fromisoformat(approval["expires_at"])
        async with asyncio.timeout(10):
            while (now := await w.status(approval["id"]))["requirement"]["escalated_at"] is None:
                await asyncio.sleep(0.1)
        assert datetime.fromisoformat(now["expires_at"]) > first
        assert now["digest"] == approval["digest"]
        assert (await w.approve(approval, by="dan")).json()["status"] == "approved"
        assert await kinds(w, approval) == ["parked", "escalated", "approved"]


async def test_a_person_may_escalate_at_once_and_only_once(tmp_path: Path) -> None:
    document = asking(
        approvers=["person:bob"], escalate={"after": "10m", "approvers": ["person:dan"]}
    )
    async with world(tmp_path, document=document, people=PEOPLE) as w:
        approval = await w.parked()
        assert (await post(w, approval, "escalate", by="erin")).status_code == 403
        assert (await post(w, approval, "escalate", by="bob")).status_code == 200
        again = await post(w, approval, "escalate", by="bob")
        assert (again.status_code, again.json()["code"]) == (409, "illegal_transition")
        assert (await w.approve(approval, by="dan")).status_code == 200


async def test_a_deadline_is_moved_within_max_timeout_and_a_card_stays_good(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, document=asking(timeout="10m", max_timeout="1h")) as w:
        approval = await w.parked()
        created = datetime.fromisoformat(approval["created_at"])
        for minutes, status in ((5, 422), (61, 422), (30, 200), (20, 422), (60, 200)):
            until = (created + timedelta(minutes=minutes)).isoformat()
            moved = await post(w, approval, "extend", by="bob", until=until)
            assert moved.status_code == status, moved.text
        assert (await post(w, approval, "extend", by="bob", until="soon")).status_code == 422
        assert (await w.approve(approval)).json()["status"] == "approved"
        late = await post(w, approval, "extend", by="bob", until=created.isoformat())
        assert late.status_code == 409


@pytest.mark.parametrize(("gone", "status"), [("cancel", "cancelled"), ("keep", "pending")])
async def test_a_client_that_leaves_ends_its_call_where_the_rule_says_so(
    tmp_path: Path, gone: str, status: str
) -> None:
    async with world(tmp_path, document=asking(on_requester_gone=gone)) as w:
        async with w.agent("auto") as agent:
            calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
            [approval] = await w.pending()
            calling.cancel()
        async with asyncio.timeout(5):
            while (await w.status(approval["id"]))["status"] != status:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        assert (await w.status(approval["id"]))["status"] == status


async def test_an_agent_hears_who_denied_only_where_the_rule_says_so(tmp_path: Path) -> None:
    for named in (False, True):
        folder = tmp_path / str(named)
        folder.mkdir()
        async with world(folder, document=asking(name_approvers=named)) as w:
            approval = await w.parked()
            await w.deny(approval, reason="no")
            found = await w.rest("GET", f"/v1/approvals/{approval['id']}", by="bot")
            [decision] = found.json()["decisions"]
            assert decision["person"] == ("bob" if named else None)
            refusal = (await w.create({"what": "x"})).json()["refusal"]
            assert ("Reason given by Bob" in refusal["message"]) is named


async def test_the_cap_on_waiting_calls_answers_429_and_a_clear_sentence(tmp_path: Path) -> None:
    more = {"agents": {"bot": {"servers": ["up"], "owner": "alice", "max_pending": 2}}}
    async with world(tmp_path, more=more) as w, w.agent() as agent:
        await w.parked({"what": "1"})
        second = await w.parked({"what": "2"})
        third = await w.create({"what": "3"})
        assert (third.status_code, third.json()["code"]) == (429, "too_many_pending")
        assert int(third.headers["retry-after"]) > 0
        said = text(await agent.call_tool("act", {"what": "3"}))
        assert said.startswith("NOT EXECUTED: 2 calls of this agent already wait for a person.")
        assert (await w.create({"what": "2"})).json()["approval"]["id"] == second["id"]
        await w.deny(second)
        assert (await w.create({"what": "3"})).status_code == 201
