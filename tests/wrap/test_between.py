"""Something between wrap and the service loses an answer, or changes one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from approvals.demo.stage import served
from tests.cli.test_serve import Machine
from tests.e2e.world import text
from tests.wrap.wrapped import Person, ran, wrapped

pytestmark = pytest.mark.anyio
Change = Callable[[str, bytes], bytes | None]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    made.serve()
    yield made
    assert made.process is not None
    made.process.terminate()
    made.process.wait(20)


@asynccontextmanager
async def between(machine: Machine, change: Change) -> AsyncIterator[dict[str, str]]:
    """What wrap has to be told to ask through it; None: the answer is lost on its way."""
    key = json.loads(machine.state.read_text())["key"]
    async with httpx2.AsyncClient(base_url=machine.url, timeout=60, trust_env=False) as http:

        async def pass_on(request: Request) -> Response:
            names = ("authorization", "content-type")
            answer = await http.request(
                request.method,
                request.url.path,
                params=dict(request.query_params),
                content=await request.body(),
                headers={n: v for n, v in request.headers.items() if n in names},
            )
            body = change(request.url.path, answer.content)
            if body is None:
                return Response(b"Bad gateway", status_code=502)
            return Response(body, status_code=answer.status_code, media_type="application/json")

        methods = ["GET", "POST", "DELETE"]
        app = Starlette(routes=[Route("/{path:path}", pass_on, methods=methods)])
        async with served(app) as url:
            yield {"APPROVALS_URL": url, "APPROVALS_KEY": key}


async def test_a_lost_answer_to_the_release_is_asked_for_again_and_sent_once(
    machine: Machine,
) -> None:
    lost: list[str] = []

    def change(path: str, body: bytes) -> bytes | None:
        if path.endswith("/release") and not lost:
            lost.append(path)
            return None
        return body

    async with (
        between(machine, change) as more,
        Person(machine) as person,
        wrapped(machine, more=more) as agent,
    ):
        call = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await person.pending()
        await person.approve(approval)
        assert "did x" in text(await call)
        assert lost
        assert ran(machine) == ["x"]
        await person.status(approval["id"], "succeeded")


async def test_other_arguments_than_those_asked_about_are_not_sent(machine: Machine) -> None:
    def change(path: str, body: bytes) -> bytes:
        if not path.endswith("/release"):
            return body
        return json.dumps({**json.loads(body), "arguments": {"what": "everything"}}).encode()

    async with (
        between(machine, change) as more,
        Person(machine) as person,
        wrapped(machine, more=more) as agent,
    ):
        call = asyncio.create_task(agent.call_tool("act", {"what": "x"}))
        [approval] = await person.pending()
        await person.approve(approval)
        assert text(await call).startswith("NOT EXECUTED: What was approved is not what was asked")
        assert ran(machine) == []
        await person.status(approval["id"], "not_sent")
