"""A channel of an installed package is found, checked and told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from approvals.channels.registry import plug_ins
from approvals.config.load import load
from approvals.errors import ConfigurationInvalid
from tests.e2e.world import world

pytestmark = pytest.mark.anyio

MODULE = """
HEARD = []

class Pigeon:
    def __init__(self, name):
        self.name = name

    async def announce(self, notice):
        HEARD.append((self.name, notice.delivery.event, notice.card.question))

    async def update(self, receipt, notice): ...

    async def reply(self, receipt, text): ...
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with an entry point, as an installer leaves it."""
    folder = tmp_path / "site"
    (folder / "pigeons-1.dist-info").mkdir(parents=True)
    (folder / "pigeons-1.dist-info" / "METADATA").write_text("Name: pigeons\nVersion: 1\n")
    points = "[approvals.channels]\npigeon = pigeons:Pigeon\nslack = pigeons:Pigeon\n"
    (folder / "pigeons-1.dist-info" / "entry_points.txt").write_text(points)
    (folder / "pigeons.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(folder))
    plug_ins.cache_clear()
    yield
    plug_ins.cache_clear()


@pytest.mark.usefixtures("installed")
async def test_a_channel_of_a_plug_in_is_told(tmp_path: Path) -> None:
    from pigeons import HEARD  # type: ignore[import-not-found]

    settings = {"approval": {"timeout": "15m", "channels": ["pigeon:grey"]}}
    async with world(tmp_path, more=settings) as w:
        approval = await w.parked()
        await w.deny(approval, reason="no")
        async with asyncio.timeout(20):
            while len(HEARD) < 2:
                await asyncio.sleep(0.02)
    assert [(name, event) for name, event, _ in HEARD] == [("grey", "parked"), ("grey", "denied")]


@pytest.mark.usefixtures("installed")
def test_our_own_kinds_are_not_replaced() -> None:
    assert list(plug_ins()) == ["pigeon"]


def test_a_kind_that_nobody_has_installed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "approvals.yaml"
    file.write_text("approval: {channels: ['pigeon:grey']}\n")
    with pytest.raises(ConfigurationInvalid, match="install the plug-in for pigeon"):
        load(file, starting_person="me")
