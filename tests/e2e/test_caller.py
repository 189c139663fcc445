"""Programs that run an approved call themselves: one release, by the program's own token."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from approvals.domain.states import Released
from approvals.service.caller import CallerReleases
from approvals.service.identity import AgentPrincipal
from approvals.service.minting import RandomIds
from tests.e2e.world import Slowed, World, world

pytestmark = pytest.mark.anyio

TOKEN = "token-of-the-program"
EXACT = '{"what":"x","wei":1000000000000000001,"rate":0.10}'


async def take(w: World, approval: dict[str, Any], *, by: str = "bot", **changes: Any) -> Any:
    body = {"release_token": TOKEN, "digest": approval["digest"], **changes}
    path = f"/v1/approvals/{approval['id']}/release"
    return await w.rest("POST", path, by=by, json_body=body)


async def report(w: World, approval: dict[str, Any], status: str, **changes: Any) -> Any:
    body = {"release_token": TOKEN, "status": status, **changes}
    path = f"/v1/approvals/{approval['id']}/release/outcome"
    return await w.rest("POST", path, by="bot", json_body=body)


async def approved(w: World) -> dict[str, Any]:
    approval = await w.parked()
    assert (await w.approve(approval)).status_code == 200
    return approval


def impatient(w: World) -> CallerReleases:
    """The same use case, with a second to report instead of ten minutes."""
    use = w.services
    return CallerReleases(
        store=use.store,
        approvals=use.approvals,
        gate=use.gate,
        rules=use.rules,
        clock=use.clock,
        ids=RandomIds(),
        signals=use.waiting,
        report_within=timedelta(seconds=1),
    )


async def test_the_release_gives_the_exact_arguments_and_the_outcome_ends_it(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        headers = {"authorization": f"Bearer {w.keys['bot']}"}
        body = f'{{"server":"up","tool":"act","arguments":{EXACT}}}'
        asked = await w.http.post(f"{w.url}/v1/approvals", content=body, headers=headers)
        approval = asked.json()["approval"]
        await w.approve(approval)
        taken = await take(w, approval)
        assert taken.status_code == 200
        assert '"arguments":{"rate":0.10,"wei":1000000000000000001,"what":"x"}' in taken.text
        release = taken.json()["approval"]["release"]
        assert (release["status"], release["report_by"] is None) == ("sent", False)
        done = await report(w, approval, "succeeded", detail="filled")
        assert done.json()["release"] == {
            "status": "succeeded",
            "detail": "filled",
            "at": done.json()["release"]["at"],
            "report_by": release["report_by"],
        }
        again = (await w.create({"what": "x"})).json()
        assert again["approval"]["id"] != approval["id"]  # the program knows how it went


async def test_of_many_programs_at_once_one_takes_the_release(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await approved(w)
        answers = await asyncio.gather(
            *(take(w, approval, release_token=f"token-number-{n:04}") for n in range(20))
        )
        assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 19}
        codes = {answer.json()["code"] for answer in answers if answer.status_code == 409}
        assert codes == {"already_released"}


async def test_the_same_token_again_is_the_same_release(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await approved(w)
        first, second = await take(w, approval), await take(w, approval)
        assert first.json()["arguments"] == second.json()["arguments"]
        await report(w, approval, "failed")
        ended = await take(w, approval)
        assert (ended.status_code, ended.json()["code"]) == (409, "already_released")
        events = [event.fact.type for event in await w.services.store.events(approval["id"])]
        assert events == ["parked", "approved", "sent", "failed"]


async def test_a_release_is_not_answered_again_while_frozen(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await approved(w)
        await take(w, approval)
        await w.rest("POST", "/v1/freezes", by="carol", json_body={"reason": "halt"})
        again = await take(w, approval)
        assert (again.status_code, again.json()["code"]) == (409, "frozen")


async def test_a_release_is_not_answered_again_once_the_policy_denies_the_call(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        approval = await approved(w)
        assert (await take(w, approval)).status_code == 200
        config = tmp_path / "approvals.yaml"
        config.write_text(config.read_text().replace('"act": {', '"act": {"action": "deny", ', 1))
        await w.rest("POST", "/v1/policies/reload", by="carol", json_body={})
        again = await take(w, approval)
        assert (again.status_code, again.json()["code"]) == (409, "not_approved")
        assert (await report(w, approval, "succeeded")).status_code == 200


async def test_a_policy_that_changes_while_the_release_is_written_stops_it(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, wrap_store=Slowed("sent", before=1)) as w:
        approval = await approved(w)
        taking = asyncio.create_task(take(w, approval))
        await asyncio.sleep(0.3)
        config = tmp_path / "approvals.yaml"
        config.write_text(config.read_text().replace('"act": {', '"act": {"action": "deny", ', 1))
        await w.rest("POST", "/v1/policies/reload", by="carol", json_body={})
        refused = await taking
        assert (refused.status_code, refused.json()["code"]) == (409, "not_approved")
        assert (await w.status(approval["id"]))["release"]["status"] == "not_sent"


async def test_only_an_approved_call_is_released(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        pending, denied = await w.parked({"what": "1"}), await w.parked({"what": "2"})
        withdrawn = await w.parked({"what": "3"})
        await w.deny(denied)
        await w.rest("POST", f"/v1/approvals/{withdrawn['id']}/cancel", by="bot", json_body={})
        for approval, code in (
            (pending, "not_approved"),
            (denied, "not_approved"),
            (withdrawn, "cancelled"),
        ):
            refused = await take(w, approval)
            assert (refused.status_code, refused.json()["code"]) == (409, code)
        done = await report(w, pending, "succeeded")
        assert (done.status_code, done.json()["code"]) == (409, "not_approved")


async def test_a_release_with_another_digest_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await approved(w)
        other = await take(w, approval, digest=approval["digest"][:-1] + "0")
        assert (other.status_code, other.json()["code"]) == (409, "digest_mismatch")


async def test_an_approval_that_is_not_used_in_time_lapses(tmp_path: Path) -> None:
    more = {"approval": {"use_within": "1s"}}
    async with world(tmp_path, more=more) as w:
        approval = await approved(w)
        await asyncio.sleep(1.1)
        refused = await take(w, approval)
        assert (refused.status_code, refused.json()["code"]) == (409, "lapsed")


async def test_an_outcome_needs_the_token_of_the_release_and_is_told_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await approved(w)
        await take(w, approval)
        foreign = await report(w, approval, "succeeded", release_token="another-token-1234")
        assert (foreign.status_code, foreign.json()["code"]) == (409, "already_released")
        assert (await report(w, approval, "succeeded")).status_code == 200
        assert (await report(w, approval, "succeeded")).status_code == 200
        changed = await report(w, approval, "failed")
        assert (changed.status_code, changed.json()["code"]) == (409, "illegal_transition")
        assert (await report(w, approval, "maybe")).status_code == 422


async def test_a_program_that_does_not_report_leaves_the_outcome_unknown_until_it_does(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        approval = await approved(w)
        await impatient(w).release(
            AgentPrincipal(name="bot", owner="alice"),
            approval["id"],
            token=TOKEN,
            digest=approval["digest"],
        )
        async with asyncio.timeout(10):
            while (await w.status(approval["id"]))["release"]["status"] == "sent":
                await asyncio.sleep(0.1)
        lost = (await w.status(approval["id"]))["release"]
        assert (lost["status"], lost["detail"]) == (
            "outcome_unknown",
            "The program that sent the call did not tell how it went.",
        )
        asked = (await w.create({"what": "x"})).json()
        assert asked["approval"]["id"] == approval["id"]  # told once, so that nobody repeats it
        assert (await report(w, approval, "succeeded")).status_code == 200
        assert (await w.status(approval["id"]))["release"]["status"] == "succeeded"


async def test_a_restart_does_not_lose_what_a_program_has_sent(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await approved(w)
        await take(w, approval)
    async with world(tmp_path) as w:
        assert (await w.status(approval["id"]))["release"]["status"] == "sent"
        assert (await report(w, approval, "succeeded")).status_code == 200


async def test_the_policy_is_asked_again_before_the_release(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await approved(w)
        config = tmp_path / "approvals.yaml"
        stricter = '"conditions": [], "approval": {"required": 2}'
        config.write_text(config.read_text().replace('"conditions": []', stricter))
        reloaded = await w.rest("POST", "/v1/policies/reload", by="carol", json_body={})
        assert reloaded.status_code == 200
        refused = await take(w, approval)
        assert (refused.status_code, refused.json()["code"]) == (409, "cancelled")
        assert (await w.status(approval["id"]))["status_reason"] == "policy_changed"


async def test_the_gateway_does_not_send_what_a_program_asked_nor_the_other_way_round(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        approval = await approved(w)
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [held] = await w.pending()
        assert held["id"] != approval["id"]
        assert w.upstream.calls == 0
        await w.approve(held)
        refused = await take(w, held)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        await calling
        assert w.upstream.calls == 1
        stored = await w.services.store.approval(approval["id"])
        assert stored is not None
        assert not isinstance(stored.state, Released)
