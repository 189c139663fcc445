"""Arguments and results are forgotten after a while; nothing that hangs on them is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from approvals.cli import calls
from approvals.domain.strictjson import canonical
from approvals.jobs import Jobs
from approvals.service.keyring import Keyring
from approvals.service.minting import RandomIds
from approvals.service.retention import Retention
from approvals.service.verification import verified
from tests.e2e.world import World, policy, text, world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

KEYRING = Keyring([b"s" * 32])
VALUE = "iban-DE02120300000000202051"
ACT = {"require_approval_if": [{"conditions": []}], "summary": "Pay {what}"}


def document() -> dict[str, object]:
    return policy(hide=[], tools={"act": ACT, "look": {}})


def erasing(w: World, *, keep: timedelta = timedelta(0)) -> Retention:
    """The use case, for calls that ended `keep` ago."""
    services = w.services
    return Retention(
        store=services.store,
        keyring=KEYRING,
        clock=services.clock,
        ids=RandomIds(),
        signals=services.waiting,
        keep=keep,
    )


def files_with_the_value(folder: Path) -> list[Path]:
    """The files of the closed database in which it can still be read."""
    return [file for file in folder.glob("test.db*") if VALUE.encode() in file.read_bytes()]


@asynccontextmanager
async def after_a_run(folder: Path) -> AsyncIterator[tuple[World, str]]:
    """A world in which a call with the value has run, and been erased; its id."""
    async with world(folder, document=document()) as w:
        created = await w.create({"what": VALUE}, headers={"idempotency-key": "one"})
        approval = created.json()["approval"]
        await w.approve(approval)
        token = {"release_token": "token-of-the-program"}
        path = f"/v1/approvals/{approval['id']}/release"
        taking = {**token, "digest": approval["digest"]}
        assert (await w.rest("POST", path, by="bot", json_body=taking)).status_code == 200
        told = {**token, "status": "succeeded", "detail": f"paid {VALUE}"}
        await w.rest("POST", f"{path}/outcome", by="bot", json_body=told)
        assert await erasing(w).erase_due() == 1
        yield w, approval["id"]


async def test_nothing_is_erased_before_its_time_nor_while_it_is_open(tmp_path: Path) -> None:
    async with world(tmp_path, document=document()) as w:
        denied = await w.parked({"what": "denied"})
        await w.deny(denied)
        await w.parked({"what": "pending"})
        await w.approve(await w.parked({"what": "approved"}))
        assert await w.services.retention.erase_due() == 0
        assert await erasing(w, keep=timedelta(hours=1)).erase_due() == 0
        assert await erasing(w).erase_due() == 1
        assert await erasing(w).erase_due() == 0
        assert (await w.status(denied["id"]))["erased"]


async def test_the_value_is_on_no_surface_and_in_no_byte_of_the_database(tmp_path: Path) -> None:
    async with after_a_run(tmp_path) as (w, id_):
        shown = await w.status(id_)
        assert (shown["arguments"], shown["erased"]) == (None, True)
        assert shown["summary"] == "act (arguments erased)"
        assert VALUE not in str(shown)
        listed = await w.rest("GET", "/v1/approvals", by="carol")
        assert VALUE not in listed.text
    assert files_with_the_value(tmp_path) == []


async def test_the_result_of_a_call_that_the_gateway_sent_is_erased(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        asked = await w.parked({"what": "x"})
        await w.deny(asked)
        calling = asyncio.create_task(agent.call_tool("act", {"what": VALUE}))
        [approval] = await w.pending()
        await w.approve(approval)
        assert VALUE in text(await calling)
        assert await w.services.store.result(approval["id"]) is not None
        assert await erasing(w).erase_due() == 2
        assert await w.services.store.result(approval["id"]) is None
    assert files_with_the_value(tmp_path) == []


async def test_the_chain_still_verifies_and_a_copy_can_be_held_to_the_keyed_hash(
    tmp_path: Path,
) -> None:
    async with after_a_run(tmp_path) as (w, id_):
        await w.services.audit.seal_due()
        found = await verified(w.services.store, KEYRING)  # type: ignore[arg-type]
        assert found.findings == ()
        [*_, last] = await w.services.store.events(id_)
        hashes = last.fact.detail["hashes"]
        assert isinstance(hashes, dict)
        assert set(hashes) == {"arguments", "summary", "detail"}
        copy = canonical({"what": VALUE})
        assert KEYRING.verify("erased", copy, str(hashes["arguments"]))


async def test_the_same_idempotency_key_is_the_same_approval_and_no_other_call(
    tmp_path: Path,
) -> None:
    async with after_a_run(tmp_path) as (w, id_):
        again = await w.create({"what": VALUE}, headers={"idempotency-key": "one"})
        assert again.json()["approval"]["id"] == id_
        other = await w.create({"what": "else"}, headers={"idempotency-key": "one"})
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_the_same_call_is_known_to_have_run(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": VALUE}))
        [approval] = await w.pending()
        await w.approve(approval)
        await calling
        assert await erasing(w).erase_due() == 1
        asking = asyncio.create_task(agent.call_tool("act", {"what": VALUE}))
        [again] = await w.pending()
        stored = await w.services.store.approval(again["id"])
        assert stored is not None
        assert stored.earlier_run is not None
        assert stored.earlier_run.status == "succeeded"
        await w.deny(again)
        await asking


async def test_a_denial_is_remembered_and_the_agent_is_told_of_no_empty_call(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, document=document()) as w:
        asked = await w.parked({"what": VALUE})
        await w.deny(asked, reason="Not this one.")
        assert await erasing(w).erase_due() == 1
        again = (await w.create({"what": VALUE})).json()
        assert again["verdict"] == "deny"
        assert "a person denied this call. act did not reach the up." in again["refusal"]["message"]
        assert again["approval"]["arguments"] is None


async def test_the_command_line_says_that_the_arguments_are_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with after_a_run(tmp_path) as (w, id_):
        await asyncio.to_thread(calls.show, id_, as_json=False, url=w.url, key=w.keys["carol"])
    said = capsys.readouterr().out
    assert "act (arguments erased)?" in said
    assert "The arguments are no longer kept." in said
    assert "arguments shown" not in said


async def test_a_service_that_never_runs_for_an_hour_erases_too(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        job = Jobs(w.services)._scheduler.get_job("erase")
        assert job.next_run_time - w.services.clock.now() <= timedelta(minutes=1)


async def test_what_is_erased_is_not_explained_as_if_it_had_no_arguments(tmp_path: Path) -> None:
    async with after_a_run(tmp_path) as (w, id_):
        body = {"approval_id": id_}
        said = await w.rest("POST", "/v1/policies/explain", by="carol", json_body=body)
        assert (said.status_code, said.json()["code"]) == (422, "invalid_input")
        assert "no longer kept" in said.json()["detail"]
