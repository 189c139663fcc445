"""What operators collect (log lines, metrics, traces) holds no hidden value (SECURITY.md 6)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from approvals.cli.logs import TEXT, JsonLines
from approvals.domain.directory import Assurance
from approvals.domain.states import Answer
from approvals.service.approvals import Answering
from approvals.service.identity import PersonPrincipal
from tests.e2e.test_hidden import ARGUMENTS, INNER, RULE, SECRET
from tests.e2e.test_traces import Traces
from tests.e2e.world import World, policy, text, world

pytestmark = pytest.mark.anyio

ON_THE_WEB = PersonPrincipal(name="bob", roles=frozenset(), assurance=Assurance.WEB)


NOT_THE_SERVICE = ("mcp.client", "mcp.server", "sse_starlette", "client")
"""The agent and the server, which run in this process too and know what they say."""


class Lines(logging.Handler):
    """Everything that the service and its libraries log, at every level, in one format."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(NOT_THE_SERVICE):
            self.lines.append(self.format(record))


@contextmanager
def listening() -> Iterator[tuple[Lines, Lines]]:
    """The log as `APPROVALS_LOG_FORMAT` text and json, down to DEBUG of every library."""
    both = Lines(logging.Formatter(TEXT)), Lines(JsonLines())
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    for handler in both:
        root.addHandler(handler)
    yield both
    for handler in both:
        root.removeHandler(handler)
    root.setLevel(before)


@pytest.mark.usefixtures("deployment")
async def test_a_whole_held_call_leaves_no_hidden_value_outside(tmp_path: Path) -> None:
    traces = Traces()
    document = policy(tools={"act": RULE, "break_it": RULE, "look": {}})
    patience = timedelta(seconds=1)
    with listening() as (plain, as_json):
        async with world(
            tmp_path, document=document, traces=traces.provider, upstream_timeout=patience
        ) as w:
            ran = await held(w, "act")
            assert "did x" in ran
            assert SECRET in w.upstream.seen[-1]
            assert "Error executing tool" in await held(w, "break_it")
            w.upstream.pause.clear()
            assert "OUTCOME UNKNOWN" in await held(w, "act", n=2)
            w.upstream.pause.set()
            await denied(w)
            await misfit(w)
            await w.services.deliveries.deliver_due()
            await w.services.deliveries.settled()
            urls = {w.url, w.people_url}
            metrics = [(await w.http.get(f"{url}/metrics")).text for url in urls]
    spans = [span.to_json() for span in traces.all]
    collected = [*plain.lines, *as_json.lines, *metrics, *spans]
    assert not [one for one in collected if SECRET in one or INNER in one]
    assert len(spans) > 20
    assert any("approvals.notice requested apr_" in line for line in plain.lines)
    assert sum("requested apr_" in line for line in plain.lines) == 4


async def held(w: World, tool: str, **more: Any) -> str:
    """What an agent hears of a call that bob approves where he sees all of it."""
    async with w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool(tool, {**ARGUMENTS, **more}))
        [approval] = await w.pending()
        await w.approve(approval)  # over REST it cannot be
        stored = await w.services.store.approval(approval["id"])
        assert stored is not None
        answering = Answering(
            answer=Answer.APPROVE,
            digest=approval["digest"],
            reason=None,
            channel="web",
            revealed=await w.services.reveals.reveal(ON_THE_WEB, stored),
        )
        await w.services.approvals.decide(ON_THE_WEB, approval["id"], answering)
        return text(await calling)


async def denied(w: World) -> None:
    approval = await w.parked({**ARGUMENTS, "n": 3})
    await w.deny(approval, reason="no")


async def misfit(w: World) -> None:
    async with w.agent() as agent:
        await agent.call_tool("act", {**ARGUMENTS, "n": SECRET})


async def test_a_line_about_a_call_names_it_for_machines(tmp_path: Path) -> None:
    with listening() as (_, as_json):
        async with world(tmp_path) as w:
            approval = await w.parked()
            await w.services.deliveries.deliver_due()
            await w.services.deliveries.settled()
            await asyncio.sleep(1)
    said = [json.loads(line) for line in as_json.lines]
    [notice] = [one for one in said if one["logger"] == "approvals.notice"]
    about = {name: notice[name] for name in ("approval", "agent", "server", "tool")}
    assert about == {"approval": approval["id"], "agent": "bot", "server": "up", "tool": "act"}
    other = next(one for one in said if one["logger"] != "approvals.notice")
    assert "approval" not in other
