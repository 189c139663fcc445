"""Our channels pass the contract that plug-ins pass, and so does the example."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from approvals.channels.log import LogChannel
from approvals.channels.slack.api import SlackApi
from approvals.channels.slack.send import SlackChannel
from approvals.channels.slack.settings import SlackSettings
from approvals.demo.stage import served
from approvals.ports.telling import Channel, NotTold, Receipt
from approvals.storage.clock import SystemClock
from approvals.testing import ChannelContract, notice
from approvals.testing.channel import Shown
from tests.slack.fake import APP, BOT, FakeSlack

pytestmark = pytest.mark.anyio
EXAMPLE = Path(__file__).parents[2] / "examples" / "channel.py"


class TestSlack(ChannelContract):
    @pytest.fixture
    async def slack(self) -> AsyncIterator[FakeSlack]:
        fake = FakeSlack()
        async with served(fake.app()) as fake.url:
            yield fake

    @pytest.fixture
    def channel(self, slack: FakeSlack) -> Channel:
        settings = SlackSettings(bot_token=BOT, app_id=APP, base_url=f"{slack.url}/api/")
        return SlackChannel(SlackApi(settings, SystemClock()), "#trading")

    @pytest.fixture
    def shown(self, slack: FakeSlack) -> Shown:
        async def shown(receipt: Receipt | None) -> str:
            every = slack.messages.values()
            found = [m for m in every if receipt in {None, f"{m.channel}/{m.ts}"}]
            return "\n".join(message.shown for message in found)

        return shown


class TestLog(ChannelContract):
    @pytest.fixture
    def channel(self) -> Channel:
        return LogChannel()

    @pytest.fixture
    def shown(self, caplog: pytest.LogCaptureFixture) -> Shown:
        caplog.set_level("INFO", logger="approvals.notice")

        async def shown(receipt: Receipt | None) -> str:
            return caplog.text

        return shown


class TestExample(ChannelContract):
    @pytest.fixture
    async def heard(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
        heard: list[str] = []

        async def take(request: Request) -> Response:
            heard.append((await request.body()).decode())
            return Response(status_code=500 if request.path_params["topic"] == "bad" else 200)

        app = Starlette(routes=[Route("/{topic}", take, methods=["POST"])])
        async with served(app) as url:
            monkeypatch.setenv("NTFY_URL", url)
            yield heard

    @pytest.fixture
    def channel(self, heard: list[str]) -> Channel:
        return example("good")

    @pytest.fixture
    def shown(self, heard: list[str]) -> Shown:
        async def shown(receipt: Receipt | None) -> str:
            return "\n".join(heard)

        return shown

    async def test_a_refusal_is_said(self, heard: list[str]) -> None:
        with pytest.raises(NotTold, match="ntfy answered 500"):
            await example("bad").announce(notice())


def example(topic: str) -> Channel:
    spec = importlib.util.spec_from_file_location("example_channel", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Channel = module.Ntfy(topic)
    return made
