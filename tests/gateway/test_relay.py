"""What passes through the gateway, and what must not: the server reads what was judged."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from approvals.errors import Unavailable, Undetermined
from approvals.gateway import messages, schema, sse
from approvals.gateway.catalogue import Catalogue
from approvals.gateway.messages import BadMessage
from approvals.outbound import MAX_ANSWER, AnswerTooLarge
from approvals.ports import Answer, Operation, Record, Store
from tests.e2e.test_hostile_input import META, call_body, mcp
from tests.e2e.world import Slowed, World, policy, text, world

pytestmark = pytest.mark.anyio


def message(**members: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, **members}).encode()


def modern(method: str, **params: object) -> bytes:
    return message(method=method, params={**params, "_meta": json.loads(META)})


@pytest.mark.parametrize(
    "kind",
    [
        "application/json; charset=utf-7",
        "application/json; charset=utf-16",
        "application/json; charset=utf-8; charset=utf-7",
        "text/plain",
        "",
    ],
)
async def test_a_body_that_another_reader_could_decode_otherwise_is_refused(
    tmp_path: Path, kind: str
) -> None:
    async with world(tmp_path) as w:
        response = await mcp(w, modern("ping"), content_type=kind)
        assert response.status_code == 415
        assert w.upstream.headers == []


async def test_the_server_is_told_that_the_body_is_json_and_nothing_else(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        kind = "Application/JSON; charset=UTF-8"
        body = call_body('{"what":"x"}').replace(b"act", b"look")
        routing = {"mcp_method": "tools/call", "mcp_name": "look"}
        assert "saw x" in (await mcp(w, body, content_type=kind, **routing)).text
        for headers in w.upstream.headers:
            assert headers["content-type"] == "application/json"
            assert "last-event-id" not in headers


async def test_members_that_were_not_read_are_not_passed_on(tmp_path: Path) -> None:
    """A reader without regard to case would take `Method` for the method."""
    async with world(tmp_path) as w:
        smuggled = json.loads(call_body('{"what":"x"}').replace(b"act", b"look"))
        smuggled |= {"Method": "tools/call", "PARAMS": {"name": "act"}, "method": "tools/call"}
        smuggled["extra"] = 1
        await mcp(w, json.dumps(smuggled).encode(), mcp_name="look")
        [seen] = w.upstream.seen
        assert set(json.loads(seen)) == {"jsonrpc", "id", "method", "params"}
        assert w.upstream.calls == 0


@pytest.mark.parametrize(
    "body",
    [
        message(Method="tools/call", Params={"name": "act"}),
        message(),
        message(result={}, error={}),
        message(method="tools/call", params={"name": "look", "Name": "act"}),
        message(method="tools/call", params={"name": "look", "ARGUMENTS": {}}),
        message(method="tools/call", params={"name": "look", "argument\u017f": {}}),
    ],
)
def test_a_message_that_could_be_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(BadMessage):
        messages.read(body)


async def test_two_approved_calls_in_one_session_keep_their_own_results(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent("legacy") as agent:
        calls = {
            what: asyncio.create_task(agent.call_tool("act", {"what": what}))
            for what in ("buy", "sell", "hold", "wait")
        }
        await asyncio.gather(*(w.approve(a) for a in await w.pending(4)))
        for what, call in calls.items():
            assert text(await call) == f"did {what} 0"
        assert w.upstream.ran == dict.fromkeys(calls, 1)


async def test_a_session_that_the_server_lost_is_404_so_that_the_client_starts_anew(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        key = {"authorization": f"Bearer {w.keys['bot']}", "accept": "application/json"}
        start = message(
            method="initialize",
            params={
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "t", "version": "1"},
            },
        )
        begun = await post(w, start, key)
        session = key | {"mcp-session-id": begun.headers["mcp-session-id"]}
        await w.http.delete(f"{w.url}/mcp/up", headers=session)
        for method, params in (
            ("ping", {}),
            ("tools/list", {}),
            ("tools/call", {"name": "act", "arguments": {"what": "x"}}),
        ):
            assert (
                await post(w, message(method=method, params=params), session)
            ).status_code == 404


async def test_another_agents_session_is_not_known(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent("legacy") as agent:
        await agent.list_tools()
        [sealed] = {h["mcp-session-id"] for h in w.upstream.headers if "mcp-session-id" in h}
        stolen = {"authorization": f"Bearer {w.keys['other']}", "mcp-session-id": sealed}
        assert (await post(w, message(method="ping"), stolen)).status_code == 404


async def test_people_and_agents_without_the_server_have_no_gateway(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for who, status in (("bob", 403), ("outsider", 404), ("bot", 200)):
            key = {"authorization": f"Bearer {w.keys[who]}", "accept": "application/json"}
            response = await post(w, modern("tools/list"), key)
            assert response.status_code == status, who
        key = {"authorization": f"Bearer {w.keys['bot']}"}
        assert (await w.http.put(f"{w.url}/mcp/up", headers=key)).status_code == 405
        missing = await w.http.post(f"{w.url}/mcp/none", headers=key, content=modern("ping"))
        assert missing.status_code == 404


async def test_a_tool_whose_name_is_not_latin_runs_like_any_other(tmp_path: Path) -> None:
    document = policy(tools={"\u8f6c\u8d26": {"action": "require_approval"}})
    async with world(tmp_path, document=document) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("\u8f6c\u8d26", {"what": "x"}))
        [approval] = await w.pending()
        await w.approve(approval)
        assert text(await calling) == "paid x"


async def test_names_and_justifications_are_bounded(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        long = modern("tools/call", name="n" * 201, arguments={})
        said = (await mcp(w, long, mcp_name="n" * 201)).json()
        assert said["error"]["code"] == -32602
        meta = json.loads(META) | {messages.JUSTIFICATION: "j" * 2001}
        wordy = message(
            method="tools/call", params={"name": "act", "arguments": {"what": "x"}, "_meta": meta}
        )
        assert "A justification has at most 2000 characters" in (await mcp(w, wordy)).text
        assert (await w.rest("GET", "/v1/approvals", by="carol")).json()["approvals"] == []


async def test_another_agents_odd_request_does_not_spoil_the_reading_of_the_list(
    tmp_path: Path,
) -> None:
    """Two readers at once: the one whose own request is wrong fails, the other reads itself."""
    gate = asyncio.Event()

    async def wrong() -> list[dict[str, Any]]:
        await gate.wait()
        raise Unavailable("The server did not give its tool list.")

    async def right() -> list[dict[str, Any]]:
        return [{"name": "act"}]

    async with world(tmp_path) as w:
        catalogue = Catalogue(w.services.definitions)
        up = w.services.rules.current.servers["up"]
        first = asyncio.create_task(catalogue.find(up, "act", wrong))
        await asyncio.sleep(0)
        second = asyncio.create_task(catalogue.find(up, "act", right))
        await asyncio.sleep(0)
        gate.set()
        assert await second is not None
        with pytest.raises(Unavailable):
            await first


async def test_one_agent_cannot_use_up_all_connections(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.upstream.pause.clear()
        streams = [asyncio.create_task(listen(w)) for _ in range(110)]
        done, _ = await asyncio.wait(streams, timeout=3)
        assert [stream.result() for stream in done] == [429] * 10
        other = {"authorization": f"Bearer {w.keys['other']}", "accept": "application/json"}
        assert (await post(w, modern("tools/list"), other)).status_code == 200
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)


async def listen(w: World) -> int:
    """A pass-through request that stays open: a subscription."""
    headers = {
        "authorization": f"Bearer {w.keys['bot']}",
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "subscriptions/listen",
    }
    body = modern("subscriptions/listen", notifications={"toolsListChanged": True})
    async with w.http.stream("POST", f"{w.url}/mcp/up", content=body, headers=headers) as response:
        async for _ in response.aiter_bytes():
            pass
        return response.status_code


async def test_what_is_not_held_is_recorded_before_it_is_answered(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        await agent.call_tool("look", {"what": "secret-value"})
        await asyncio.gather(agent.call_tool("hidden_act", {}), return_exceptions=True)
        with closing(sqlite3.connect(tmp_path / "test.db")) as database:
            rows = database.execute(
                "select type, actor, detail from events order by seq"
            ).fetchall()
        calls = [(kind, actor) for kind, actor, _ in rows if kind != "definitions_seen"]
        assert calls == [("call_allow", "agent:bot"), ("call_unknown_tool", "agent:bot")]
        assert "secret-value" not in str(rows)


async def test_a_call_that_cannot_be_recorded_does_not_run_though_it_is_allowed(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, wrap_store=Unwritable) as w, w.agent() as agent:
        result = await agent.call_tool("look", {"what": "x"})
        assert text(result).startswith("NOT EXECUTED: the call could not be judged.")
        assert w.upstream.seen == []


class Unwritable:
    """The real store, which takes no records of calls."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def apply(self, operation: Operation, **how: Any) -> Answer:
        if isinstance(operation, Record):
            raise Unavailable("The database refused the write; nothing was changed.")
        return await self._store.apply(operation, **how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_tool_that_changes_while_its_call_is_held_is_not_run(tmp_path: Path) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        w.upstream.change_act("Now something else entirely.")
        w.app.state.gateway._catalogue._listed.clear()  # as if the list had been read long ago
        await w.approve(approval)
        assert text(await calling).startswith("NOT EXECUTED: the server changed the tool's")
        assert w.upstream.calls == 0
        assert (await w.status(approval["id"]))["status_reason"] == "definition_changed"


async def test_a_database_that_does_not_answer_means_that_nothing_is_sent(tmp_path: Path) -> None:
    async with world(tmp_path, wrap_store=Silent) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        await w.approve(approval)
        result = await calling
        assert text(result).startswith("NOT EXECUTED: the call was approved but could not be sent")
        assert (await w.status(approval["id"]))["release"]["status"] == "not_sent"
        assert w.upstream.calls == 0


class Silent:
    """The real store, which does not say whether `sent` was written."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def apply(self, operation: Operation, **how: Any) -> Answer:
        answer: Answer = await self._store.apply(operation, **how)
        if getattr(getattr(operation, "event", None), "fact", None) and (
            operation.event.fact.type == "sent"  # type: ignore[union-attr]
        ):
            raise Undetermined("The database has not answered in time.")
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_stop_while_a_call_is_being_sent_answers_that_it_was_sent(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w, w.agent() as agent:
        w.upstream.pause.clear()
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        await w.approve(approval)
        async with asyncio.timeout(10):
            while not w.upstream.calls:
                await asyncio.sleep(0.01)
        w.services.waiting.stop()
        assert text(await calling).startswith("SENT: the call was approved and sent")
        w.upstream.pause.set()


async def test_a_released_call_that_nobody_can_record_is_recorded_when_somebody_can(
    tmp_path: Path,
) -> None:
    """The write of the outcome takes its time; the client is told the truth all the same."""
    slow = Slowed("succeeded", before=0.3)
    hold = timedelta(seconds=10)
    async with world(tmp_path, hold=hold, wrap_store=slow) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        await w.approve(approval)
        assert text(await calling) == "did x 0"


async def post(w: World, body: bytes, headers: Mapping[str, str]) -> httpx2.Response:
    return await w.http.post(
        f"{w.url}/mcp/up",
        content=body,
        headers={"content-type": "application/json", **headers},
    )


DRAFT_7 = "http://json-schema.org/draft-07/schema#"


@pytest.mark.parametrize(
    ("arguments", "wanted", "problem"),
    [
        ('{"a":1}', {"properties": {"a": {"type": "string"}}}, "a: must be of type string."),
        ('{"b":1}', {"required": ["a"]}, "the arguments: a must be given."),
        ('{"b":1}', {"additionalProperties": False}, "the arguments: has members that the tool"),
        ('{"a":1.0}', {"properties": {"a": {"type": "integer"}}}, None),
        ('{"a":1.5}', {"properties": {"a": {"type": "integer"}}}, "a: must be of type integer."),
        ('{"a":true}', {"properties": {"a": {"type": "integer"}}}, "a: must be of type integer."),
        ('{"a":"x"}', {"properties": {"a": {"$ref": "http://169.254.169.254/x"}}}, None),
        ('{"a":"x"}', {"properties": {"a": {"pattern": "(a+)+$"}}}, None),
        (
            '{"a":{}}',
            {"$schema": DRAFT_7, "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
            "a: a must be given.",
        ),
        ('{"a":"x"}', {"patternProperties": {"^a": {}}, "additionalProperties": False}, None),
        ('{"a":1}', {"type": 7}, None),
        ('{"a":1}', "odd", None),
    ],
)
def test_arguments_are_checked_against_the_schema(
    arguments: str, wanted: Any, problem: str | None
) -> None:
    found = schema.why_not(arguments, wanted)
    assert (found is None) is (problem is None)
    assert found is None or found.startswith(problem or "")


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (json.dumps({"a": list(range(5000))}), {"properties": {"a": {"uniqueItems": True}}}),
        (
            json.dumps({"a": "a" * 40 + "!"}),
            {"patternProperties": {"(a+)+$": {}}, "unevaluatedProperties": False},
        ),
        (
            '{"a":' + "[" * 60 + "]" * 60 + "}",
            {
                "$defs": {"n": {"anyOf": [{"items": {"$ref": "#/$defs/n"}}] * 4}},
                "properties": {"a": {"$ref": "#/$defs/n"}},
            },
        ),
        ('{"a":"' + "x" * 70_000 + '"}', {"properties": {"a": {"type": "integer"}}}),
        (
            '{"a":"' + "x" * 60_000 + '"}',
            {"properties": {"a": {"anyOf": [{"type": "integer"}] * 4_900}}},
        ),
        (
            json.dumps({"a": "a" * 22 + "!"}),
            {"properties": {"a": {"$schema": DRAFT_7, "pattern": "^(a+)+$"}}},
        ),
        (
            json.dumps({"a": {"b": "a" * 22 + "!"}}),
            {
                "$schema": DRAFT_7,
                "properties": {"a": {"$ref": "#"}, "b": {"pattern": "^(a+)+$"}},
            },
        ),
    ],
    ids=[
        "unique",
        "patterns",
        "recursion",
        "large",
        "long messages",
        "another draft inside",
        "back to a root that names its draft",
    ],
)
def test_a_check_that_would_take_long_is_left_out(arguments: str, wanted: Any) -> None:
    began = time.monotonic()
    assert schema.why_not(arguments, wanted) is None
    assert time.monotonic() - began < 5  # to catch a hang; it takes milliseconds


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_events_are_found_however_lines_end_and_chunks_fall(end: bytes, size: int) -> None:
    stream = end.join([b": c", b"data: one", b"data:two", b"", b"id: 1", b"data: three", b"", b""])
    chunks = [stream[i : i + size] for i in range(0, len(stream), size)]
    assert [data async for data in sse.data_of(each(chunks))] == [b"one\ntwo", b"three"]


async def test_an_event_without_end_is_not_read_into_memory() -> None:
    for chunk in (b"data: x\n" * 8192, b"x" * 65536):
        many = [chunk] * (2 * MAX_ANSWER // len(chunk))
        with pytest.raises(AnswerTooLarge):
            [data async for data in sse.data_of(each(many))]


async def each(chunks: list[bytes]) -> Any:
    for chunk in chunks:
        yield chunk
