"""Which policy an agent meets on which server."""

from __future__ import annotations

import pytest

from approvals.domain.policy.model import Policy, Ruling
from approvals.domain.rulebook import Rulebook, Server
from tests.domain.builders import PEOPLE

EXCHANGE = Policy(hash="sha256:exchange", default=Ruling.DENY)
BACKUP = Policy(hash="sha256:backup", default=Ruling.ALLOW)
RULES = Rulebook(
    directory=PEOPLE,
    servers={
        "exchange": Server(name="exchange", url="http://127.0.0.1:1/mcp", policy=EXCHANGE),
        "backup": Server(name="backup", url="http://127.0.0.1:2/mcp", policy=BACKUP),
    },
)


def test_an_agent_meets_the_policy_of_its_server() -> None:
    assert RULES.policy_of("trader-bot", "exchange") is EXCHANGE


@pytest.mark.parametrize(
    ("agent", "server"),
    [("trader-bot", "backup"), ("trader-bot", "gone"), ("stranger", "exchange"), ("", "")],
)
def test_an_agent_that_has_no_such_server_has_no_policy_there(agent: str, server: str) -> None:
    assert RULES.policy_of(agent, server) is None


def test_a_server_that_left_the_file_has_no_policy_though_the_agent_still_names_it() -> None:
    assert Rulebook(directory=PEOPLE).policy_of("trader-bot", "exchange") is None


def test_an_empty_rulebook_knows_nobody() -> None:
    assert Rulebook().policy_of("trader-bot", "exchange") is None
