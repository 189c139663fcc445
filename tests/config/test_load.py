"""approvals.yaml: everything wrong is said at once, with its line; nothing half-read is used."""

from __future__ import annotations

from datetime import UTC, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from approvals.config.channels import lacks
from approvals.config.files import read_file
from approvals.config.load import load, load_policy, names_people
from approvals.config.settings import Settings, read_settings
from approvals.domain.directory import HOLD, MAX_PENDING, Role
from approvals.domain.policy.model import Ruling
from approvals.domain.rulebook import Webhook
from approvals.domain.strictjson import Number, parse
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
    requirement = rule.requirement
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
        (("owner: alice", "labels: {}"), "/agents/trader-bot/owner: is missing"),
        (("[exchange, notes]", "[exchange, nots]"), "/agents/trader-bot/servers/1: is not one"),
        (("[approver, admin]", "[approver, boss]"), "line 19: /people/bob/roles/1: must be one of"),
        (("[alice, bob, no]", "[alice, bob, zoe]"), "/groups/trading/2: is not one of `people`"),
        (
            ("person:bob", "person:zoe"),
            "/require_approval_if/0/approval/approvers/0: names person:zoe, which approvals.yaml",
        ),
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
            "APPROVALS_LOG_FORMAT": "JSON",
            "APPROVALS_REDIS_URL": "valkeys://cache/0",
            "APPROVALS_RETENTION_ARGUMENTS": "86400",
        }
    )
    assert (settings.log_format, settings.redis_url) == ("json", "rediss://cache/0")
    assert settings.database_path == Path("x.db")
    assert not settings.on_loopback
    assert settings.secret_key == (b"a" * 32, b"b" * 40)
    assert settings.upstream_timeout == timedelta(seconds=1.5)
    assert settings.retention_arguments == timedelta(days=1)
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
                "APPROVALS_RETENTION_ARGUMENTS": "86399",
            }
        )
    assert len(caught.value.problems) == 7
    assert "short" not in str(caught.value)


WHOLE = """
servers:
  local: {command: run}
  exchange: {url: 'https://h/', policy: exchange.json}
  notes: {url: 'https://h/'}
approval: {channels: ["slack:#first", log], detached: true}
channels:
  "webhook:ops": {url: "http://10.0.0.1/", secret: "${S}", allow_private: true}
  "slack:#first":
  log: {}
agents:
  plain: {servers: [exchange, notes], owner: alice, labels: {desk: spot}, hold: 5s, max_pending: 3}
  own:
    servers:
      exchange: {policy: {version: "1", default: allow}}
      notes: {policy: exchange.json}
      local:
    owner: alice
    gateway_tools: true
people: {alice: , bob: }
timezone: Europe/Berlin
"""
ASKS = """{"version": "1", "default": "deny", "tools": {"act": {"require_approval_if": [
  {"conditions": [], "approval": {"detached": true, "allow_input": true,
    "channels": ["webhook:ops", "slack:#second"]}}]}}}"""
SIGNING = "whsec_" + "c2VjcmV0IG9mIDI0IGJ5dGVz" * 2
OLD_SIGNING = "b2xkIHNlY3JldCBvZiAyNCBi" * 2
ENVIRON = {"S": SIGNING}


def test_an_agent_may_have_a_policy_of_its_own_on_a_server(tmp_path: Path) -> None:
    book = load(written(tmp_path, WHOLE, ASKS), starting_person=None, environ=ENVIRON)
    assert set(book.overrides) == {("own", "exchange"), ("own", "notes")}
    assert book.policy_of("plain", "exchange") is book.servers["exchange"].policy
    own = book.policy_of("own", "exchange")
    assert own is not None
    assert own.default is Ruling.ALLOW
    assert book.policy_of("own", "local") is book.servers["local"].policy
    assert book.policy_of("plain", "local") is None


def test_a_file_that_is_bound_twice_is_one_policy_under_its_written_name(tmp_path: Path) -> None:
    book = load(written(tmp_path, WHOLE, ASKS), starting_person=None, environ=ENVIRON)
    assert book.policy_of("own", "notes") is book.policy_of("plain", "exchange")
    assert book.servers["exchange"].policy.name == "exchange.json"


def test_policies_in_the_file_have_each_a_name_of_their_own(tmp_path: Path) -> None:
    book = load(written(tmp_path, GOOD), starting_person=None)
    assert book.servers["notes"].policy.name == "#/servers/notes/policy"


