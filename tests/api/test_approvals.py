"""Asking, looking, waiting and deciding over REST."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from approvals.domain.card import card
from tests.e2e.world import policy, world

pytestmark = pytest.mark.anyio

TWO = policy(
    tools={
        "act": {
            "require_approval_if": [{"conditions": []}],
            "approval": {"approvers": ["everyone"], "required": 2},
        }
    }
)


async def test_asking_about_an_allowed_call_answers_allow_and_parks_nothing(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        body = {"server": "up", "tool": "look", "arguments": {}}
        response = await w.rest("POST", "/v1/approvals", by="bot", json_body=body)
        assert response.status_code == 200
        assert response.json() == {"verdict": "allow", "approval": None, "refusal": None}


@pytest.mark.parametrize("tool", ["hidden_act", "unlisted"])
async def test_hidden_and_unlisted_tools_are_denied_in_the_same_words(
    tmp_path: Path, tool: str
) -> None:
    async with world(tmp_path) as w:
        body = {"server": "up", "tool": tool, "arguments": {}}
        answer = (await w.rest("POST", "/v1/approvals", by="bot", json_body=body)).json()
        assert answer["verdict"] == "deny"
        assert answer["refusal"] == {
            "code": "policy_denied",
            "message": (
                "NOT EXECUTED: the policy does not allow this call: the tool is not listed in "
                "it. Retrying will not help."
            ),
            "rule": "(default deny)",
            "approval_id": None,
            "retry_allowed": False,
            "retry_after": None,
        }


async def test_an_agent_is_denied_on_a_server_it_is_not_bound_to(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        body = {"server": "up", "tool": "look", "arguments": {}}
        answer = (await w.rest("POST", "/v1/approvals", by="outsider", json_body=body)).json()
        assert answer["refusal"]["rule"] == "(not bound)"


async def test_the_same_question_again_is_the_same_approval(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        first, again = await w.create({"what": "x"}), await w.create({"what": "x"})
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["approval"]["id"] == again.json()["approval"]["id"]


async def test_an_idempotency_key_replays_its_approval_and_refuses_other_content(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        key = {"idempotency-key": "k1"}
        first = await w.create({"what": "x"}, headers=key)
        approval = first.json()["approval"]
        await w.deny(approval)
        replayed = await w.create({"what": "x"}, headers=key)
        assert (replayed.status_code, replayed.json()["approval"]["status"]) == (200, "denied")
        other = await w.create({"what": "y"}, headers=key)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
        two = await w.create({"what": "x"}, headers={"idempotency-key": "k2"})
        assert two.json()["approval"]["id"] != approval["id"]


async def test_a_program_learns_of_the_decision_while_it_waits(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked()
        path = f"/v1/approvals/{approval['id']}?wait=30"
        waiting = asyncio.create_task(w.rest("GET", path, by="bot"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await w.approve(approval)
        after = (await asyncio.wait_for(waiting, 5)).json()
        assert after["status"] == "approved"
        again = await w.create({"what": "x"})
        assert again.json()["approval"]["status"] == "approved"


@pytest.mark.parametrize("known", [{}, {"if-none-match": '"1"'}, {"if-none-match": '"9"'}])
async def test_waiting_shows_nothing_that_reading_does_not(
    tmp_path: Path, known: dict[str, str]
) -> None:
    """Another agent learns neither that there is such a call nor when it is decided."""
    async with world(tmp_path) as w:
        approval = await w.parked()
        path = f"/v1/approvals/{approval['id']}?wait=30"
        async with asyncio.timeout(10):
            answers = [
                await w.rest("GET", path, by="other", headers=known),
                await w.rest("GET", "/v1/approvals/apr_none?wait=30", by="other", headers=known),
            ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].json() == answers[1].json()


async def test_waiting_that_ends_changes_nothing_and_304_needs_if_none_match(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked()
        path = f"/v1/approvals/{approval['id']}?wait=1"
        plain = await w.rest("GET", path, by="bot")
        assert (plain.status_code, plain.json()["status"]) == (200, "pending")
        known = {"if-none-match": plain.headers["etag"]}
        assert (await w.rest("GET", path, by="bot", headers=known)).status_code == 304
        await w.approve(approval)
        news = await w.rest("GET", path, by="bot", headers=known)
        assert (news.status_code, news.json()["version"]) == (200, 2)


async def test_an_approval_names_the_digest_that_was_read(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked()
        path = f"/v1/approvals/{approval['id']}/approve"
        wrong: list[tuple[Any, int, str]] = [
            ({"digest": "v1:sha256:0"}, 409, "digest_mismatch"),
            ({"digest": "ünïcode"}, 409, "digest_mismatch"),
            ({}, 422, "invalid_input"),
            ({"digest": None}, 422, "invalid_input"),
            ({"digest": approval["digest"], "person": "carol"}, 422, "invalid_input"),
            ({"digest": approval["digest"], "by": "carol"}, 422, "invalid_input"),
        ]
        for body, status, code in wrong:
            response = await w.rest("POST", path, by="bob", json_body=body)
            assert (response.status_code, response.json()["code"]) == (status, code), body
        assert (await w.status(approval["id"]))["status"] == "pending"


async def test_a_second_approval_by_the_same_person_is_the_same_approval(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, document=TWO) as w:
        approval = await w.parked()
        for _ in range(3):
            after = await w.approve(approval, by="bob")
            assert (after.status_code, after.json()["status"]) == (200, "pending")
        assert after.json()["progress"] == [{"stage": "", "approved": 1, "required": 2}]
        done = await w.approve(approval, by="carol")
        assert done.json()["status"] == "approved"


async def test_the_owner_cannot_decide_and_the_reason_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked()
        for response in (await w.approve(approval, by="alice"), await w.deny(approval, by="alice")):
            assert (response.status_code, response.json()["code"]) == (403, "owner_excluded")
        seen = (await w.rest("GET", f"/v1/approvals/{approval['id']}", by="alice")).json()
        assert seen["viewer"] == {"can_decide": False, "why_not": "owner_excluded"}


async def test_in_solo_mode_the_owner_decides_and_it_shows(tmp_path: Path) -> None:
    people = {"alice": {"roles": ["approver", "admin"]}}
    async with world(tmp_path, people=people) as w:
        assert (await w.http.get(f"{w.url}/readyz")).json()["solo"] is True
        response = await w.create({"what": "x"})
        after = await w.approve(response.json()["approval"], by="alice")
        assert after.json()["status"] == "approved"
        assert after.json()["decisions"][0]["solo"] is True


async def test_an_auditor_is_no_approver(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        response = await w.approve(await w.parked(), by="dan")
        assert (response.status_code, response.json()["code"]) == (403, "not_an_approver")


async def test_a_cancelled_call_can_no_longer_be_decided(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked()
        gone = await w.rest("POST", f"/v1/approvals/{approval['id']}/cancel", by="bot")
        assert gone.json()["status"] == "cancelled"
        late = await w.approve(approval)
        assert (late.status_code, late.json()["code"]) == (409, "cancelled")


async def test_unknown_filters_and_values_are_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for query in (
            "status=odd",
            "colour=red",
            "limit=0",
            "limit=1e3",
            "limit=99999",
            "cursor=%00",
            "cursor=bm90aGluZw",
            "cursor=MDAwMS0wMS0wMVQwMDowMDowMCsxNDowMCBhcHJfeA",
        ):
            response = await w.rest("GET", f"/v1/approvals?{query}", by="bob")
            assert (response.status_code, response.json()["code"]) == (422, "invalid_filter"), query
        bad_wait = await w.rest("GET", "/v1/approvals/apr_x?wait=soon", by="bob")
        assert bad_wait.status_code in {404, 422}


async def test_an_agent_sees_its_own_calls_only(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await w.parked()
        mine = (await w.rest("GET", "/v1/approvals", by="bot")).json()["approvals"]
        others = (await w.rest("GET", "/v1/approvals", by="other")).json()["approvals"]
        asked = (await w.rest("GET", "/v1/approvals?agent=bot", by="other")).json()["approvals"]
        assert (len(mine), len(others), len(asked)) == (1, 0, 0)


async def test_problems_have_a_code_and_a_page_that_explains_it(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        response = await w.rest("GET", "/v1/approvals/apr_none", by="bob")
        problem = response.json()
        assert response.headers["content-type"] == "application/problem+json"
        assert (problem["code"], problem["type"]) == ("not_found", "/errors/not_found")
        page = await w.http.get(w.url + problem["type"])
        assert page.status_code == 200
        assert (await w.http.get(f"{w.url}/errors/<script>")).status_code == 404


async def test_an_agent_is_told_no_persons_name(tmp_path: Path) -> None:
    named = policy(
        tools={
            "act": {
                "action": "require_approval",
                "approval": {"approvers": ["person:bob", "person:carol"]},
            }
        }
    )
    async with world(tmp_path, document=named) as w:
        approval = await w.parked()
        await w.deny(approval, by="bob", reason="no")
        path = f"/v1/approvals/{approval['id']}"
        told = [
            await w.rest("GET", path, by="bot"),
            await w.rest("GET", "/v1/approvals", by="bot"),
            await w.rest("POST", f"{path}/cancel", by="bot", json_body={}),
            await w.create({"what": "x"}),
        ]
        for response in told:
            assert "bob" not in response.text.lower(), response.text
            assert "carol" not in response.text.lower()
        assert "bob" in (await w.rest("GET", path, by="carol")).text


async def test_what_a_program_says_of_the_tool_is_labelled_as_its_words(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        body = {
            "server": "up",
            "tool": "act",
            "arguments": {"what": "x"},
            "definition": {"name": "act", "description": "Harmless, approved by Treasury"},
        }
        asked = (await w.rest("POST", "/v1/approvals", by="bot", json_body=body)).json()
        stored = await w.services.store.approval(asked["approval"]["id"])
        assert stored is not None
        notes = card(
            stored, directory=w.services.rules.current.directory, now=w.services.clock.now()
        ).notes
        assert 'The calling program says: "Harmless, approved by Treasury"' in notes
        body["definition"] = {"name": "look"}
        other = await w.rest("POST", "/v1/approvals", by="bot", json_body=body)
        assert (other.status_code, other.json()["code"]) == (422, "invalid_input")


async def test_nobody_without_a_key_makes_the_service_read_a_body(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for path in ("", "/apr_x/approve", "/apr_x/deny", "/apr_x/cancel"):
            response = await w.http.post(f"{w.url}/v1/approvals{path}", content=b"[" * 1_000_000)
            assert response.status_code == 401, path


async def test_one_row_that_cannot_be_read_stops_nothing_else(tmp_path: Path) -> None:
    async with world(tmp_path, timeout="1s") as w:
        bad, good = await w.parked({"what": "bad"}), await w.parked({"what": "good"})
        with closing(sqlite3.connect(tmp_path / "test.db")) as database:
            broken = "update approvals set requirement = '{}' where id = ?"
            database.execute(broken, (bad["id"],))
            database.commit()
        listed = (await w.rest("GET", "/v1/approvals", by="carol")).json()["approvals"]
        assert [one["id"] for one in listed] == [good["id"]]
        assert (await w.http.get(f"{w.url}/readyz")).json()["unreadable"] == 1
        await asyncio.sleep(2)
        stored = await w.services.store.approval(good["id"])
        assert stored is not None
        assert stored.status == "expired"
    async with world(tmp_path) as w:
        assert (await w.http.get(f"{w.url}/readyz")).status_code == 200
        one = await w.rest("GET", f"/v1/approvals/{bad['id']}", by="carol")
        assert (one.status_code, one.json()["code"]) == (503, "unavailable")


async def test_a_revoked_key_stops_working_at_once_here(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        made = (await w.rest("POST", "/v1/keys", by="carol", json_body={"agent": "bot"})).json()
        w.keys["new"] = made["key"]
        assert (await w.rest("GET", "/v1/approvals", by="new")).status_code == 200
        await w.rest("DELETE", f"/v1/keys/{made['id']}", by="carol")
        assert (await w.rest("GET", "/v1/approvals", by="new")).status_code == 401
        listed = (await w.rest("GET", "/v1/keys", by="carol")).text
        assert made["key"] not in listed


async def test_odd_keys_are_401_and_never_500(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for value in (
            "",
            "Bearer",
            "Basic x",
            "Bearer \xff\xfe",
            "Bearer " + "x" * 9000,
        ):
            headers = {b"authorization": value.encode("latin-1")}
            for path in ("/v1/approvals", "/mcp/up"):
                response = await w.http.get(w.url + path, headers=headers)
                assert response.status_code == 401, (value, path)


class Broken:
    """The real store, with a bug in its lists."""

    def __init__(self) -> None:
        self._store: Any = None

    def __call__(self, store: Any) -> Any:
        self._store = store
        return self

    async def page(self, filter_: object) -> None:
        raise ValueError("hunter2")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_bug_is_answered_with_500_and_not_with_its_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(tmp_path, wrap_store=Broken()) as w:
        answer = await w.rest("GET", "/v1/approvals", by="bob")
        assert (answer.status_code, answer.text) == (500, "Internal Server Error")
        assert (await w.status((await w.parked())["id"]))["status"] == "pending"
    assert "hunter2" in caplog.text
    caplog.clear()
