"""`policy check|explain|test`, `config check`, `doctor`: looking before something is used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.cli.test_serve import Machine

POLICY = """
version: "1"
default: deny
tools:
  place_order:
    deny_if:
      - conditions: [{path: args.quantity, op: gt, value: 5}]
        on_deny: Above the desk limit.
    require_approval_if:
      - conditions: [{path: args.quantity, op: gt, value: 0.5}]
        message: Larger than half a coin.
        approval: {approvers: ["group:trading"], required: 2, timeout: 30m}
    limits: [{counter: orders, window: hour, max: 20, scope: agent}]
  get_price: {}
"""
CONFIG = """
servers:
  exchange: {url: http://127.0.0.1:9000/mcp, policy: exchange.yaml}
agents:
  trader-bot: {servers: [exchange], owner: alice}
people: {alice: , bob: {roles: [approver, admin]}, carol: }
groups: {trading: [alice, bob, carol]}
"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    (tmp_path / "exchange.yaml").write_text(POLICY)
    yield made
    if made.process is not None:
        made.process.terminate()
        made.process.wait(30)


def test_policy_check_says_in_a_sentence_who_would_be_asked(machine: Machine) -> None:
    alone = machine.run("policy", "check", "exchange.yaml")
    assert "→ 2 of trading, 30 min (/tools/place_order/require_approval_if/0)" in alone
    (machine.folder / "approvals.yaml").write_text(CONFIG)
    said = machine.run("policy", "check", "exchange.yaml")
    assert (
        "place_order when args.quantity is above 0.5 → 2 of trading (bob, carol; not alice, who "
        "owns trader-bot), 30 min (/tools/place_order/require_approval_if/0)"
    ) in said
    assert "place_order at most 20 orders per hour for each agent" in said
    assert "place_order when args.quantity is above 5 → denied: Above the desk limit." in said


def test_policy_explain_says_what_each_rule_made_of_a_call(machine: Machine) -> None:
    call = machine.folder / "call.json"
    call.write_text('{"tool": "place_order", "arguments": {"quantity": 0.75, "secret": "hush"}}')
    said = machine.run("policy", "explain", "exchange.yaml", "call.json")
    assert "/tools/place_order/deny_if/0: does not match (args.quantity is above 5)" in said
    assert "/tools/place_order/require_approval_if/0: matches" in said
    assert "verdict: require_approval /tools/place_order/require_approval_if/0" in said
    assert "asks: 2 of trading" in said
    assert "0.75" not in said
    assert "hush" not in said
    call.write_text('{"tool": "place_order", "arguments": {"quantity": "0.75"}}')
    said = machine.run("policy", "explain", "exchange.yaml", "call.json")
    assert "counts as matched, in doubt: args.quantity is of another kind" in said
    assert "verdict: deny /tools/place_order/deny_if/0" in said
    machine.run("policy", "explain", "exchange.yaml", code=2)


def test_explain_and_test_use_the_time_zone_and_the_labels_of_the_configuration(
    machine: Machine,
) -> None:
    (machine.folder / "exchange.yaml").write_text(
        "version: '1'\ndefault: deny\ntools:\n  act:\n    require:\n"
        "      - conditions: [{path: time.hour, op: lt, value: 23}]\n"
        "      - conditions: [{path: agent.labels.desk, op: eq, value: spot}]\n"
    )
    (machine.folder / "call.yaml").write_text(
        'tool: act\nagent: trader-bot\nat: "2026-11-20T22:30:00Z"\n'
    )
    (machine.folder / "exchange.tests.yaml").write_text(
        '- {tool: act, agent: trader-bot, at: "2026-11-20T21:30:00Z", expect: allow}\n'
        '- {tool: act, agent: other, at: "2026-11-20T21:30:00Z", expect: deny}\n'
    )
    alone = machine.run("policy", "explain", "exchange.yaml", "call.yaml")
    assert "(read without approvals.yaml: in UTC, no names)" in alone
    assert "/tools/act/require/0: holds" in alone
    (machine.folder / "approvals.yaml").write_text(
        CONFIG.replace("owner: alice", "owner: alice, labels: {desk: spot}")
        + "timezone: Europe/Berlin\n"
    )
    said = machine.run("policy", "explain", "exchange.yaml", "call.yaml")
    assert "/tools/act/require/0: does not hold" in said
    assert "/tools/act/require/1: holds" in said
    assert "2 of 2 verdicts are as expected" in machine.run("policy", "test", "exchange.yaml")


def test_policy_test_judges_the_table_beside_the_policy(machine: Machine) -> None:
    table = machine.folder / "exchange.tests.yaml"
    table.write_text(
        "- {tool: get_price, expect: allow}\n"
        "- {tool: place_order, arguments: {quantity: 6}, expect: deny}\n"
        "- {tool: withdraw, expect: deny, rule: (default deny)}\n"
    )
    assert "3 of 3 verdicts are as expected" in machine.run("policy", "test", "exchange.yaml")
    table.write_text(
        "- {name: half, tool: place_order, arguments: {quantity: 0.6}, expect: allow}\n"
        "- {tool: get_price, expect: allow}\n"
    )
    said = machine.run("policy", "test", "exchange.yaml", code=1)
    assert "half: expected allow, is require_approval by /tools/place_order/req" in said
    assert "1 of 2 verdicts are as expected" in said


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("[]", "a table without rows would test nothing"),
        ("- {tool: x}", "/0/expect: is missing: must be one of allow, deny"),
        ("- {tool: x, expect: alow}", "/0/expect: must be one of"),
        ("- {expect: deny}", "/0/tool: is missing"),
        ("- {tool: x, expect: deny, expct: y}", "did you mean expect?"),
        ("- {tool: x, expect: deny, at: noon}", "/0/at: must be a time with its zone"),
        ("- {tool: x, expect: deny, arguments: [1]}", "/0/arguments: The arguments of a call are"),
        ("- {tool: x, expect: deny, definition: {}}", "/0/definition: A tool definition needs"),
        ("- {tool: x, expect: deny, definition: 1}", "/0/definition: must be the tool's entry"),
    ],
)
def test_a_table_that_cannot_be_read_fails_and_says_where(
    machine: Machine, table: str, said: str
) -> None:
    (machine.folder / "exchange.tests.yaml").write_text(table)
    assert said in machine.run("policy", "test", "exchange.yaml", code=1)


