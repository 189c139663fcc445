"""Malformed policies and configurations: none loads, each says where it is wrong and the remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from approvals.config.load import load, load_policy
from approvals.errors import ConfigurationInvalid


def tools(entry: object) -> str:
    return json.dumps({"version": "1", "default": "deny", "tools": {"t": entry}})


def rule(condition: object) -> str:
    return tools({"deny_if": [{"conditions": [condition], "on_deny": "No."}]})


def asks(approval: object) -> str:
    return tools({"require_approval_if": [{"conditions": [], "approval": approval}]})


def limited(**limit: object) -> str:
    whole = {"counter": "c", "window": "hour", "max": 1, "scope": "agent"}
    return tools({"limits": [{**whole, **limit}]})


CONDITION = "/tools/t/deny_if/0/conditions/0"
APPROVAL = "/tools/t/require_approval_if/0/approval"
LIMIT = "/tools/t/limits/0"

POLICIES: list[tuple[str, str, str]] = [
    ("", "p.json", "the file is not JSON"),
    ("[]", "(the document)", "must be an object"),
    ('"deny"', "(the document)", "must be an object"),
    ("null", "(the document)", "must be an object"),
    ('{"version":"1","default":"deny","default":"allow"}', "p.json", "appears twice"),
    ('{"version":"1","default":"deny","tools":{"a":{},"\\u0061":{}}}', "p.json", "appears twice"),
    ('{"version":"1","default":"deny",}', "p.json", "is not JSON"),
    ('{"version":"1","default":"deny"} {}', "p.json", "is not JSON"),
    ('{"version":"1","default":"deny","tools":{"t":{"limits":[{"max":NaN}]}}}', "p.json", "NaN"),
    ('{"version":"1","default":"deny","tools":{"t":{"summary":"\\ud800"}}}', "p.json", "surrogate"),
    ('{"a":' * 70 + "1" + "}" * 70, "p.json", "nested deeper than 64"),
    ('{"default":"deny"}', "/version", 'must be the text "1"'),
    ('{"version":1,"default":"deny"}', "/version", 'must be the text "1"'),
    ('{"version":"2","default":"deny"}', "/version", 'must be the text "1"'),
    ('{"version":"1"}', "/default", "is missing: must be one of allow, deny"),
    ('{"version":"1","default":"hide"}', "/default", "must be one of allow, deny"),
    ('{"version":"1","default":true}', "/default", "must be one of allow, deny"),
    ('{"version":"1","default":"deny","tool":{}}', "/tool", "did you mean tools?"),
    ('{"version":"1","default":"deny","tools":[]}', "/tools", "must be an object"),
    ('{"version":"1","default":"deny","tools":{"":{}}}', "/tools/", "is no tool name"),
    ('{"version":"1","default":"deny","hide":"x"}', "/hide", "must be a list"),
    ('{"version":"1","default":"deny","hide":[1]}', "/hide/0", "must be a text"),
    ('{"version":"1","default":"deny","hide":[""]}', "/hide/0", "is no tool name"),
    (
        '{"version":"1","default":"deny","tools":{"a*c":{},"ab*":{}}}',
        "/tools/ab*",
        "make one of them longer",
    ),
    ('{"version":"1","default":"deny","all_tools":{"summary":"x"}}', "/all_tools/summary", "known"),
    ('{"version":"1","default":"deny","approval":[]}', "/approval", "must be an object"),
    (tools(None), "/tools/t", "write {} to allow the tool"),
    (tools({"on_timeout": "allow"}), "/tools/t/on_timeout", "is not a key that is known here"),
    (tools({"allow_edit": True}), "/tools/t/allow_edit", "is not a key that is known here"),
    (tools({"action": "ask"}), "/tools/t/action", "allow, deny, require_approval"),
    (tools({"reason": "x"}), "/tools/t/reason", "stands beside `action` only"),
    (tools({"justification": True}), "/tools/t/justification", "must be one of required"),
    (tools({"summary": "Sell {a b}"}), "/tools/t/summary", "brace that belongs to no {argument}"),
    (tools({"redact": ["api_key"]}), "/tools/t/redact/0", "such as args.api_secret"),
    (tools({"risk": {"level": "none"}}), "/tools/t/risk/level", "low, medium, high, critical"),
    (tools({"risk": {"category": "read"}}), "/tools/t/risk/category", "Read, Write, Execute"),
    (tools({"deny_if": {}}), "/tools/t/deny_if", "must be a list"),
    (tools({"deny_if": [{}]}), "/tools/t/deny_if/0/conditions", "[] makes the rule hold"),
    (tools({"deny_if": [{"conditions": [], "message": "x"}]}), "/tools/t/deny_if/0/message", "on_"),
    (tools({"require": [{"conditions": "x"}]}), "/tools/t/require/0/conditions", "must be a list"),
    (
        tools({"require_approval_if": [{"conditions": [], "on_deny": "x"}]}),
        "/tools/t/require_approval_if/0/on_deny",
        "conditions, message, approval",
    ),
    (rule({"op": "eq", "value": 1}), f"{CONDITION}/path", "what the condition looks at"),
    (rule({"path": "args.a", "value": 1}), f"{CONDITION}/op", "is missing: must be one of eq"),
    (rule({"path": "args.a", "op": "eq"}), f"{CONDITION}/value", "what the operator compares with"),
    (rule({"path": "args.a", "op": "==", "value": 1}), f"{CONDITION}/op", "must be one of eq, neq"),
    (rule({"path": "quantity", "op": "eq", "value": 1}), f"{CONDITION}/path", "args.NAME"),
    (rule({"path": "args.a[-1]", "op": "eq", "value": 1}), f"{CONDITION}/path", "is no path"),
    (rule({"path": "args.a", "op": "gt", "value": "5"}), f"{CONDITION}/value", "must be a number"),
    (rule({"path": "args.a", "op": "gt", "value": True}), f"{CONDITION}/value", "must be a number"),
    (rule({"path": "args.a", "op": "in", "value": []}), f"{CONDITION}/value", "a list of texts"),
    (rule({"path": "args.a", "op": "exists", "value": "yes"}), f"{CONDITION}/value", "true or fal"),
    (rule({"path": "args.a", "op": "len_gt", "value": 1.5}), f"{CONDITION}/value", "whole number"),
    (rule({"path": "args.a", "op": "regex", "value": "("}), f"{CONDITION}/value", "no RE2"),
    (
        rule({"path": "args.a", "op": "regex", "value": "(?=x)"}),
        f"{CONDITION}/value",
        "look-around",
    ),
    (rule({"path": "time.hour", "op": "eq", "value": 24}), f"{CONDITION}/value", "from 0 to 23"),
    (rule({"path": "time.weekday", "op": "eq", "value": "Mon"}), f"{CONDITION}/value", "mon, tue"),
    (rule({"path": "risk.level", "op": "gt", "value": 1}), f"{CONDITION}/value", "which is a text"),
    (limited(window="week"), f"{LIMIT}/window", "second, minute, hour, day"),
    (limited(scope="everyone"), f"{LIMIT}/scope", "grant, agent, session, server, policy"),
    (limited(max=-1), f"{LIMIT}/max", "a number that is not negative"),
    (limited(max="5"), f"{LIMIT}/max", "a number that is not negative"),
    (limited(counter=""), f"{LIMIT}/counter", "choose another name"),
    (limited(counter="rate_limit t"), f"{LIMIT}/counter", "is kept for `rate_limit`"),
    (limited(increment="amount"), f"{LIMIT}/increment", "such as args.amount"),
    (limited(increment="args.items[*].x"), f"{LIMIT}/increment", "a path to one amount"),
    (limited(per="day"), f"{LIMIT}/per", "counter, window, max, scope, increment"),
    (tools({"rate_limit": {"max": 1}}), "/tools/t/rate_limit/window", "its length in seconds"),
    (tools({"rate_limit": {"max": 1, "window": "60"}}), "/tools/t/rate_limit/window", "a whole nu"),
    (asks({"approvers": []}), f"{APPROVAL}/approvers", "leave it out for everyone"),
    (asks({"approvers": ["alice"]}), f"{APPROVAL}/approvers/0", "person:NAME, group:NAME or every"),
    (asks({"required": 0}), f"{APPROVAL}/required", "a whole number of at least 1"),
    (asks({"required": 1.0}), f"{APPROVAL}/required", "a whole number of at least 1"),
    (asks({"timeout": 900}), f"{APPROVAL}/timeout", 'such as "30s"'),
    (asks({"timeout": "30d"}), f"{APPROVAL}/timeout", "must not be longer than 7d"),
    (asks({"timeout": "0s"}), f"{APPROVAL}/timeout", 'such as "30s"'),
    (asks({"on_timeout": "allow"}), f"{APPROVAL}/on_timeout", "did you mean timeout?"),
    (asks({"stages": []}), f"{APPROVAL}/stages", "say at least one"),
    (
        asks({"stages": [{"approvers": ["everyone"]}], "required": 2}),
        f"{APPROVAL}/stages",
        "say one or the other",
    ),
    (asks({"stages": [{"name": "a"}]}), f"{APPROVAL}/stages/0/approvers", "whom this stage asks"),
    (
        asks({"stages": [{"approvers": ["everyone"], "min_assurance": "mfa"}]}),
        f"{APPROVAL}/stages/0/min_assurance",
        "slack, key, web, web_mfa",
    ),
    (asks({"remind_at": [1]}), f"{APPROVAL}/remind_at/0", "such as 0.5"),
    (asks({"escalate": {"after": "5m"}}), f"{APPROVAL}/escalate/approvers", "who is asked then"),
    (
        asks({"timeout": "5m", "escalate": {"after": "5m", "approvers": ["everyone"]}}),
        "/tools/t/require_approval_if/0",
        "make `after` shorter",
    ),
    (asks({"on_requester_gone": "run"}), f"{APPROVAL}/on_requester_gone", "keep, cancel"),
    (asks({"channels": ["#trading"]}), f"{APPROVAL}/channels/0", "slack:#NAME, webhook:NAME"),
    (asks({"exclude_owner": "no"}), f"{APPROVAL}/exclude_owner", "must be true or false"),
]


@pytest.mark.parametrize(("text", "place", "remedy"), POLICIES)
def test_a_malformed_policy_does_not_load_and_says_where_and_how_to_mend_it(
    tmp_path: Path, text: str, place: str, remedy: str
) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(ConfigurationInvalid) as refused:
        load_policy(path)
    found = [p for p in refused.value.problems if place in p and remedy in p]
    assert found, refused.value.problems
    assert all(p.startswith(f"{path}: ") for p in refused.value.problems)


SECRET = "whsec_" + "MDEyMzQ1Njc4OWFiY2RlZg01" * 2
BASE = """\
servers:
  exchange:
    url: https://exchange.example/mcp
    headers: {Authorization: "Bearer ${TOKEN}"}
    policy: {version: "1", default: deny}
  local:
    command: uvx
    args: [exchange-mcp]
    env: {API_KEY: "${TOKEN}"}
    cwd: /srv
