"""Which policy an agent meets on which server, and what else the file says of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from approvals.domain.directory import MAX_PENDING, Agent
from approvals.domain.policy.document import ask_policy
from approvals.domain.policy.model import Policy, Ruling
from approvals.domain.policy.settings import ApprovalSettings
from approvals.domain.quorum import Requirement
from approvals.domain.rulebook import CommandServer, HttpServer, Rulebook
from tests.domain.builders import NOON, PEOPLE, call
from tests.domain.policies import policy

EXCHANGE = Policy(name="exchange", hash="sha256:exchange", default=Ruling.DENY)
BACKUP = Policy(name="backup", hash="sha256:backup", default=Ruling.ALLOW)
RULES = Rulebook(
    directory=PEOPLE,
    servers={
        "exchange": HttpServer(name="exchange", url="http://127.0.0.1:1/mcp", policy=EXCHANGE),
        "backup": CommandServer(name="backup", command="backup-mcp", policy=BACKUP),
    },
    channels=("log", "slack:#a", "webhook:b"),
)


def test_an_agent_meets_the_policy_of_its_server() -> None:
    assert RULES.policy_of("trader-bot", "exchange") is EXCHANGE


def test_a_policy_of_the_agent_alone_comes_before_that_of_the_server() -> None:
    own = replace(RULES, overrides={("trader-bot", "exchange"): BACKUP})
    assert own.policy_of("trader-bot", "exchange") is BACKUP
    other = replace(RULES, overrides={("other-bot", "exchange"): BACKUP})
    assert other.policy_of("trader-bot", "exchange") is EXCHANGE


def test_an_override_binds_no_agent_to_a_server_it_does_not_have() -> None:
    own = replace(RULES, overrides={("trader-bot", "backup"): BACKUP})
    assert own.policy_of("trader-bot", "backup") is None


@pytest.mark.parametrize(
    ("agent", "server"),
    [("trader-bot", "backup"), ("trader-bot", "gone"), ("stranger", "exchange"), ("", "")],
)
def test_an_agent_that_has_no_such_server_has_no_policy_there(agent: str, server: str) -> None:
    assert RULES.policy_of(agent, server) is None
    verdict = RULES.judge(call(agent=agent, server=server), now=NOON)
    assert (verdict.ruling, verdict.rule) == (Ruling.DENY, "(not bound)")


def test_a_server_that_left_the_file_has_no_policy_though_the_agent_still_names_it() -> None:
    assert Rulebook(directory=PEOPLE).policy_of("trader-bot", "exchange") is None


def test_an_empty_rulebook_knows_nobody() -> None:
    assert Rulebook().policy_of("trader-bot", "exchange") is None
    assert Rulebook().max_pending("trader-bot") == MAX_PENDING


def test_credentials_of_a_server_do_not_stand_in_its_text() -> None:
    remote = HttpServer(
        name="a", url="http://a/mcp", headers=(("Authorization", "k-1"),), policy=EXCHANGE
    )
    local = CommandServer(name="b", command="b", env=(("API_KEY", "k-1"),), policy=EXCHANGE)
    assert "k-1" not in repr(remote) + repr(local)


def test_a_server_is_in_another_place_once_its_calls_go_elsewhere() -> None:
    remote = HttpServer(name="a", url="http://a/mcp", policy=EXCHANGE)
    local = CommandServer(name="a", command="b", policy=EXCHANGE)
    moved = (
        replace(remote, url="http://b/mcp"),
        replace(remote, name="b"),
        replace(local, command="c"),
        replace(local, args=("x",)),
        replace(local, cwd="/x"),
    )
    assert len({server.place for server in (remote, local, *moved)}) == 7
    assert remote.place.startswith("a (")
    assert replace(remote, headers=(("a", "b"),)).place == remote.place
    assert replace(local, env=(("a", "b"),)).place == local.place


def test_a_call_is_judged_with_the_labels_of_its_agent_and_the_hour_of_the_zone() -> None:
    agent = Agent(
        name="trader-bot",
        owner="alice",
        servers=frozenset({"exchange"}),
        labels={"desk": "spot"},
    )
    rules = policy(
        {
            "require": [
                {
                    "conditions": [
                        {"path": "agent.labels.desk", "op": "eq", "value": "spot"},
                        {"path": "time.hour", "op": "eq", "value": 13},
                    ]
                }
            ]
        }
    )
    book = Rulebook(
        directory=replace(PEOPLE, agents={"trader-bot": agent}),
        servers={"exchange": HttpServer(url="http://up/mcp", name="exchange", policy=rules)},
        zone=ZoneInfo("Europe/Berlin"),
    )
    asked = call(tool="t")
    assert book.judge(asked, now=NOON).ruling is Ruling.ALLOW
    assert book.judge(asked, now=NOON + timedelta(hours=1)).ruling is Ruling.DENY
    unlabelled = replace(book, directory=PEOPLE)
    assert unlabelled.judge(asked, now=NOON).ruling is Ruling.DENY


def test_every_agent_has_its_own_number_of_calls_that_may_wait() -> None:
    busy = Agent(name="busy", owner="bob", servers=frozenset(), max_pending=3)
    book = Rulebook(directory=replace(PEOPLE, agents={**PEOPLE.agents, "busy": busy}))
    assert book.max_pending("busy") == 3
    assert book.max_pending("trader-bot") == book.max_pending("stranger") == MAX_PENDING


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (None, ("log", "slack:#a", "webhook:b")),
        (("slack:#a",), ("slack:#a",)),
        (("webhook:b", "slack:#gone", "log"), ("webhook:b", "log")),
        (("slack:#gone",), ("log", "slack:#a", "webhook:b")),
        ((), ("log", "slack:#a", "webhook:b")),
    ],
)
def test_people_are_told_where_the_requirement_says_and_never_nowhere(
    wanted: tuple[str, ...] | None, told: tuple[str, ...]
) -> None:
    assert RULES.channels_of(Requirement(channels=wanted)) == told


@pytest.mark.parametrize("owners", [True, False])
def test_the_file_knows_whether_a_rule_of_any_policy_lets_owners_decide(owners: bool) -> None:
    asking = policy(
        {"action": "require_approval", "approval": {"exclude_owner": not owners}}, default="allow"
    )
    exchange = HttpServer(url="http://up/mcp", name="exchange", policy=EXCHANGE)
    by_server = Rulebook(
        servers={"a": exchange, "b": HttpServer(url="http://up/mcp", name="b", policy=asking)}
    )
    by_override = Rulebook(servers={"a": exchange}, overrides={("bot", "a"): asking})
    built_in = ask_policy(ApprovalSettings(exclude_owner=not owners))
    by_default = Rulebook(servers={"a": HttpServer(url="http://up/mcp", name="a", policy=built_in)})
    for book in (by_server, by_override, by_default):
        assert book.lets_owners_decide is owners
    assert not Rulebook().lets_owners_decide


def test_an_agent_that_a_person_wraps_meets_the_built_in_policy_on_its_server_alone() -> None:
    assert RULES.policy_of("git@bob", "git") is RULES.ask
    assert RULES.policy_of("git@bob", "exchange") is None
    assert RULES.policy_of("exchange@bob", "exchange") is EXCHANGE
    verdict = RULES.judge(call(agent="git@bob", server="git", tool="act"), now=NOON)
    assert verdict.ruling is Ruling.REQUIRE_APPROVAL


def test_agents_are_told_times_in_the_zone_and_where_people_decide() -> None:
    told = replace(RULES, pages="http://127.0.0.1:8642").telling
    assert told == (RULES.zone, "http://127.0.0.1:8642")
