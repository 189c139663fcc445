"""What a freeze stops."""

from __future__ import annotations

import pytest

from approvals.domain.freeze import Freeze
from tests.domain.builders import NOON


@pytest.mark.parametrize(
    ("server", "agent", "stopped"),
    [
        (None, None, {("exchange", "bot"), ("exchange", "other"), ("backup", "bot")}),
        ("exchange", None, {("exchange", "bot"), ("exchange", "other")}),
        (None, "bot", {("exchange", "bot"), ("backup", "bot")}),
        ("exchange", "bot", {("exchange", "bot")}),
        ("", "", set()),
    ],
)
def test_a_freeze_stops_everything_or_one_server_or_one_agent(
    server: str | None, agent: str | None, stopped: set[tuple[str, str]]
) -> None:
    freeze = Freeze(id="frz_1", reason="x", by="carol", at=NOON, server=server, agent=agent)
    calls = [("exchange", "bot"), ("exchange", "other"), ("backup", "bot")]
    covered = {(s, a) for s, a in calls if freeze.covers(server=s, agent=a)}
    assert covered == stopped
