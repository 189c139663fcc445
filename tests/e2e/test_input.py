"""What a server says and asks while an approved call runs, and what it is answered."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from approvals.errors import Undetermined
from approvals.ports import Answer, Operation
from approvals.service import inputs
from approvals.service import release as release_module
from approvals.service.waiting import Patience
from tests.e2e.killable import kind_of
from tests.e2e.raw import MODERN, ROUTING, opened, post
from tests.e2e.test_stdio import started
from tests.e2e.upstream import Recorder, Upstream
from tests.e2e.world import ERAS, Slowed, World, configured, policy, text, world

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:The logging capability is deprecated"),
]
both_eras = pytest.mark.parametrize("era", ERAS)

PARK = [{"conditions": [], "approval": {"allow_input": True}}]
ASKS = policy(default="allow", tools={"*": {"require_approval_if": PARK}})
SILENT = policy(default="allow", tools={"*": {"require_approval_if": [{"conditions": []}]}})
ABLE = {**MODERN, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}
QUICK = Patience(
    hold=timedelta(seconds=10),
    with_progress=timedelta(seconds=10),
    leg=timedelta(seconds=10),
    progress_every=timedelta(milliseconds=100),
)


class Amount(BaseModel):
    """What `act` wants to know."""

    amount: int


async def how_much() -> Elicit[Amount]:
    return Elicit("How much?", Amount)


class Asking(Upstream):
    """A server whose `act` asks its client how much, and whose `tell` says what it does."""

    locked = False

    def app(self) -> Starlette:
        server = MCPServer("upstream", log_level="ERROR")

        @server.tool(structured_output=False)
        async def act(what: str, answer: Annotated[Amount, Resolve(how_much)]) -> str:
            """Pay."""
            self.ran[what] += 1
            await self.pause.wait()
            return f"paid {answer.amount}"

        @server.tool(structured_output=False)
        async def tell(context: Context[Any, Any], steps: int) -> str:
            """Say how far it is."""
            for step in range(steps):
                await context.session.send_log_message(
                    "info", f"step {step}", related_request_id=context.request_id
                )
                await context.report_progress(step, steps, f"at {step}")
            self.ran["tell"] += 1
            return "told"

        def change_act(description: str) -> None:
            server.remove_tool("act")
            server.add_tool(act, description=description, structured_output=False)

        self.change_act = change_act
        app = server.streamable_http_app()
        app.add_middleware(Recorder, upstream=self)
        app.add_middleware(Lock, asking=self)
        return app


class Lock:
    """Once it is locked, the server does not take the gateway's credentials any more."""

    def __init__(self, app: ASGIApp, *, asking: Asking) -> None:
        self._app = app
        self._asking = asking

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._asking.locked:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self._app(scope, receive, send)


