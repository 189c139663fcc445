"""Server entries: as MCP clients write them, with secrets that go only where they are used."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from approvals.config.load import load
from approvals.domain.rulebook import CommandServer, HttpServer, Rulebook, Server
from approvals.errors import ConfigurationInvalid

SECRET = "s3cr3t-value-nobody-may-see"


def book(folder: Path, text: str, **environ: str) -> Rulebook:
    path = folder / "approvals.yaml"
    path.write_text(text)
    return load(path, starting_person="sam", environ=environ)


def servers(folder: Path, block: str, **environ: str) -> dict[str, Server]:
    return dict(book(folder, f'{{"servers": {block}}}', **environ).servers)


def header(folder: Path, value: str, **environ: str) -> str:
    entry = json.dumps({"x": {"url": "https://h/", "headers": {"A": value}}})
    server = servers(folder, entry, **environ)["x"]
    assert isinstance(server, HttpServer)
    return server.headers[0][1]


def refused(folder: Path, value: str, **environ: str) -> str:
    with pytest.raises(ConfigurationInvalid) as caught:
        header(folder, value, **environ)
    return str(caught.value)


def test_a_block_of_claude_desktop_works_unchanged(tmp_path: Path) -> None:
    found = servers(
        tmp_path,
        """{
          "filesystem": {"command": "npx",
            "args": ["-y", "@modelcontextprotocol/server-filesystem", "/home/sam/Desktop"]},
          "weather": {"command": "uv", "args": ["--directory", "/srv", "run", "weather.py"],
            "env": {"API_KEY": "abc", "LANG": ""}, "cwd": "/srv"}}""",
    )
    filesystem, weather = found["filesystem"], found["weather"]
    assert isinstance(filesystem, CommandServer)
    assert isinstance(weather, CommandServer)
    assert filesystem.command == "npx"
    assert filesystem.args[1] == "@modelcontextprotocol/server-filesystem"
    assert weather.env == (("API_KEY", "abc"), ("LANG", ""))
    assert weather.cwd == "/srv"


def test_a_block_of_cursor_or_cline_works_unchanged(tmp_path: Path) -> None:
    found = servers(
        tmp_path,
        """{
          "github": {"url": "https://api.example/mcp/",
            "headers": {"Authorization": "Bearer ${GITHUB_TOKEN}"}, "disabled": false,
            "timeout": 60, "autoApprove": ["get_issue"], "alwaysAllow": [], "description": "x"},
          "tools": {"type": "streamableHttp", "url": "http://127.0.0.1:3000/mcp"}}""",
        GITHUB_TOKEN=SECRET,
    )
    github = found["github"]
    assert isinstance(github, HttpServer)
    assert github.url == "https://api.example/mcp/"
    assert github.headers == (("Authorization", f"Bearer {SECRET}"),)
    assert isinstance(found["tools"], HttpServer)


def test_a_block_of_vs_code_works_but_for_its_questions(tmp_path: Path) -> None:
    block = """{
      "play": {"type": "stdio", "command": "npx", "args": ["-y", "@playwright/mcp"]},
      "github": {"type": "http", "url": "https://api.example/mcp/",
        "headers": {"X-MCP-Toolsets": "repos", "Authorization": "Bearer %s"}}}"""
    found = servers(tmp_path, block % "${TOKEN}", TOKEN="t")
    assert isinstance(found["play"], CommandServer)
    assert isinstance(found["github"], HttpServer)
    with pytest.raises(ConfigurationInvalid, match="nobody can be asked here; write"):
        servers(tmp_path, block % "${input:github_token}")


@pytest.mark.parametrize("kind", ["http", "streamable-http", "streamable_http", "streamableHttp"])
@pytest.mark.parametrize("key", ["type", "transport"])
def test_every_spelling_of_streamable_http_is_taken(tmp_path: Path, key: str, kind: str) -> None:
    found = servers(tmp_path, json.dumps({"x": {key: kind, "url": "https://h/"}}))
    assert isinstance(found["x"], HttpServer)


def test_a_server_without_a_policy_asks_for_everything_that_does_not_only_read(
    tmp_path: Path,
) -> None:
    loaded = book(
        tmp_path,
        "servers: {x: {url: 'https://h/'}}\napproval: {timeout: 3m}\nagents: {b: {servers: [x]}}\n",
    )
    policy = loaded.policy_of("b", "x")
    assert policy is not None
    assert policy.ask is not None
    assert policy.ask.timeout.total_seconds() == 180


def test_variables_and_files_are_expanded_several_in_one_text(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("k\n")
    (tmp_path / "crlf").write_bytes(b"w\r\n")
    value = "${A}-${B_2}/${file:secrets/key}${file:crlf}"
    assert header(tmp_path, value, A="a", B_2="${A}") == "a-${A}/kw"
    assert header(tmp_path, f"${{file:{tmp_path}/crlf}}") == "w"


@pytest.mark.parametrize("value", ["$$", "$A", "{A}", "$x", "100%$"])
def test_a_dollar_alone_means_nothing(tmp_path: Path, value: str) -> None:
    assert header(tmp_path, value, A="a") == value


def test_two_dollars_are_not_an_escape(tmp_path: Path) -> None:
    assert header(tmp_path, "$${A}", A="a") == "$a"


def test_only_one_newline_at_the_end_of_a_file_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "two").write_text("x\n\n")
    assert "printable ASCII in one line" in refused(tmp_path, "${file:two}")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("big", b"x" * (64 * 1024 + 1), "the file big, which is larger than 64 KiB"),
        ("binary", b"\xff" + SECRET.encode(), "the file binary, which is not UTF-8"),
        ("none", None, "the file none, which cannot be read (No such file"),
        (".", None, "the file ., which cannot be read (Is a directory"),
        ("a\0b", None, "which is no path"),
        ("", None, "cannot be read (Is a directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, name: str, content: bytes | None, why: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    said = refused(tmp_path, f"x ${{file:{name}}}")
    assert why in said
    assert SECRET not in said


def test_a_file_of_exactly_the_largest_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 64 * 1024)
    assert len(header(tmp_path, "${file:f}")) == 64 * 1024


@pytest.mark.parametrize(
    "form",
    [f"${{A:-{SECRET}}}", f"${{A-{SECRET}}}", f"${{env:{SECRET}}}"],
)
def test_a_form_that_is_not_known_is_told_without_what_is_in_it(tmp_path: Path, form: str) -> None:
    said = refused(tmp_path, form, A="a")
    assert "${NAME}" in said
    assert SECRET not in said


def test_every_missing_variable_of_a_text_is_named(tmp_path: Path) -> None:
    said = refused(tmp_path, "${ONE} ${TWO} ${THREE}", TWO="x")
    assert "variable ONE, which is not set" in said
    assert "variable THREE, which is not set" in said


def test_a_variable_of_the_process_is_used_when_no_others_are_given(tmp_path: Path) -> None:
    path = tmp_path / "approvals.yaml"
    path.write_text("servers: {x: {url: 'https://h/', headers: {A: '${PATH}'}}}\n")
    server = load(path, starting_person="sam").servers["x"]
    assert isinstance(server, HttpServer)
    assert server.headers[0][1]


def test_secrets_are_in_no_repr_no_hash_and_no_problem(tmp_path: Path) -> None:
    text = (
        "servers:\n"
        "  x: {url: 'https://h/', headers: {A: '${S}'}}\n"
        "  y: {command: run, env: {A: '${S}'}}\n"
        "channels: {'webhook:w': {url: 'https://h/', secret: '${S}'}}\n"
    )
    signing = base64.b64encode(SECRET.encode()).decode()
    one = book(tmp_path, text, S=signing)
    other = book(tmp_path, text, S=base64.b64encode(b"another secret of 24 bytes").decode())
    assert signing not in repr(one)
    assert one.webhooks != other.webhooks
    assert one.hash == other.hash
    assert one.servers["x"] != other.servers["x"]
    bad = text.replace("'https://h/', headers", "'https://h/', header") + "agent: {}\n"
    with pytest.raises(ConfigurationInvalid) as caught:
        book(tmp_path, bad.replace("A: '${S}'}}\nch", "A: '${S}\\n'}}\nch"), S=SECRET + "\0é")
    assert len(caught.value.problems) >= 3
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/mcp", "http://[fe80::1]/mcp", "http://168.63.129.16/mcp"]
)
def test_an_address_that_is_never_reached_does_not_load(tmp_path: Path, url: str) -> None:
    path = tmp_path / "approvals.yaml"
    path.write_text(f"servers: {{x: {{url: '{url}'}}}}\n")
    with pytest.raises(ConfigurationInvalid, match="link-local and metadata addresses are never"):
        load(path, starting_person=None)
