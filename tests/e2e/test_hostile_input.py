"""Input that two readers could read differently, or that is made to hurt: clean errors, nothing
parked, judged or forwarded; and what is accepted is exact everywhere (SECURITY.md, "Input")."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest

from tests.e2e.upstream import arguments_in
from tests.e2e.world import World, world

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("deployment")]

HOSTILE = {
    "duplicate keys": '{"what":"a","what":"b"}',
    "duplicate keys by escape": '{"what":"a","wh\\u0061t":"b"}',
    "duplicate keys deep down": '{"what":{"x":[{"a":1,"a":2}]}}',
    "NaN": '{"what":NaN}',
    "Infinity": '{"what":-Infinity}',
    "1e400": '{"what":1e400}',
    "1e999999999": '{"what":1e999999999}',
    "lone surrogate": '{"what":"\\ud800"}',
    "lone surrogate in a name": '{"\\udfff":1}',
    "NUL in a name": '{"a\\u0000b":1}',
    "depth 65": '{"what":' + "[" * 65 + "]" * 65 + "}",
    "depth 100,000": '{"what":' + "[" * 100_000 + "]" * 100_000 + "}",
    "10,000 digits": '{"what":' + "9" * 10_000 + "}",
    "trailing comma": '{"what":1,}',
    "not an object": '["what"]',
}


META = (
    '{"io.modelcontextprotocol/protocolVersion":"2026-07-28",'
    '"io.modelcontextprotocol/clientInfo":{"name":"test","version":"1"},'
    '"io.modelcontextprotocol/clientCapabilities":{}}'
)


def call_body(arguments: str) -> bytes:
    return (
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"act","arguments":'
        f'{arguments},"_meta":{META}}}}}'
    ).encode()


async def mcp(w: World, body: bytes, **headers: str) -> httpx2.Response:
    given = {
        "authorization": f"Bearer {w.keys['bot']}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-name": "act",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return await w.http.post(f"{w.url}/mcp/up", content=body, headers=given)


async def rest(w: World, body: bytes) -> httpx2.Response:
    headers = {"authorization": f"Bearer {w.keys['bot']}"}
    return await w.http.post(f"{w.url}/v1/approvals", content=body, headers=headers)


async def nothing_happened(w: World) -> None:
    assert (await w.rest("GET", "/v1/approvals", by="carol")).json()["approvals"] == []
    assert w.upstream.seen == []


async def test_hostile_arguments_over_mcp_are_a_clean_error_and_nothing_happens(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        for name, arguments in HOSTILE.items():
            response = await mcp(w, call_body(arguments))
            body = response.json()
            refused = response.status_code in {200, 400} and (
                "error" in body or body["result"]["isError"]
            )
            assert refused, name
            assert "999999" not in response.text, name
        await nothing_happened(w)


async def test_hostile_arguments_over_rest_are_a_clean_problem_and_nothing_happens(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        for name, arguments in HOSTILE.items():
            body = f'{{"server":"up","tool":"act","arguments":{arguments}}}'
            response = await rest(w, body.encode())
            assert response.status_code in {400, 422}, name
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["code"] in {"invalid_json", "invalid_input"}, name
        await nothing_happened(w)


async def test_twenty_mebibytes_are_refused_without_being_read_whole(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(320):
                sent += 65536
                yield b" " * 65536

        headers = {"authorization": f"Bearer {w.keys['bot']}", "content-type": "application/json"}
        for path in ("/mcp/up", "/v1/approvals"):
            declared = await w.http.post(
                f"{w.url}{path}", content=b" " * (20 * 1024 * 1024), headers=headers
            )
            assert declared.status_code == 413
            sent = 0
            try:
                streamed = await w.http.post(f"{w.url}{path}", content=endless(), headers=headers)
            except httpx2.WriteError:
                continue  # the server closed while we were still sending: it did not read on
            assert streamed.status_code == 413
        await nothing_happened(w)


async def test_more_than_a_mebibyte_of_arguments_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        large = json.dumps({"what": "x" * (1024 * 1024)})
        over_mcp = await mcp(w, call_body(large))
        assert over_mcp.json()["result"]["_meta"]["mcp-approvals/call"]["code"] == (
            "invalid_arguments"
        )
        over_rest = await rest(w, f'{{"server":"up","tool":"act","arguments":{large}}}'.encode())
        assert (over_rest.status_code, over_rest.json()["code"]) == (422, "invalid_arguments")
        await nothing_happened(w)


async def test_batches_bad_shapes_and_compressed_bodies_are_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        bodies = [
            b"[" + call_body("{}") + b"]",
            b"{}",
            b'"text"',
            b"",
            b"\xff\xfe",
            b'{"jsonrpc":"2.0","id":true,"method":"tools/call","params":{"name":"act"}}',
            b'{"jsonrpc":"2.0","id":1,"method":7}',
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}',
            b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"act"}}',
            b'{"jsonrpc":"2.0","id":1.5,"method":"tools/call","params":{"name":"act"}}',
        ]
        for body in bodies:
            response = await mcp(w, body)
            assert response.status_code == 400, body
            assert "error" in response.json()
        for odd in (b"null", b"7", b'""', b"{}"):
            named = await mcp(
                w,
                b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":' + odd + b"}}",
            )
            assert "error" in named.json(), odd
        packed = await mcp(w, call_body("{}"), content_encoding="gzip")
        assert packed.status_code == 400
        await nothing_happened(w)


async def test_headers_that_say_something_else_than_the_body_are_refused(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        for headers in (
            {"mcp_method": "tools/list"},
            {"mcp_name": "look"},
            {"mcp_name": "=?base64?bG9vaw==?="},
            {"mcp_name": "=?base64?%%%?="},
        ):
            response = await mcp(w, call_body('{"what":"x"}'), **headers)
            assert response.status_code == 400
            assert response.json()["error"]["code"] == -32020
        await nothing_happened(w)


async def test_a_strangers_host_or_origin_is_refused_on_loopback(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
            response = await mcp(w, call_body("{}"), **headers)
            assert response.status_code == 403
        await nothing_happened(w)


EXACT = '{"what":"wei","n":1000000000000000001,"x":0.1000000000000000055,"y":1e-390,"z":1.10}'


async def test_numbers_are_shown_stored_hashed_and_forwarded_exactly(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        asking = asyncio.create_task(mcp(w, call_body(EXACT)))
        [approval] = await w.pending()
        shown = await w.rest("GET", f"/v1/approvals/{approval['id']}", by="bob")
        stored = await w.services.store.approval(approval["id"])
        assert stored is not None
        await w.approve(approval)
        await asking
        [forwarded] = w.upstream.seen
        received = json.loads(EXACT, parse_float=Decimal, parse_int=Decimal)
        for text in (
            json.dumps(json.loads(shown.text, parse_float=str, parse_int=str)["arguments"]),
            stored.call.arguments,
            arguments_in(forwarded),
        ):
            read = json.loads(text, parse_float=Decimal, parse_int=Decimal)
            for name in ("n", "x", "y", "z"):
                assert Decimal(read[name]) == received[name], (name, text)
        assert arguments_in(forwarded) == stored.call.arguments
        assert '"z":1.10' in stored.call.arguments


async def test_numbers_one_apart_beyond_2_to_53_are_two_calls(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        one = await w.create({"what": "x", "n": 10**18})
        two = await w.create({"what": "x", "n": 10**18 + 1})
        assert (one.status_code, two.status_code) == (201, 201)
        assert one.json()["approval"]["digest"] != two.json()["approval"]["digest"]


async def test_nul_in_a_value_is_legal_and_passes_unchanged(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        asking = asyncio.create_task(mcp(w, call_body('{"what":"a\\u0000b"}')))
        [approval] = await w.pending()
        assert approval["arguments"] == {"what": "a\0b"}
        await w.approve(approval)
        await asking
        assert w.upstream.ran == {"a\0b": 1}