def test_the_settings_of_an_agent_and_the_time_zone_are_read(tmp_path: Path) -> None:
    book = load(written(tmp_path, WHOLE, ASKS), starting_person=None, environ=ENVIRON)
    plain = book.directory.agents["plain"]
    assert (plain.labels, plain.hold, plain.max_pending) == (
        {"desk": "spot"},
        timedelta(seconds=5),
        3,
    )
    assert (book.directory.agents["own"].hold, book.max_pending("own")) == (HOLD, MAX_PENDING)
    assert book.zone == ZoneInfo("Europe/Berlin")
    assert load(written(tmp_path, GOOD), starting_person=None).zone is UTC
    assert load(written(tmp_path, GOOD + "timezone: UTC"), starting_person=None).zone is UTC


def test_channels_are_the_log_the_declared_ones_and_those_of_slack_that_are_named(
    tmp_path: Path,
) -> None:
    book = load(written(tmp_path, WHOLE, ASKS), starting_person=None, environ=ENVIRON)
    assert book.channels == ("log", "webhook:ops", "slack:#first", "slack:#second")
    assert load(written(tmp_path, GOOD), starting_person=None).channels == ("log",)


def test_channels_of_slack_need_what_belongs_to_slack(tmp_path: Path) -> None:
    book = load(written(tmp_path, WHOLE, ASKS), starting_person=None, environ=ENVIRON)
    [sentence] = lacks(book, Settings())
    assert sentence.startswith("slack:#first, slack:#second: people are told through Slack; set ")
    assert lacks(book, Settings(slack_bot_token="xoxb-1")) == []
    plain = load(written(tmp_path, GOOD), starting_person=None)
    assert lacks(plain, Settings()) == []


def test_a_webhook_has_its_address_and_its_secrets(tmp_path: Path) -> None:
    book = load(written(tmp_path, WHOLE, ASKS), starting_person=None, environ=ENVIRON)
    assert book.webhooks == {
        "webhook:ops": Webhook(url="http://10.0.0.1/", secrets=(SIGNING,), allow_private=True)
    }
    both = WHOLE.replace('secret: "${S}"', f'secret: ["${{S}}", {OLD_SIGNING}]')
    changing = load(written(tmp_path, both, ASKS), starting_person=None, environ=ENVIRON)
    assert changing.webhooks["webhook:ops"].secrets == (SIGNING, OLD_SIGNING)


def test_the_hash_is_of_the_file_and_of_every_policy_file(tmp_path: Path) -> None:
    def hashed(text: str, policy: str = POLICY) -> str:
        return load(written(tmp_path, text, policy), starting_person=None).hash

    assert hashed(GOOD).startswith("sha256:")
    assert hashed(GOOD) == hashed(GOOD.replace("no: {}", "no:   {}  # a comment"))
    assert hashed(GOOD) != hashed(GOOD.replace("timeout: 20m", "timeout: 21m"))
    assert hashed(GOOD) != hashed(GOOD, POLICY.replace("deny", "allow"))


def test_a_configuration_may_be_json(tmp_path: Path) -> None:
    path = tmp_path / "approvals.json"
    path.write_text('{"servers": {"x": {"url": "https://h/", "polcy": 1}}}')
    with pytest.raises(ConfigurationInvalid, match=r"approvals\.json: /servers/x/polcy: is not"):
        load(path, starting_person=None)


def test_an_empty_file_is_a_configuration_with_nothing_in_it(tmp_path: Path) -> None:
    path = tmp_path / "approvals.yaml"
    path.write_text("")
    book = load(path, starting_person="sam")
    assert (book.servers, book.directory.agents) == ({}, {})
    assert book.directory.solo