agents:
  bot:
    servers: [exchange, local]
    owner: alice
    labels: {desk: spot}
people:
  alice: {slack: U024BE7LH}
  bob: {email: bob@example.com}
  carol:
groups:
  trading: [alice, bob]
approval:
  approvers: ["group:trading"]
  timeout: 15m
channels:
  "webhook:ops": {url: "https://ops.example/hook", secret: "${SECRET}"}
timezone: Europe/Berlin
"""
ENVIRON = {"TOKEN": "tok", "SECRET": SECRET, "SHORT": "short", "LINES": "a\nb"}
EX, LOCAL, OPS = "/servers/exchange", "/servers/local", "/channels/webhook:ops"

# What is replaced in BASE, by what, and which line, pointer and remedy are then told.
CONFIGURATIONS: list[tuple[str, str, str, str]] = [
    ("timezone:", "timezon:", "line 27: /timezon", "did you mean timezone?"),
    ("Europe/Berlin", "Europe/Bonn", "line 27: /timezone", "such as Europe/Berlin"),
    ("Europe/Berlin", "../../etc/passwd", "line 27: /timezone", "such as Europe/Berlin"),
    ("Europe/Berlin", "7", "line 27: /timezone", "must be a text"),
    ("Europe/Berlin", "''", "line 27: /timezone", "such as Europe/Berlin"),
    ("  exchange:\n", "  ex change:\n", "line 2: /servers/ex change", "is not a name: use letters"),
    ("https://exchange.example/mcp", "7", f"line 3: {EX}/url", "must be a text"),
    ("https://exchange.example/mcp", "file:///x", f"line 3: {EX}/url", "http:// or https://"),
    ("https://exchange", "https://u:p@h", f"line 3: {EX}/url", "use headers"),
    ("https://exchange.", "https://${H}.", f"line 3: {EX}/url", "expanded only in `env`"),
    ("    url: https://exchange.example/mcp\n", "", f"line 2: {EX}", "has neither `command`"),
    (
        "    command: uvx",
        "    command: uvx\n    url: https://h/",
        f"line 6: {LOCAL}",
        "keep the one",
    ),
    ("    command: uvx", "    type: sse\n    url: https://h/", f"line 7: {LOCAL}/type", "old SSE"),
    ("    command: uvx", "    type: http\n    command: u", f"line 7: {LOCAL}/type", "with `url`"),
    ("    url:", "    transport: stdio\n    url:", f"line 3: {EX}/transport", "leave it out"),
    ("    url:", "    type: ws\n    url:", f"line 3: {EX}/type", "streamable-http"),
    ("    url:", "    args: [x]\n    url:", f"line 3: {EX}/args", "goes with `command`"),
    ("    cwd: /srv", "    headers: {}", f"line 10: {LOCAL}/headers", "goes with `url`"),
    ("    cwd: /srv", "    cwd: ${PWD}", f"line 10: {LOCAL}/cwd", "write the text out"),
    ("    cwd: /srv", "    envFile: .env", f"line 10: {LOCAL}/envFile", "is not a key that is"),
    ("command: uvx", "command: [uvx]", f"line 7: {LOCAL}/command", "must be a text"),
    ("command: uvx", "command: ''", f"line 7: {LOCAL}/command", "name the program"),
    ("command: uvx", "command: ${HOME}/x", f"line 7: {LOCAL}/command", "expanded only in"),
    ("[exchange-mcp]", "exchange-mcp", f"line 8: {LOCAL}/args", "must be a list"),
    ("[exchange-mcp]", "[8080]", f"line 8: {LOCAL}/args/0", "must be a text"),
    ("[exchange-mcp]", "['${TOKEN}']", f"line 8: {LOCAL}/args/0", "expanded only in"),
    ("[exchange-mcp]", '["a\\0b"]', f"line 8: {LOCAL}/args/0", "NUL character"),
    ("API_KEY:", "API-KEY:", f"line 9: {LOCAL}/env/API-KEY", "letters, digits and _"),
    ('API_KEY: "${TOKEN}"', "PORT: 1", f"line 9: {LOCAL}/env/PORT", "must be a text"),
    ('API_KEY: "${TOKEN}"', 'A: "${NO}"', f"line 9: {LOCAL}/env/A", "variable NO, which is not"),
    ('API_KEY: "${TOKEN}"', 'A: "${file:no}"', f"line 9: {LOCAL}/env/A", "file no, which cannot"),
    ('API_KEY: "${TOKEN}"', 'A: "${input:k}"', f"line 9: {LOCAL}/env/A", "nobody can be asked"),
    ('API_KEY: "${TOKEN}"', 'A: "${env:K}"', f"line 9: {LOCAL}/env/A", "write ${NAME}"),
    ('API_KEY: "${TOKEN}"', 'A: "${K:-d}"', f"line 9: {LOCAL}/env/A", "there are no defaults"),
    ('API_KEY: "${TOKEN}"', 'A: "${}"', f"line 9: {LOCAL}/env/A", "no name of a variable"),
    ('API_KEY: "${TOKEN}"', 'A: "x${K"', f"line 9: {LOCAL}/env/A", "without its }"),
    ("Authorization:", "Au thor:", f"line 4: {EX}/headers/Au thor", "is no header name"),
    ("Authorization:", "Host:", f"line 4: {EX}/headers/Host", "the gateway sets itself"),
    ("Authorization:", "MCP-Session-Id:", f"line 4: {EX}/headers/MCP-", "the gateway sets itself"),
    ("Authorization:", "Proxy-Authorization:", f"line 4: {EX}/headers/Proxy-", "gateway sets itse"),
    (
        "Bearer ${TOKEN}",
        "${LINES}",
        f"line 4: {EX}/headers/Authorization",
        "printable ASCII in one",
    ),
    ("Bearer ${TOKEN}", "é", f"line 4: {EX}/headers/Authorization", "printable ASCII in one"),
    ("Bearer ${TOKEN}", 'x", authorization: "y', f"line 4: {EX}/headers/auth", "is there twice"),
    ('{Authorization: "Bearer ${TOKEN}"}', "[]", f"line 4: {EX}/headers", "must be an object"),
    (
        "default: deny}",
        "default: no}",
        f"line 5: {EX}/policy/default",
        "must be one of allow, deny",
    ),
    ('{version: "1", default: deny}', "7", f"line 5: {EX}/policy", "the path of one beside this"),
    ('{version: "1", default: deny}', "no.json", f"line 5: {EX}/policy", "no.json: cannot be read"),
    ('{version: "1", default: deny}', "bad.json", "bad.json: /defalt", "did you mean default?"),
    ('{version: "1", default: deny}', "bad.yaml", "bad.yaml, line 2: /defalt", "did you mean def"),
    ('{version: "1", default: deny}', "twice.yaml", f"line 5: {EX}/policy", "`a` appears twice"),
    ("  bot:", "  b/t:", "line 12: /agents/b~1t", "is not a name"),
    ("[exchange, local]", "[exchange, locl]", "line 13: /agents/bot/servers/1", "not one of `serv"),
    ("[exchange, local]", "exchange", "line 13: /agents/bot/servers", "must be a list of servers"),
    ("[exchange, local]", "{nope: }", "line 13: /agents/bot/servers/nope", "is not one of `serv"),
    ("[exchange, local]", "{local: no}", "line 13: /agents/bot/servers/local", "must be an object"),
    (
        "[exchange, local]",
        "{local: {url: x}}",
        "line 13: /agents/bot/servers/local/url",
        "(policy)",
    ),
    ("owner: alice", "owner: zoe", "line 14: /agents/bot/owner", "is not one of `people`"),
    ("owner: alice", "owner:", "line 14: /agents/bot/owner", "must be a text"),
    ("    owner: alice\n", "", "line 12: /agents/bot/owner", "the person answerable"),
    ("{desk: spot}", "{desk: 7}", "line 15: /agents/bot/labels/desk", "must be a text"),
    (
        "    labels:",
        "    lable: x\n    labels:",
        "line 15: /agents/bot/lable",
        "did you mean labels?",
    ),
    ("{desk: spot}", "[spot]", "line 15: /agents/bot/labels", "must be an object"),
    ("labels: {desk: spot}", "hold: 11m", "line 15: /agents/bot/hold", "between 1s and 10m"),
    ("labels: {desk: spot}", "hold: 0s", "line 15: /agents/bot/hold", "must be a duration"),
    ("labels: {desk: spot}", "max_pending: 0", "line 15: /agents/bot/max_pending", "at least 1"),
    (
        "labels: {desk: spot}",
        "gateway_tools: on",
        "line 15: /agents/bot/gateway_t",
        "true or false",
    ),
    ("labels: {desk: spot}", "max_pending: 9999999", "line 15: /agents/bot/max_p", "most 1000000"),
    ("Bearer ${TOKEN}", "x ", f"line 4: {EX}/headers/Authorization", "without spaces at its ends"),
    ("U024BE7LH", "alice", "line 17: /people/alice/slack", "such as U024BE7LH"),
    ("bob@example.com", "bob", "line 18: /people/bob/email", "such as bob@example.com"),
    ("  carol:", "  carol: {slack: U024BE7LH}", "line 19: /people/carol/slack", "that of alice"),
    (
        "  carol:",
        "  carol: {email: Bob@Example.com}",
        "line 19: /people/carol/email",
        "that of bob",
    ),
    ("  carol:", "  carol: {roles: approver}", "line 19: /people/carol/roles", "must be a list"),
    ("  carol:", "  carol: {role: [admin]}", "line 19: /people/carol/role", "did you mean roles?"),
    ("  carol:", "  bob:", "line 19", "the key `bob` appears twice"),
    ("  carol:", "  7:", "line 19", "a key must be a text; put it in quotes"),
    ("  carol:", "  <<: {dave: }", "line 19", "a merge key (<<) is not accepted"),
    ("  carol:", "  carol: !!map {}", "line 19", "a tag (!name) is not accepted"),
    ("  carol:", "  carol: *bob", "line 19", "an alias (*name) is not accepted"),
    ("timezone:", "---\ntimezone:", "line 27", "a file holds one"),
    ("[alice, bob]", "[alice, zoe]", "line 21: /groups/trading/1", "is not one of `people`"),
    ("[alice, bob]", "[]", "line 21: /groups/trading", "has no members"),
    ("group:trading", "group:traders", "line 23: /approval/approvers/0", "among its `groups`"),
    ("group:trading", "person:zoe", "line 23: /approval/approvers/0", "among its `people`"),
    ("group:trading", "trading", "line 23: /approval/approvers/0", "person:NAME, group:NAME"),
    ("timeout: 15m", "timeout: never", "line 24: /approval/timeout", "such as"),
    ("timeout: 15m", "required: 2", f"line 6: {LOCAL}/policy", "owner alice does not count"),
    ("timeout: 15m", "required: 9", f"line 6: {LOCAL}/policy", "asks for 9, and 2 may answer"),
    ("timeout: 15m", "channels: []", "line 24: /approval/channels", "leave it out for all"),
    ("timeout: 15m", "channels: [mail]", "line 24: /approval/channels/0", "must be log, slack:#"),
    ("timeout: 15m", "channels: ['slack:x']", "line 24: /approval/channels/0", "write slack:#NAME"),
    ("timeout: 15m", "channels: ['webhook:o']", "line 24: /approval/channels/0", "is not declared"),
    (
        "timeout: 15m",
        "escalate: {after: 15m, approvers: [everyone]}",
        "line 24: /approval/escalate/after",
        "make it shorter",
    ),
    (
        "timeout: 15m",
        "escalate: {after: 5m, approvers: ['person:zoe'], channels: ['webhook:no']}",
        "line 24: /approval/escalate/approvers/0",
        "names person:zoe",
    ),
    (
        "timeout: 15m",
        "escalate: {after: 5m, approvers: [everyone], channels: ['webhook:no']}",
        "line 24: /approval/escalate/channels/0",
        "is not declared",
    ),
    ("timeout: 15m", "channels: [7]", "line 24: /approval/channels/0", "must be a text"),
    ("[exchange, local]", "[7]", "line 13: /agents/bot/servers/0", "must be a text"),
    ("  local:\n", "  local: uvx\n  other:\n", "line 6: /servers/local", "must be an object"),
    ('"group:trading"', "7", "line 23: /approval/approvers/0", "must be a text"),
    ("webhook:ops", "web:ops", "line 26: /channels/web:ops", "write log, slack:#NAME or"),
    ("https://ops", "http://ops", f"line 26: {OPS}/url", "must be https, unless"),
    ("https://ops.", "https://${OPS}.", f"line 26: {OPS}/url", "expanded only in"),
    ('url: "https://ops.example/hook", ', "", f"line 26: {OPS}/url", "where it is sent to"),
    (', secret: "${SECRET}"', "", f"line 26: {OPS}/secret", "the key of its signatures"),
    ('"${SECRET}"', '"${SHORT}"', f"line 26: {OPS}/secret", "24 to 64 random bytes"),
    ('"${SECRET}"', "[]", f"line 26: {OPS}/secret", "or two while it is changed"),
    ('"${SECRET}"', "[a, b, c]", f"line 26: {OPS}/secret", "or two while it is changed"),
    ('"${SECRET}"', '"${SECRET}", x: 1', f"line 26: {OPS}/x", "url, secret, allow_private"),
    ('"${SECRET}"', '"${SECRET}", allow_private: 1', f"line 26: {OPS}/allow_", "true or false"),
    (
        '"webhook:ops": {url: "https://ops.example/hook", secret: "${SECRET}"}',
        '"slack:#x": {token: y}',
        "line 26: /channels/slack:#x/token",
        "is not a key",
    ),
]


def configuration(folder: Path, text: str) -> Path:
    (folder / "bad.json").write_text('{"version": "1", "defalt": "deny"}')
    (folder / "bad.yaml").write_text('version: "1"\ndefalt: deny\n')
    (folder / "twice.yaml").write_text("a: 1\na: 2\n")
    path = folder / "approvals.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(("old", "new", "place", "remedy"), CONFIGURATIONS)
def test_a_malformed_configuration_does_not_load_and_says_where_and_how_to_mend_it(
    tmp_path: Path, old: str, new: str, place: str, remedy: str
) -> None:
    assert old in BASE
    path = configuration(tmp_path, BASE.replace(old, new, 1))
    with pytest.raises(ConfigurationInvalid) as refused:
        load(path, starting_person=None, environ=ENVIRON)
    found = [p for p in refused.value.problems if place in p and remedy in p]
    assert found, refused.value.problems
    assert all(p.startswith(str(tmp_path)) for p in refused.value.problems)
    assert not any(value in str(refused.value) for value in (SECRET, "a\nb"))


def test_the_configuration_that_the_malformed_ones_are_made_from_loads(tmp_path: Path) -> None:
    book = load(configuration(tmp_path, BASE), starting_person=None, environ=ENVIRON)
    assert set(book.servers) == {"exchange", "local"}


def test_there_are_enough_malformed_ones_of_both_kinds() -> None:
    assert len({text for text, _, _ in POLICIES}) >= 35
    assert len({(old, new) for old, new, _, _ in CONFIGURATIONS}) >= 35


def test_every_malformed_part_is_told_though_all_are_in_one_file(tmp_path: Path) -> None:
    together = ["Europe/Berlin", "U024BE7LH", "bob@example.com", "owner: alice", "{desk: spot}"]
    together += ["command: uvx", "[exchange-mcp]", "API_KEY:", "Authorization:", "default: deny}"]
    together += ["https://ops", "[alice, bob]"]
    text, expected = BASE, []
    for old, new, place, remedy in CONFIGURATIONS:
        if old in together:
            together.remove(old)
            text = text.replace(old, new, 1)
            expected.append((place, remedy))
    assert not together
    with pytest.raises(ConfigurationInvalid) as refused:
        load(configuration(tmp_path, text), starting_person=None, environ=ENVIRON)
    for place, remedy in expected:
        assert any(place in p and remedy in p for p in refused.value.problems), (place, remedy)