@asynccontextmanager
async def client(
    w: World, era: str, *, amount: int = 5, logs: list[Any] | None = None
) -> AsyncIterator[Client]:
    """A client whose person says an amount."""

    async def answer(context: object, params: ElicitRequestParams) -> ElicitResult:
        del context
        w.asked.append(params.message)
        return ElicitResult(action="accept", content={"amount": amount, "name": "bot"})

    async def log(params: Any) -> None:
        if logs is not None:
            logs.append(params.data)

    headers = {"authorization": f"Bearer {w.keys['bot']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
        transport = streamable_http_client(f"{w.url}/mcp/up", http_client=http)
        async with Client(
            transport, mode=era, elicitation_callback=answer, logging_callback=log
        ) as made:
            yield made


async def events(w: World, approval: dict[str, Any]) -> list[str]:
    listed = await w.rest("GET", f"/v1/audit?stream={approval['id']}", by="carol")
    found: list[dict[str, Any]] = listed.json()["events"]
    return [event["type"] for event in reversed(found)]


@both_eras
async def test_input_is_given_where_the_rule_lets_it_and_is_in_the_audit(
    tmp_path: Path, deployment: str, era: str
) -> None:
    asking = Asking()
    async with world(tmp_path, upstream=asking, document=ASKS) as w, client(w, era) as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        assert w.asked == []
        await w.approve(approval)
        assert text(await calling) == "paid 5"
        assert w.asked == ["How much?"]
        assert asking.ran == {"x": 1}
        assert await events(w, approval) == [
            "parked",
            "approved",
            "sent",
            "input_given",
            "succeeded",
            "delivered",
        ]
        verified = await w.rest("GET", "/v1/audit/verify", by="carol")
        assert verified.json()["findings"] == []


@both_eras
async def test_nobody_is_asked_where_the_rule_does_not_let_it(
    tmp_path: Path, deployment: str, era: str
) -> None:
    asking = Asking()
    async with world(tmp_path, upstream=asking, document=SILENT) as w, client(w, era) as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await w.pending()
        await w.approve(approval)
        async with asyncio.timeout(8):  # it does not wait for an answer that never comes
            [said] = await asyncio.gather(calling, return_exceptions=True)
        meta = json.loads(asking.seen[-1])["params"].get("_meta", {})
        assert meta.get("io.modelcontextprotocol/clientCapabilities", {}) == {}
        assert isinstance(said, MCPError) or (isinstance(said, CallToolResult) and said.is_error)
        assert w.asked == []
        assert asking.ran == {}
        assert (await w.status(approval["id"]))["release"]["status"] == "failed"
        assert "input_given" not in await events(w, approval)


@both_eras
@pytest.mark.parametrize("allowed", [True, False])
async def test_on_standard_streams_too(tmp_path: Path, era: str, allowed: bool) -> None:
    more = started(tmp_path, policy=ASKS if allowed else SILENT)
    async with world(tmp_path, more=more) as w, client(w, era) as agent:
        calling = asyncio.create_task(agent.call_tool("ask", {}))
        [approval] = await w.pending()
        await w.approve(approval)
        said = text(await calling)
        may = allowed and era == "legacy"  # its `ask` has no way of asking in the 2026 era
        assert w.asked == (["Who are you?"] if may else [])
        assert ("hello bot" in said) is may
        assert ("input_given" in await events(w, approval)) is may


@both_eras
@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_who_waits_hears_what_the_server_says_meanwhile(
    tmp_path: Path, era: str, transport: str
) -> None:
    told: list[tuple[float, float | None, str | None]] = []
    logs: list[Any] = []

    async def tell(progress: float, total: float | None = None, message: str | None = None) -> None:
        told.append((progress, total, message))

    more = started(tmp_path, policy=SILENT) if transport == "stdio" else None
    tool = "slow" if transport == "stdio" else "tell"
    async with (
        world(tmp_path, upstream=Asking(), document=SILENT, more=more, patience=QUICK) as w,
        client(w, era, logs=logs) as agent,
    ):
        call = agent.call_tool(tool, {"steps": 3}, progress_callback=tell)
        calling = asyncio.create_task(call)
        [approval] = await w.pending()
        await asyncio.sleep(0.35)
        await w.approve(approval)
        assert not (await calling).is_error
    ours = [message for _, total, message in told if total is None]
    theirs = [(progress, total) for progress, total, _ in told if total is not None]
    assert len(ours) >= 3
    assert all(message and message.startswith("Waiting for a person") for message in ours)
    first = theirs[0][0]
    assert theirs == [(first + step, first + 3) for step in range(3)]
    values = [progress for progress, _, _ in told]
    assert values == sorted(set(values))
    if transport == "http" and era == "legacy":  # in the 2026 era a client asks for logs
        assert logs == ["step 0", "step 1", "step 2"]


async def test_logs_that_a_client_of_the_2026_era_asks_for_come_with_a_held_call(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, upstream=Asking(), document=SILENT) as w:
        meta = {**MODERN, "io.modelcontextprotocol/logLevel": "info", "progressToken": "mine"}
        params = {"name": "tell", "arguments": {"steps": 2}, "_meta": meta}
        said = {"id": 7, "method": "tools/call", "params": params}
        calling = asyncio.create_task(post(w, {**ROUTING, "mcp-name": "tell"}, said))
        [approval] = await w.pending()
        await w.approve(approval)
        heard = [
            json.loads(line[6:]) for line in (await calling).text.split("\n") if line[:5] == "data:"
        ]
        assert [
            m["params"]["data"] for m in heard if m.get("method") == "notifications/message"
        ] == [
            "step 0",
            "step 1",
        ]
        progress = [m["params"] for m in heard if m.get("method") == "notifications/progress"]
        assert {p["progressToken"] for p in progress} == {"mine"}
        assert heard[-1]["id"] == 7


async def leg(w: World, *, url: str | None = None, **more: Any) -> dict[str, Any]:
    """One leg of a call of `act` in the 2026 era; the result."""
    params = {"name": "act", "arguments": {"what": "x"}, "_meta": ABLE, **more}
    body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
    accept = {"accept": "application/json, text/event-stream"}
    headers = {"authorization": f"Bearer {w.keys['bot']}", **accept, **ROUTING}
    response = await w.http.post(f"{url or w.url}/mcp/up", json=body, headers=headers)
    data = re.findall(r"^data: (.*)$", response.text, re.MULTILINE)
    found: dict[str, Any] = json.loads(data[-1] if data else response.text)["result"]
    return found


async def ending(w: World, url: str, more: dict[str, Any]) -> dict[str, Any]:
    """The result, however many legs it takes."""
    found = await leg(w, url=url, **more)
    while found["resultType"] == "input_required" and "inputRequests" not in found:
        found = await leg(w, url=url, requestState=found["requestState"])
    return found


async def asked(w: World) -> tuple[dict[str, Any], dict[str, Any]]:
    """An approved call whose server wants to know something: the approval and the question."""
    calling = asyncio.create_task(leg(w))
    approval = await approved(w)
    question = await calling
    assert question["resultType"] == "input_required"
    return approval, question


async def approved(w: World) -> dict[str, Any]:
    [approval] = await w.pending()
    await w.approve(approval)
    return approval


def answer(question: dict[str, Any], amount: int = 5) -> dict[str, Any]:
    given = {"action": "accept", "content": {"amount": amount}}
    return {
        "requestState": question["requestState"],
        "inputResponses": dict.fromkeys(question["inputRequests"], given),
    }


def given(asking: Asking) -> list[dict[str, Any]]:
    """The answers that reached the server."""
    bodies = [json.loads(body)["params"] for body in asking.seen]
    return [body["inputResponses"] for body in bodies if "inputResponses" in body]


async def test_an_answer_may_come_to_another_replica(tmp_path: Path, deployment: str) -> None:
    asking = Asking()
    async with world(tmp_path, upstream=asking, document=ASKS) as w:
        approval, question = await asked(w)
        result = await leg(w, url=w.people_url, **answer(question))
        assert result["content"][0]["text"] == "paid 5"
        assert asking.ran == {"x": 1}
        assert (await w.status(approval["id"]))["release"]["status"] == "succeeded"


async def test_of_two_answers_to_one_question_one_goes_on(tmp_path: Path, deployment: str) -> None:
    asking, patience = Asking(), replace(QUICK, leg=timedelta(seconds=2))
    async with world(tmp_path, upstream=asking, document=ASKS, patience=patience) as w:
        _, question = await asked(w)
        both = await asyncio.gather(
            ending(w, w.url, answer(question, 1)), ending(w, w.people_url, answer(question, 2))
        )
        [reached] = given(asking)
        [paid] = [part["content"]["amount"] for part in reached.values()]
        assert asking.ran == {"x": 1}
        assert [result["content"][0]["text"] for result in both] == [f"paid {paid}"] * 2
        again = await leg(w, **answer(question, 3))
        assert again["content"][0]["text"] == f"paid {paid}"
        assert len(given(asking)) == 1
        listed = await w.rest("GET", "/v1/approvals", by="carol")
        assert len(listed.json()["approvals"]) == 1


async def test_what_was_answered_at_one_replica_is_not_asked_again_at_another(
    tmp_path: Path, replicas: None
) -> None:
    asking, patience = Asking(), replace(QUICK, leg=timedelta(seconds=2))
    async with world(tmp_path, upstream=asking, document=ASKS, patience=patience) as w:
        _, question = await asked(w)
        asking.pause.clear()
        answering = asyncio.create_task(ending(w, w.people_url, answer(question)))
        async with asyncio.timeout(10):
            while not asking.ran:
                await asyncio.sleep(0.02)
        assert "inputRequests" not in await leg(w)
        asking.pause.set()
        assert (await answering)["content"][0]["text"] == "paid 5"
        assert len(given(asking)) == 1


async def test_what_changed_since_the_question_ends_the_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = Asking()
    async with world(tmp_path, upstream=asking, document=ASKS) as w:
        approval, question = await asked(w)
        asking.change_act("Now something else.")
        w.app.state.gateway._catalogue._listed.clear()  # as if it had been read long ago
        said = await leg(w, **answer(question))
        assert said["content"][0]["text"].startswith("FAILED: the call was approved and sent")
        release = (await w.status(approval["id"]))["release"]
        assert release["status"] == "failed"
        assert "changed the tool's definition" in release["detail"]
        assert given(asking) == []
    monkeypatch.setattr(release_module, "MOST", 0)
    asking = Asking()
    async with world(tmp_path, upstream=asking, document=ASKS) as w:
        approval, question = await asked(w)
        await leg(w, **answer(question))
        assert "again and again" in (await w.status(approval["id"]))["release"]["detail"]
        assert given(asking) == []


@both_eras
async def test_no_input_is_given_once_the_policy_denies(tmp_path: Path, era: str) -> None:
    asking = Asking()
    async with world(tmp_path, upstream=asking, document=ASKS, patience=QUICK) as w:

        async def reload(context: object, params: ElicitRequestParams) -> ElicitResult:
            del context, params
            url = w.services.rules.current.servers["up"].address
            configured(tmp_path, url, document=policy(tools={}))
            assert (
                await w.rest("POST", "/v1/policies/reload", by="carol", json_body={})
            ).status_code == 200
            return ElicitResult(action="accept", content={"amount": 5})

        headers = {"authorization": f"Bearer {w.keys['bot']}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
            transport = streamable_http_client(f"{w.url}/mcp/up", http_client=http)
            async with Client(transport, mode=era, elicitation_callback=reload) as agent:
                calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
                approval = await approved(w)
                await asyncio.gather(calling, return_exceptions=True)
        assert (await w.status(approval["id"]))["release"]["status"] == "failed"
        assert asking.ran == {}
        assert given(asking) == []
        assert "input_given" not in await events(w, approval)


async def test_the_question_is_asked_again_of_who_comes_back_without_an_answer(
    tmp_path: Path,
) -> None:
    asking = Asking()
    async with world(tmp_path, upstream=asking, document=ASKS) as w:
        approval, question = await asked(w)
        again = await leg(w)
        assert again["inputRequests"] == question["inputRequests"]
        result = await leg(w, **answer(again))
        assert result["content"][0]["text"] == "paid 5"
        assert len(given(asking)) == 1
        assert (await w.status(approval["id"]))["release"]["status"] == "succeeded"


@both_eras
async def test_who_cannot_be_asked_is_told_that_the_call_is_on_its_way(
    tmp_path: Path, era: str
) -> None:
    async with world(tmp_path, upstream=Asking(), document=ASKS) as w:
        _, question = await asked(w)
        async with w.agent(era) as unable:
            said = await unable.call_tool("act", {"what": "x"})
        assert said.is_error
        assert text(said).startswith("SENT: the call was approved and sent")
        assert said.result_type == "complete"
        assert (await leg(w, **answer(question)))["content"][0]["text"] == "paid 5"


async def test_a_question_that_nobody_answers_ends_the_release(
    tmp_path: Path, deployment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "COMES_WITHIN", timedelta(seconds=0.5))
    asking = Asking()
    async with world(tmp_path, upstream=asking, document=ASKS) as w:
        approval, question = await asked(w)
        await asyncio.sleep(1)
        release = (await w.status(approval["id"]))["release"]
        assert release["status"] == "failed"
        assert "asked for input, and none came" in release["detail"]
        late = await leg(w, **answer(question))
        assert late["content"][0]["text"].startswith("FAILED: the call was approved and sent")
        assert given(asking) == []


async def test_a_service_that_stops_ends_what_waits_for_an_answer(
    tmp_path: Path, deployment: str
) -> None:
    asking = Asking()
    async with world(tmp_path, upstream=asking, document=ASKS) as w:
        approval, _ = await asked(w)
    async with world(tmp_path, upstream=asking, document=ASKS) as w:
        assert (await w.status(approval["id"]))["release"]["status"] == "failed"
        assert given(asking) == []


@both_eras
async def test_no_input_is_given_while_calls_are_frozen(tmp_path: Path, era: str) -> None:
    asking = Asking()
    frozen = asyncio.Event()
    async with world(tmp_path, upstream=asking, document=ASKS, patience=QUICK) as w:

        async def freeze(context: object, params: ElicitRequestParams) -> ElicitResult:
            del context, params
            body = {"reason": "halt"}
            assert (
                await w.rest("POST", "/v1/freezes", by="carol", json_body=body)
            ).status_code == 201
            frozen.set()
            return ElicitResult(action="accept", content={"amount": 5})

        headers = {"authorization": f"Bearer {w.keys['bot']}"}
        async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
            transport = streamable_http_client(f"{w.url}/mcp/up", http_client=http)
            async with Client(transport, mode=era, elicitation_callback=freeze) as agent:
                calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
                [approval] = await w.pending()
                await w.approve(approval)
                async with asyncio.timeout(15):
                    await frozen.wait()
                    await asyncio.sleep(0.5)
                calling.cancel()
                await asyncio.gather(calling, return_exceptions=True)
        assert asking.ran == {}
        assert given(asking) == []
        assert "input_given" not in await events(w, approval)


async def test_another_agent_cannot_answer_the_question(tmp_path: Path) -> None:
    asking = Asking()
    async with world(tmp_path, upstream=asking, document=ASKS) as w:
        _, question = await asked(w)
        params = {
            "name": "act",
            "arguments": {"what": "x"},
            "_meta": ABLE,
            **answer(question),
        }
        body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params}
        refused = await w.rest("POST", "/mcp/up", by="other", json_body=body, headers=ROUTING)
        assert refused.json()["error"]["code"] == -32602
        other = {**params, "arguments": {"what": "y"}}
        refused = await w.rest(
            "POST", "/mcp/up", by="bot", json_body={**body, "params": other}, headers=ROUTING
        )
        assert refused.json()["error"]["code"] == -32602
        assert given(asking) == []


async def test_an_answer_at_another_replica_does_not_reach_a_running_approved_call(
    tmp_path: Path, replicas: None
) -> None:
    """Its session is the server's; which replica has the call, the client need not know."""
    async with world(tmp_path, document=ASKS) as w:
        session = await opened(w, {"elicitation": {}})
        w.upstream.pause.clear()
        call = {"name": "act", "arguments": {"what": "x"}}
        calling = asyncio.create_task(
            post(w, session, {"id": 7, "method": "tools/call", "params": call})
        )
        await approved(w)
        async with asyncio.timeout(10):
            while not w.upstream.calls:
                await asyncio.sleep(0.02)
        said = {"jsonrpc": "2.0", "id": 1, "result": {"action": "accept", "content": {}}}
        headers = {"authorization": f"Bearer {w.keys['bot']}", **session}
        before = len(w.upstream.said)
        answer = await w.http.post(f"{w.people_url}/mcp/up", json=said, headers=headers)
        assert (answer.status_code, len(w.upstream.said)) == (409, before)
        w.upstream.pause.set()
        assert "did x 0" in (await calling).text
        answer = await w.http.post(f"{w.people_url}/mcp/up", json=said, headers=headers)
        assert answer.status_code == 202


async def test_a_client_that_leaves_while_its_answer_is_recorded_has_given_it(
    tmp_path: Path,
) -> None:
    asking, store = Asking(), Slowed("input_given", before=1)
    async with world(tmp_path, upstream=asking, document=ASKS, wrap_store=store) as w:
        session = await opened(w, {"elicitation": {}})
        call = {"name": "act", "arguments": {"what": "x"}}
        said = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": call}
        accept = {"accept": "application/json, text/event-stream"}
        headers = {"authorization": f"Bearer {w.keys['bot']}", **accept, **session}
        approving = asyncio.create_task(approved(w))
        async with w.http.stream("POST", f"{w.url}/mcp/up", json=said, headers=headers) as stream:
            lines = stream.aiter_lines()
            question: dict[str, Any] = {}
            while question.get("method") != "elicitation/create":
                line = await anext(lines)
                question = json.loads(line[6:]) if line.startswith("data: ") else {}
            result = {"action": "accept", "content": {"amount": 9}}
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await post(w, session, {"id": question["id"], "result": result})
            rest = [line async for line in lines if line.startswith("data: ")]
        assert json.loads(rest[-1][6:])["result"]["content"][0]["text"] == "paid 9"
        assert (await events(w, await approving)).count("input_given") == 1


async def test_in_the_older_era_only_the_question_that_was_asked_is_answered_once(
    tmp_path: Path,
) -> None:
    asking = Asking()
    async with world(tmp_path, upstream=asking, document=ASKS) as w:
        session = await opened(w, {"elicitation": {}})
        call = {
            "id": 7,
            "method": "tools/call",
            "params": {"name": "act", "arguments": {"what": "x"}},
        }
        headers = {
            "authorization": f"Bearer {w.keys['bot']}",
            "accept": "application/json, text/event-stream",
            **session,
        }
        approving = asyncio.create_task(approved(w))
        async with w.http.stream(
            "POST", f"{w.url}/mcp/up", json={"jsonrpc": "2.0", **call}, headers=headers
        ) as stream:
            lines = stream.aiter_lines()
            question: dict[str, Any] = {}
            while question.get("method") != "elicitation/create":
                line = await anext(lines)
                question = json.loads(line[6:]) if line.startswith("data: ") else {}
            assert question["id"].startswith("approvals-")
            result = {"action": "accept", "content": {"amount": 9}}
            for id_ in (0, 1, "approvals-0"):
                assert (await post(w, session, {"id": id_, "result": result})).status_code == 409
            elsewhere = await opened(w, {"elicitation": {}})
            await post(w, elsewhere, {"id": question["id"], "result": result})
            assert asking.ran == {}
            good = await post(w, session, {"id": question["id"], "result": result})
            assert good.status_code == 202
            twice = await post(w, session, {"id": question["id"], "result": result})
            assert twice.status_code in {202, 409}
            rest = [line async for line in lines if line.startswith("data: ")]
        assert json.loads(rest[-1][6:])["result"]["content"][0]["text"] == "paid 9"
        assert (await events(w, await approving)).count("input_given") == 1


async def test_a_call_whose_answer_cannot_be_sent_is_not_called_not_executed(
    tmp_path: Path,
) -> None:
    """The first request reached the server, whatever became of the second."""
    asking = Asking()
    async with world(tmp_path, upstream=asking, document=ASKS) as w:
        approval, question = await asked(w)
        asking.locked = True
        said = await leg(w, **answer(question))
        assert said["content"][0]["text"].startswith("FAILED: the call was approved and sent")
        release = (await w.status(approval["id"]))["release"]
        assert release["status"] == "failed"
        assert "the answer could not be sent" in release["detail"]
        assert given(asking) == []


class Doubtful(Slowed):
    """The real store, which does not say whether one kind of operation was written."""

    def __init__(self, kind: str, *, written: bool) -> None:
        super().__init__(kind)
        self._written = written

    async def apply(self, operation: Operation, **how: Any) -> Answer:
        if kind_of(operation) != self._kind:
            return await super().apply(operation, **how)
        if self._written:
            await super().apply(operation, **how)
        raise Undetermined("The database does not say.")


@both_eras
@pytest.mark.parametrize("written", [True, False])
async def test_input_of_which_nobody_knows_whether_it_is_recorded_is_not_passed_on(
    tmp_path: Path, era: str, written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "COMES_WITHIN", timedelta(seconds=3))
    asking = Asking()
    store = Doubtful("input_given", written=written)
    async with (
        world(tmp_path, upstream=asking, document=ASKS, wrap_store=store, patience=QUICK) as w,
        client(w, era) as agent,
    ):
        calling = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        approval = await approved(w)
        await asyncio.gather(calling, return_exceptions=True)
        async with asyncio.timeout(10):  # the server is not left waiting for its answer
            while (await w.status(approval["id"]))["release"]["status"] == "sent":
                await asyncio.sleep(0.1)
        assert (await w.status(approval["id"]))["release"]["status"] in {
            "failed",
            "outcome_unknown",
        }
        assert asking.ran == {}
        assert given(asking) == []