def test_a_broken_server_is_no_problem_of_the_agents_that_use_it(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD.replace("https://notes.example/mcp", "ftp://notes"))
    with pytest.raises(ConfigurationInvalid) as caught:
        load(path, starting_person=None)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<<: {a: 1}\nb: 2", "line 1: a merge key (<<) is not accepted"),
        ("a: {'<<': 1}\n7: 2", "line 2: a key must be a text; put it in quotes"),
        ("true: 1", "line 1: a key must be a text; put it in quotes"),
        ("a: 1\nnull: 1", "line 2: a key must be a text; put it in quotes"),
        ("a: 1\n? {b: 1}\n: 2", "line 2: a key must be a text"),
        ("a: 1\n---\nb: 1", "line 2: a second document begins (---); a file holds one"),
        ("a:\n  - !!python/object:os.system x", "line 2: a tag (!name) is not accepted"),
        ("a: !!str 7", "line 1: a tag (!name) is not accepted"),
        ("a: !hunter2", "put a text that begins with ! in quotes"),
        ("a: *hunter2", "line 1: an alias (*name) is not accepted"),
        ('a: "\\ud800"', "line 1: a text has half of a surrogate pair"),
        ('"a\\0": 1', "line 1: a key has a NUL character"),
        ('a: "\\Uffffffff"', "is not YAML"),
        ("a: b: c", "line 1: is not YAML: mapping values are not allowed here"),
        ("a: &x 1\nb: [*x, *x]", "line 2: an alias (*name) is not accepted"),
    ],
)
def test_yaml_that_says_more_than_it_shows_is_refused_in_a_sentence(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationInvalid) as caught:
        read_file(path)
    assert any(said in problem for problem in caught.value.problems), caught.value.problems
    assert all(problem.startswith(str(path)) for problem in caught.value.problems)
    assert "hunter2" not in str(caught.value)


def test_problems_of_yaml_are_said_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: !x 1\n<<: 2\n7: 3\na: 4\n")
    with pytest.raises(ConfigurationInvalid) as caught:
        read_file(path)
    assert len(caught.value.problems) == 4


def test_a_path_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="is no path"):
        read_file(tmp_path / "a\0b")


def test_yaml_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: " + "[" * 70 + "]" * 70)
    with pytest.raises(ConfigurationInvalid, match="line 1: is nested too deeply"):
        read_file(path)


def test_a_policy_file_that_is_read_by_itself_is_named_after_its_path(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(POLICY)
    policy, document = load_policy(path)
    assert policy.name == str(path)
    assert document.value == parse(POLICY.encode())


def test_the_example_of_the_documentation_loads(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "exchange.json").write_text(POLICY)
    path = tmp_path / "approvals.yaml"
    path.write_text(
        """
servers:
  exchange:
    command: uvx
    args: [exchange-mcp]
    env: { API_KEY: "${EXCHANGE_KEY}" }
    policy: policies/exchange.json
agents:
  trader-bot: { servers: [exchange], owner: alice }
people:
  alice: { slack: U024BE7LH }
  bob: { slack: U0G9QF9C6, email: bob@example.com, roles: [approver, admin] }
  carol: { slack: U07KXQ2LM }
groups:
  trading: [alice, bob, carol]
approval:
  approvers: ["group:trading"]
  timeout: 15m
  channels: ["slack:#trading-approvals"]
channels:
  "webhook:ops": { url: "https://ops.example.com/hook", secret: "${OPS_SECRET}" }
"""
    )
    environ = {"EXCHANGE_KEY": "k", "OPS_SECRET": SIGNING}
    book = load(path, starting_person=None, environ=environ)
    assert book.channels == ("log", "webhook:ops", "slack:#trading-approvals")
    assert list(book.webhooks) == ["webhook:ops"]


def test_postgresql_needs_the_secret_that_all_replicas_share() -> None:
    url = "postgres://me:hidden@db:5433/approvals?sslmode=require"
    with pytest.raises(ConfigurationInvalid, match="APPROVALS_SECRET_KEY"):
        read_settings({"APPROVALS_DATABASE_URL": url})
    settings = read_settings({"APPROVALS_DATABASE_URL": url, "APPROVALS_SECRET_KEY": "a" * 32})
    assert settings.database_url.startswith("postgresql://me:hidden@db:5433/approvals?")
    assert settings.database_name == "postgresql://db:5433/approvals"
    assert not settings.on_sqlite
    for secret in ("S3cr/et", "S3cr#et", "S3cr?et/x"):
        for name, url in (
            ("DATABASE_URL", f"postgresql://u:{secret}@h/d"),
            ("REDIS_URL", f"redis://:{secret}@h/0"),
        ):
            with pytest.raises(ConfigurationInvalid) as refused:
                read_settings({f"APPROVALS_{name}": url, "APPROVALS_SECRET_KEY": "a" * 32})
            assert "S3cr" not in str(refused.value)
            assert "%2F" in str(refused.value)
    for wrong in ("postgresql://db", "mysql://db/x", "sqlite:///"):
        with pytest.raises(ConfigurationInvalid, match="DATABASE_URL must be"):
            read_settings({"APPROVALS_DATABASE_URL": wrong})
