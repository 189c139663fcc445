"""The audit over REST: what auditors see, verify and take away. Looking changes nothing."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from approvals.domain.chain import Fact, Head, link
from approvals.domain.strictjson import canonical, parse
from tests.e2e.world import World, world

pytestmark = pytest.mark.anyio

HIDDEN_MARK = "moved\u202e to\u2028 alice\x07"


async def lived(w: World) -> list[str]:
    """Three calls, decided or not; their ids."""
    one, two, three = [await w.parked({"what": what}) for what in "abc"]
    await w.approve(one)
    await w.deny(two, reason=HIDDEN_MARK)
    await w.services.audit.seal_due()
    return [one["id"], two["id"], three["id"]]


async def asked(w: World, path: str, *, by: str = "dan") -> Any:
    response = await w.rest("GET", f"/v1/audit{path}", by=by)
    assert response.status_code == 200, response.text
    return response.json()


async def exported(w: World, query: str = "") -> list[dict[str, Any]]:
    response = await w.rest("GET", f"/v1/audit/export{query}", by="dan")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


async def test_events_are_listed_newest_first_in_pages_and_by_filter(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        ids = await lived(w)
        seen: list[Any] = []
        cursor = ""
        while True:
            page = await asked(w, f"?limit=2{cursor}")
            seen += page["events"]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert [event["type"] for event in seen] == [
            *("denied", "approved", "parked", "parked", "parked")
        ]
        assert [event["at"] for event in seen] == sorted((e["at"] for e in seen), reverse=True)
        of_one = await asked(w, f"?stream={ids[0]}")
        assert [(event["seq"], event["seal"]) for event in of_one["events"]] == [(2, 1), (1, 1)]
        by_bob = (await asked(w, "?actor=person:bob&type=denied"))["events"]
        assert [event["stream"] for event in by_bob] == [ids[1]]
        moment = seen[1]["at"].replace("+00:00", "Z")
        assert len((await asked(w, f"?from={moment}"))["events"]) == 2
        assert len((await asked(w, f"?to={moment}"))["events"]) == 3


@pytest.mark.parametrize(
    "query",
    ["?from=yesterday", "?to=2026-11-20T14:00:00", "?limit=0", "?cursor=x", "?who=bob"],
)
async def test_a_filter_that_means_nothing_is_refused(tmp_path: Path, query: str) -> None:
    async with world(tmp_path) as w:
        response = await w.rest("GET", f"/v1/audit{query}", by="dan")
        assert (response.status_code, response.json()["code"]) == (422, "invalid_filter")


async def test_an_export_is_exact_enough_to_make_every_hash_again(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await lived(w)
        heads: dict[str, Head] = {}
        lines = await exported(w)
        assert len(lines) == 5
        for line in sorted(lines, key=lambda event: event["seq"]):
            detail = parse(canonical(line["detail"]).encode())
            assert isinstance(detail, dict)
            fact = Fact(
                id=line["id"],
                type=line["type"],
                actor=line["actor"],
                at=datetime.fromisoformat(line["at"]),
                detail=detail,
            )
            head = heads.get(line["stream"], Head())
            made = link(head, line["stream"], fact, protected=line["protected"])
            assert (made.hash, made.previous) == (line["hash"], line["previous"])
            heads[line["stream"]] = made.head


async def test_an_export_has_one_line_per_event_whatever_people_wrote(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await lived(w)
        text = (await w.rest("GET", "/v1/audit/export", by="carol")).text
        assert len(text.splitlines()) == 5
        assert all(line.isprintable() for line in text.split("\n"))
        reasons = [event["detail"].get("reason") for event in await exported(w)]
        assert HIDDEN_MARK in reasons


async def test_an_export_of_a_time_has_the_events_of_that_time_oldest_first(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        await lived(w)
        times = [event["at"] for event in await exported(w)]
        assert times == sorted(times)
        since, until = (times[n].replace("+00:00", "Z") for n in (1, 3))
        between = await exported(w, f"?from={since}&to={until}")
        assert [event["at"] for event in between] == times[1:3]


async def test_what_nobody_altered_verifies_and_what_was_altered_is_named(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        ids = await lived(w)
        found = await asked(w, "/verify")
        newest = found.pop("newest_seal")
        assert found == {
            "ok": True,
            "events": 5,
            "approvals": 3,
            "seals": 1,
            "unsealed": 0,
            "found": 0,
            "findings": [],
        }
        assert (newest["number"], newest["events"], newest["previous"]) == (1, 5, "")
        alter(tmp_path, "update approvals set owner = 'mallory' where id = :id", ids[0])
        found = await asked(w, "/verify")
        assert not found["ok"]
        [finding] = found["findings"]
        assert (finding["table"], finding["row"], finding["stream"]) == (
            "approvals",
            ids[0],
            ids[0],
        )


async def test_a_row_that_cannot_be_read_is_told_and_exported_as_such(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        ids = await lived(w)
        alter(tmp_path, "update events set detail = '{' where stream = :id and seq = 1", ids[0])
        [line] = [event for event in await exported(w) if event.get("unreadable")]
        assert (line["stream"], line["seq"]) == (ids[0], 1)
        findings = (await asked(w, "/verify"))["findings"]
        assert (findings[0]["row"], findings[0]["what"]) == (line["id"], "cannot be read")


async def test_looking_at_the_audit_changes_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await lived(w)
        before = await exported(w)
        for path in ("", "/verify", "/export"):
            for method in ("GET", "HEAD"):
                assert (await w.rest(method, f"/v1/audit{path}", by="dan")).status_code == 200
        assert await exported(w) == before


def alter(folder: Path, sql: str, id_: str) -> None:
    engine = sa.create_engine(f"sqlite:///{folder}/test.db", poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text(sql), {"id": id_})
    engine.dispose()
