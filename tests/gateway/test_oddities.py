"""Servers that answer oddly after an approval: the right end state, and one request each."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from approvals.app import create_app
from approvals.config.settings import Settings
from approvals.demo.stage import served
from approvals.gateway.sessions import Sessions
from approvals.service.keyring import Keyring
from tests.e2e.test_hostile_input import call_body, mcp
from tests.e2e.upstream import Upstream
from tests.e2e.world import World, configured, keys_for, policy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

ID = "approvals-" + "0" * 32  # stands for the id of the request, which is as long

LIST = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": ID,
        "result": {"tools": [{"name": "act", "inputSchema": {"type": "object"}}]},
    }
).encode()


def http(status: bytes, body: bytes, kind: bytes = b"application/json") -> bytes:
    return (
        b"HTTP/1.1 "
        + status
        + b"\r\ncontent-type: "
        + kind
        + b"\r\ncontent-length: "
        + str(len(body)).encode()
        + b"\r\n\r\n"
        + body
    )


def rpc(**members: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": ID, **members}).encode()


OK = rpc(result={"content": [{"type": "text", "text": "fine"}]})
SSE = (
    b": hello\r\n\r\nevent: message\r\nid: 0\r\ndata:\r\n\r\n"
    b'data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\r\n\r\n'
    b"event: message\r\ndata: " + OK.replace(b', "id"', b',\r\ndata: "id"') + b"\r\n\r\n"
)

RESET = b"RST"
"""Not an answer: the connection is reset."""

CASES: dict[str, tuple[bytes | None, str, str]] = {
    "an answer": (http(b"200 OK", OK), "succeeded", "fine"),
    "an event stream": (http(b"200 OK", SSE, b"text/event-stream"), "succeeded", "fine"),
    "an error result": (
        http(b"200 OK", rpc(result={"content": [], "isError": True})),
        "failed",
        "isError",
    ),
    "a JSON-RPC error": (
        http(b"200 OK", rpc(error={"code": -32000, "message": "no luck"})),
        "failed",
        "no luck",
    ),
    "a JSON-RPC error with its status": (
        http(b"400 Bad Request", rpc(error={"code": -32600, "message": "no luck"})),
        "failed",
        "no luck",
    ),
    "a question nobody approved": (
        http(b"200 OK", rpc(result={"resultType": "input_required", "inputRequests": {}})),
        "failed",
        "It may have acted",
    ),
    "HTTP 500": (http(b"500 Oops", b"oops", b"text/plain"), "outcome_unknown", "OUTCOME UNKNOWN"),
    "HTTP 503 as HTML": (http(b"503 No", b"<p>", b"text/html"), "outcome_unknown", "OUTCOME"),
    "a redirect": (
        b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        "outcome_unknown",
        "OUTCOME UNKNOWN",
    ),
    "refused credentials, with a message": (
        http(b"401 No", rpc(error={"code": -32001, "message": "Unauthorized"})),
        "not_sent",
        "could not be sent",
    ),
    "a bare 404": (http(b"404 No", b"", b"text/plain"), "outcome_unknown", "OUTCOME UNKNOWN"),
    "refused credentials": (http(b"401 No", b"", b"text/plain"), "not_sent", "could not be sent"),
    "a reset connection": (RESET, "outcome_unknown", "OUTCOME UNKNOWN"),
    "nothing but a closed connection": (b"", "outcome_unknown", "OUTCOME UNKNOWN"),
    "half an answer": (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{",
        "outcome_unknown",
        "OUTCOME UNKNOWN",
    ),
    "a stream that ends": (
        http(b"200 OK", b": nothing\n\n", b"text/event-stream"),
        "outcome_unknown",
        "OUTCOME UNKNOWN",
    ),
    "an answer that is two": (
        http(b"200 OK", b'{"jsonrpc":"2.0","id":"' + ID.encode() + b'","result":{"a":1,"a":2}}'),
        "outcome_unknown",
        "OUTCOME UNKNOWN",
    ),
    "the answer to another request": (
        http(b"200 OK", OK.replace(b"approvals-", b"approbals-")),
        "outcome_unknown",
        "OUTCOME UNKNOWN",
    ),
    "no JSON": (http(b"200 OK", b"fine"), "outcome_unknown", "OUTCOME UNKNOWN"),
    "a result that is a text": (http(b"200 OK", rpc(result="x")), "outcome_unknown", "OUTCOME"),
    "silence": (None, "outcome_unknown", "OUTCOME UNKNOWN"),
}


class Odd:
    """A raw HTTP server: lists one tool, and answers `tools/call` with these bytes."""

    def __init__(self, answer: bytes | None, *, lists: bool = True) -> None:
        self.answer = answer
        self.lists = lists
        self.calls = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                asked = str(json.loads(body)["id"]).encode()
                if b'"tools/list"' in body and self.lists:
                    writer.write(http(b"200 OK", LIST).replace(ID.encode(), asked))
                    continue
                self.calls += 1
                if self.answer is None:
                    await asyncio.sleep(30)
                if self.answer == RESET:
                    at_once = struct.pack("ii", 1, 0)
                    sock = writer.get_extra_info("socket")
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                    break
                writer.write((self.answer or b"").replace(ID.encode(), asked))
                await writer.drain()
                break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def odd_world(
    folder: Path, odd: Odd, *, document: dict[str, Any] | None = None
) -> AsyncIterator[World]:
    server = await asyncio.start_server(odd, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = Settings(
        database_url=f"sqlite:///{folder}/test.db",
        config=configured(folder, f"http://127.0.0.1:{port}/mcp", document=document),
        secret_key=(b"s" * 32,),
        upstream_timeout=timedelta(seconds=1),
    )
    app = create_app(settings)
    async with served(app) as url, httpx2.AsyncClient(timeout=60, trust_env=False) as client:
        services = app.state.services
        yield World(
            upstream=Upstream(),
            services=services,
            url=url,
            people_url=url,
            keys=await keys_for(services),
            http=client,
            app=app,
        )
    server.close()


@pytest.mark.parametrize("case", CASES)
async def test_whatever_the_server_answers_the_state_is_right_and_it_was_asked_once(
    tmp_path: Path, case: str
) -> None:
    answer, status, told = CASES[case]
    odd = Odd(answer)
    async with odd_world(tmp_path, odd) as w:
        calling = asyncio.create_task(mcp(w, call_body('{"what":"x"}')))
        [approval] = await w.pending()
        await w.approve(approval)
        response = await calling
        assert told in response.text
        assert (await w.status(approval["id"]))["release"]["status"] == status
        again = await w.approve(approval)
        assert again.status_code == 200  # the same person's same decision: nothing changes
        await asyncio.sleep(0.1)
        assert odd.calls == 1


@pytest.mark.parametrize(
    "answer",
    [
        http(b"404 Gone", b"", b"text/plain"),
        http(b"404 Gone", b'{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"x"}}'),
    ],
    ids=["bare", "with a message"],
)
async def test_a_session_that_the_server_has_lost_proves_that_nothing_ran(
    tmp_path: Path, answer: bytes
) -> None:
    odd = Odd(answer)
    async with odd_world(tmp_path, odd) as w:
        sealed = Sessions(Keyring([b"s" * 32])).seal("abc", agent="bot", server="up")
        calling = asyncio.create_task(mcp(w, call_body('{"what":"x"}'), mcp_session_id=sealed))
        [approval] = await w.pending()
        await w.approve(approval)
        assert "could not be sent" in (await calling).text
        assert (await w.status(approval["id"]))["release"]["status"] == "not_sent"
        assert odd.calls == 1


async def test_an_allowed_call_whose_answer_is_lost_is_not_called_not_executed(
    tmp_path: Path,
) -> None:
    """The server read it and closed the connection: nobody may be invited to send it again."""
    document = policy(tools={"act": {}})
    async with odd_world(tmp_path, odd := Odd(b""), document=document) as w:
        response = await mcp(w, call_body('{"what":"x"}'))
        assert odd.calls == 1
        told = response.json()["result"]["_meta"]["mcp-approvals/call"]
        assert (told["code"], told["retry_allowed"]) == ("outcome_unknown", False)


async def test_a_server_that_hangs_makes_callers_wait_once_and_not_in_a_row(
    tmp_path: Path,
) -> None:
    async with odd_world(tmp_path, Odd(None, lists=False)) as w:
        began = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*(mcp(w, call_body(f'{{"what":"{n}"}}')) for n in range(10)))
        assert asyncio.get_running_loop().time() - began < 5
        for answer in answers:
            assert "could not be judged" in answer.text


async def test_a_server_that_cannot_be_reached_denies_and_the_approval_stays_usable(
    tmp_path: Path,
) -> None:
    async with odd_world(tmp_path, odd := Odd(http(b"200 OK", OK))) as w:
        calling = asyncio.create_task(mcp(w, call_body('{"what":"x"}')))
        [approval] = await w.pending()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await w.approve(approval)
    assert odd.calls == 0
    settings_path = tmp_path / "approvals.yaml"
    reachable = settings_path.read_text()
    unreachable = json.loads(reachable)
    unreachable["servers"]["up"]["url"] = "http://127.0.0.1:9/mcp"
    settings_path.write_text(json.dumps(unreachable))
    app = create_app(
        Settings(
            database_url=f"sqlite:///{tmp_path}/test.db",
            config=settings_path,
            secret_key=(b"s" * 32,),
        )
    )
    async with served(app) as url, httpx2.AsyncClient(timeout=60, trust_env=False) as client:
        services = app.state.services
        w = World(
            upstream=Upstream(),
            services=services,
            url=url,
            people_url=url,
            keys=await keys_for(services),
            http=client,
            app=app,
        )
        response = await mcp(w, call_body('{"what":"x"}'))
        assert response.json()["result"]["_meta"]["mcp-approvals/call"]["code"] == "unavailable"
        assert (await w.status(approval["id"]))["status"] == "approved"