def test_a_missing_table_is_no_passed_test(machine: Machine) -> None:
    assert "exchange.tests.yaml" in machine.run("policy", "test", "exchange.yaml", code=1)


def test_config_check_says_what_the_file_means_or_everything_that_is_wrong(
    machine: Machine,
) -> None:
    assert "is not in this folder" in machine.run("config", "check", code=1)
    config = machine.folder / "approvals.yaml"
    config.write_text(CONFIG)
    said = machine.run("config", "check")
    assert "server exchange: http://127.0.0.1:9000/mcp, policy exchange.yaml" in said
    assert "agent trader-bot: exchange, owned by alice" in said
    assert "group trading: alice, bob, carol" in said
    config.write_text(CONFIG + "channels: {}\npeeple: {}\ngroups: {}\n")
    said = machine.run("config", "check", code=1)
    assert "the key `groups` appears twice" in said
    config.write_text(
        CONFIG.replace("[alice, bob, carol]", "[alice, bobb, carol]") + "peeple: {}\n"
    )
    said = machine.run("config", "check", code=1)
    assert "/groups/trading/1: is not one of `people`" in said
    assert "did you mean people?" in said


def test_what_cannot_be_served_yet_is_checked_and_serve_says_so_in_a_sentence(
    machine: Machine,
) -> None:
    (machine.folder / "approvals.yaml").write_text(
        CONFIG.replace("groups:", "channels: {'slack:#desk': }\ngroups:")
    )
    said = machine.run("config", "check", code=1)
    assert "loads (" in said
    assert "not yet: slack:#desk: people are told through Slack; set APPROVALS_SLACK_BOT" in said
    said = machine.run("serve", code=1)
    assert "slack:#desk: people are told through Slack" in said
    assert "Traceback" not in said


def test_doctor_says_what_would_go_wrong_tonight(machine: Machine) -> None:
    said = machine.run("doctor")
    assert "will be made by the first start" in said
    (machine.folder / "approvals.yaml").write_text(CONFIG)
    machine.serve()
    said = machine.run("doctor")  # beside a running server
    assert "is whole" in said
    assert "clock: not behind the database" in said
    assert "needs 2 of bob, carol: nobody may be away" in said
    assert "channels: people are told in the service's log only" in said
    (machine.folder / "approvals.yaml").write_text("servers: {x: {}}\n")
    assert "FAIL  configuration" in machine.run("doctor", code=1)


def test_doctor_finds_a_damaged_database(machine: Machine) -> None:
    (machine.folder / "approvals.db").write_bytes(b"not a database at all" * 500)
    assert "cannot be read" in machine.run("doctor", code=1)


def test_policy_explain_takes_the_beginning_of_an_id(machine: Machine) -> None:
    (machine.folder / "approvals.yaml").write_text(
        "servers: {exchange: {url: http://127.0.0.1:9000/mcp, policy: exchange.yaml}}\n"
        "agents: {bot: {servers: [exchange]}}\n"
    )
    (machine.folder / "exchange.yaml").write_text(
        "{version: '1', default: deny, tools: {act: {action: require_approval}}}"
    )
    machine.serve()
    key = machine.run("keys", "create", "--agent", "bot").split()[0]
    asked = httpx2.post(
        f"{machine.url}/v1/approvals",
        headers={"authorization": f"Bearer {key}"},
        json={"server": "exchange", "tool": "act", "arguments": {}},
        trust_env=False,
    ).json()["approval"]
    said = machine.run("policy", "explain", asked["id"][:9])
    assert "parked by: /tools/act/action" in said
    assert "verdict: require_approval /tools/act/action" in said


def test_freeze_and_thaw_from_the_command_line(machine: Machine) -> None:
    machine.serve()
    assert machine.run("freeze") == "Nothing is frozen.\n"
    assert "Frozen: every call (frz_" in machine.run("freeze", "--reason", "market halted")
    listed = machine.run("freeze")
    assert "every call, by " in listed
    assert ": market halted" in listed
    [found] = json.loads(machine.run("freeze", "-o", "json"))
    assert f"Thawed: {found['id']}" in machine.run("thaw")
    assert "Nothing is frozen." in machine.run("thaw", code=1)
    assert "There is no server of this name." in machine.run(
        "freeze", "--reason", "x", "--server", "nowhere", code=1
    )
