"""approvals.yaml: everything wrong is said at once, with its line; nothing half-read is used."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from approvals.config.files import read_file
from approvals.config.load import load, load_policy, names_people
from approvals.config.settings import Settings, read_settings
from approvals.domain.directory import Role
from approvals.domain.strictjson import Number
from approvals.errors import ConfigurationInvalid

GOOD = """
servers:
  exchange:
    url: http://127.0.0.1:9000/mcp
    policy: exchange.json
  notes:
    url: https://notes.example/mcp
    policy:
      version: "1"
      default: deny
      tools:
        write:
          require_approval_if:
            - {conditions: [], approval: {approvers: ["person:bob"], required: 1}}
agents:
  trader-bot: {servers: [exchange, notes], owner: alice}
people:
  alice:
  bob: {roles: [approver, admin]}
  no: {}
groups:
  trading: [alice, bob, no]
approval: {approvers: ["group:trading"], required: 2, timeout: 20m}
"""
POLICY = '{"version":"1","default":"deny","tools":{"act":{"action":"require_approval"}}}'


def written(folder: Path, text: str, policy: str = POLICY) -> Path:
    (folder / "exchange.json").write_text(policy)
    path = folder / "approvals.yaml"
    path.write_text(text)
    return path


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    book = load(written(tmp_path, GOOD), starting_person=None)
    assert set(book.servers) == {"exchange", "notes"}
    assert book.directory.people["bob"].roles == {Role.APPROVER, Role.ADMIN}
    assert book.directory.people["no"].roles == {Role.APPROVER}
    assert book.directory.groups["trading"] == {"alice", "bob", "no"}
    assert book.directory.agents["trader-bot"].owner == "alice"
    policy = book.servers["exchange"].policy
    [rule] = policy.tools["act"].require_approval_if
    requirement = policy.settings(policy.tools["act"], rule).requirement()
    assert requirement.stages[0].approvers == {"group:trading"}
    assert requirement.stages[0].required == 2
    assert requirement.timeout == timedelta(minutes=20)


def test_an_agent_gets_the_policies_of_its_servers_and_no_others(tmp_path: Path) -> None:
    book = load(written(tmp_path, GOOD), starting_person=None)
    assert book.policy_of("trader-bot", "notes") is book.servers["notes"].policy
    assert book.policy_of("trader-bot", "other") is None
    assert book.policy_of("stranger", "notes") is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("servers:", "server:"), "line 2: /server: is not a key that is known here"),
        (("url: http://127.0.0.1:9000/mcp", "url: 7"), "line 4: /servers/exchange/url: must be a"),
        (("http://127.0.0.1:9000", "ftp://h"), "line 4: /servers/exchange/url: must be an http"),
        (("http://127.0.0.1:9000", "http://u:p@h"), "must not carry a user name"),
        (("policy: exchange.json", "policy: none.json"), "none.json: cannot be read"),
        (("policy: exchange.json", "polcy: exchange.json"), "line 5: /servers/exchange/polcy"),
        (("owner: alice", "owner: zoe"), "line 16: /agents/trader-bot/owner: is not one of"),
        (("owner: alice", "label: x"), "/agents/trader-bot/owner: is missing"),
        (("[exchange, notes]", "[exchange, nots]"), "/agents/trader-bot/servers/1: is not one"),
        (("[approver, admin]", "[approver, boss]"), "line 19: /people/bob/roles/1: must be one of"),
        (("[alice, bob, no]", "[alice, bob, zoe]"), "/groups/trading/2: is not one of `people`"),
        (("person:bob", "person:zoe"), "names person:zoe, who is not in this file"),
        (("person:bob", "bob"), "must be person:NAME, group:NAME or everyone"),
        (("required: 2", "required: 0"), "/approval/required: must be a whole number"),
        (("required: 2", "required: 3"), "whose owner alice does not count"),
        (("required: 2", "required: 4"), "asks for 4, and 3 may answer"),
        (("timeout: 20m", "timeout: 20"), "/approval/timeout: must be a duration"),
        (("timeout: 20m", "timeout: 8d"), "must not be longer than 7d"),
        (("timeout: 20m", "on_timeout: allow"), "/approval/on_timeout: is not a key"),
        (("  no: {}", "  alice: {}"), "line 20: the key `alice` appears twice"),
        (("  trader-bot:", "  trader bot:"), "is not a name"),
        (("  notes:", "  no/tes:"), "is not a name"),
        (("default: deny", "default: maybe"), "line 10: /servers/notes/policy/default: must be"),
        (('version: "1"', "version: 1"), 'must be the text "1"'),
        (("people:", "people: &p"), None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, change: tuple[str, str], problem: str | None
) -> None:
    path = written(tmp_path, GOOD.replace(*change))
    if problem is None:
        assert load(path, starting_person=None).directory.people
        return
    with pytest.raises(ConfigurationInvalid) as caught:
        load(path, starting_person=None)
    assert problem in str(caught.value)


def test_all_problems_of_all_files_are_said_at_once(tmp_path: Path) -> None:
    bad = GOOD.replace("owner: alice", "owner: zoe").replace("required: 2", "required: x")
    path = written(tmp_path, bad, policy='{"version":"1","defalt":"deny"}')
    with pytest.raises(ConfigurationInvalid) as caught:
        load(path, starting_person=None)
    said = str(caught.value)
    for problem in ("/agents/trader-bot/owner", "/approval/required", "/defalt", "/default"):
        assert problem in said


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, 2",
        "a: *unknown",
        "x: &a [1]\ny: *a",
        "? [1]\n: 2",
        "a: 1e999",
        "\x00",
        "a: " + "[" * 2000,
    ],
    ids=["open", "unknown alias", "alias", "odd key", "overflow", "NUL", "deep"],
)
def test_yaml_that_could_mean_two_things_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationInvalid):
        read_file(path)


def test_a_file_that_is_no_utf8_or_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: \xff")
    with pytest.raises(ConfigurationInvalid):
        read_file(path)
    path.write_bytes(b"#" * (5 * 1024 * 1024))
    with pytest.raises(ConfigurationInvalid, match="larger than 4 MiB"):
        read_file(path)


def test_yaml_values_are_kept_exactly(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "a: 0.1000000000000000055\nb: no\nc: 010\nd: '7'\ne: 7\nf: true\ng: null\nh: 1_000\n"
        "i: 12:30\nj: 0x10\nk: .inf\nl: 2026-11-20\n"
    )
    value = read_file(path).value
    assert value == {
        "a": Number("0.1000000000000000055"),
        "b": "no",
        "c": "010",
        "d": "7",
        "e": 7,
        "f": True,
        "g": None,
        "h": "1_000",
        "i": "12:30",
        "j": "0x10",
        "k": ".inf",
        "l": "2026-11-20",
    }


def test_until_the_file_names_people_the_starting_person_is_the_one(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "servers: {exchange: {url: 'http://h/mcp', policy: exchange.json}}\n"
        "agents: {bot: {servers: [exchange]}}\n",
    )
    assert not names_people(path)
    assert not names_people(None)
    book = load(path, starting_person="sam")
    assert book.directory.solo
    assert book.directory.people["sam"].roles == {Role.APPROVER, Role.ADMIN}
    assert book.directory.agents["bot"].owner == "sam"
    assert load(None, starting_person="sam").directory.solo
    assert load(None, starting_person=None).directory.people == {}


def test_once_the_file_names_people_only_they_exist(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    assert names_people(path)
    assert "sam" not in load(path, starting_person="sam").directory.people


def test_a_policy_file_is_read_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text('version: "1"\ndefault: deny\ntools:\n  act: {acton: deny}\n')
    with pytest.raises(ConfigurationInvalid, match=r"p\.yaml, line 4: /tools/act/acton"):
        load_policy(path)


def test_settings_come_from_the_environment_and_all_problems_are_said(tmp_path: Path) -> None:
    assert read_settings({}) == Settings()
    settings = read_settings(
        {
            "APPROVALS_DATABASE_URL": "sqlite:///x.db",
            "APPROVALS_HOST": "0.0.0.0",
            "APPROVALS_PORT": "0",
            "APPROVALS_SECRET_KEY": "a" * 32 + "," + "b" * 40,
            "APPROVALS_UPSTREAM_TIMEOUT": "1.5",
            "APPROVALS_PUBLIC_URL": "https://a.example/",
            "APPROVALS_CONFIG": str(tmp_path / "x.yaml"),
            "APPROVALS_LOG_LEVEL": "debug",
        }
    )
    assert settings.database_path == Path("x.db")
    assert not settings.on_loopback
    assert settings.secret_key == (b"a" * 32, b"b" * 40)
    assert settings.upstream_timeout == timedelta(seconds=1.5)
    assert settings.public_url == "https://a.example"
    with pytest.raises(ConfigurationInvalid) as caught:
        read_settings(
            {
                "APPROVALS_DATABASE_URL": "postgresql://x",
                "APPROVALS_PORT": "65536",
                "APPROVALS_SECRET_KEY": "short",
                "APPROVALS_UPSTREAM_TIMEOUT": "forever",
                "APPROVALS_PUBLIC_URL": "a.example",
                "APPROVALS_LOG_LEVEL": "loud",
            }
        )
    assert len(caught.value.problems) == 6
    assert "short" not in str(caught.value)
