"""At most 20 kB, whatever the arguments are; what is hidden is in no letter."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from approvals.domain.strictjson import canonical
from tests.e2e.world import policy, text
from tests.hostile import LONG, MANY, STRINGS
from tests.web.signed_in import browser, hidden
from tests.webhooks.receiver import OPS, Letter, Receiver, desk, whole

pytestmark = pytest.mark.anyio

MOST = 20_000
HIDDEN = "sk-very-secret-4711"
TOO_LARGE: dict[str, dict[str, Any]] = {
    "30 kB": {"what": "x" * 30_000, "n": 1},
    "1 MB": {"what": "x" * 1_000_000, "n": 1},
    "the harm at its end": {"what": LONG, "n": 1},
    "just too large": {"what": "x" * 19_900},
    "300 keys": {f"key_{number:03}": "x" * 100 for number in range(300)},
    "300 long keys": {f"{number:03}" + "k" * 120: number for number in range(300)},
    "300 long keys of two bytes each": {
        f"{number:03}" + "я" * 120: number for number in range(300)
    },
    "keys of 5 kB": {f"{number}" + "k" * 5_000: number for number in range(10)},
    "keys that are escaped": {f"{number:03}" + "\x01" * 120: number for number in range(200)},
    "one key of 500 kB": {"k" * 500_000: 1},
    "escaped": {"what": "\x01" * 10_000},
    "four bytes a character": {"what": "\U0001f600" * 6_000},
    "nested": {"what": {"list": [{"n": number, "s": "x" * 50} for number in range(500)]}},
}


def check_size(letters: list[Letter]) -> None:
    for letter in letters:
        assert len(letter.body) <= MOST, letter.type


def size(value: object) -> int:
    return len(canonical(value).encode())


async def test_small_arguments_are_there_whole(tmp_path: Path) -> None:
    ops = Receiver()
    arguments: dict[str, Any] = {
        "what": "x",
        "many": MANY,
        "said": list(STRINGS.values()),
        "none": None,
    }
    async with desk(tmp_path, {OPS: ops}) as w:
        parked = await w.parked(arguments)
        letter = await ops.letter("approval.requested")
    assert letter.approval["arguments"] == arguments
    assert letter.approval["arguments_complete"] is True
    assert letter.approval["digest"] == parked["digest"]
    assert "arguments_count" not in letter.approval
    check_size(ops.tried)


async def test_numbers_are_written_as_they_came(tmp_path: Path) -> None:
    ops = Receiver()
    body = (
        '{"server":"up","tool":"act","arguments":'
        '{"what":"x","a":1.0,"b":1000000000000000001,"c":1e3,"d":-0.10}}'
    )
    async with desk(tmp_path, {OPS: ops}) as w:
        headers = {"authorization": f"Bearer {w.keys['bot']}", "content-type": "application/json"}
        made = await w.http.post(f"{w.url}/v1/approvals", content=body, headers=headers)
        assert made.status_code == 201, made.text
        letter = await ops.letter("approval.requested")
    for number in (b'"a":1.0,', b'"b":1000000000000000001,', b'"c":1e3,', b'"d":-0.10,'):
        assert number in letter.body


async def test_arguments_are_whole_as_long_as_the_letter_has_room_for_them(
    tmp_path: Path,
) -> None:
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}) as w:
        await w.parked({"what": ""})
        [empty] = await ops.taken(1)
        room = MOST - len(empty.body)
        for length in (room - 100, room + 1, room + 100, room + 1000):
            await w.parked({"what": "x" * length})
        await ops.taken(5)
    check_size(ops.tried)
    whole_ones = [one for one in ops.letters if one.approval["arguments_complete"]]
    assert len(whole_ones) == 2
    assert max(len(one.body) for one in whole_ones) > MOST - 200


@pytest.mark.parametrize("arguments", TOO_LARGE.values(), ids=TOO_LARGE)
async def test_of_too_large_arguments_names_and_sizes_are_told(
    tmp_path: Path, arguments: dict[str, Any]
) -> None:
    ops = Receiver()
    async with desk(tmp_path, {OPS: ops}) as w:
        parked = await w.parked(arguments)
        letter = await ops.letter("approval.requested")
        await w.deny(parked, reason="я" * 1000)
        denied = await ops.letter("approval.denied")
        rest = await w.status(parked["id"])
        assert rest["arguments"] == arguments
    check_size(ops.tried)
    for one in (letter, denied):
        told = one.approval
        assert told["arguments_complete"] is False
        assert told["arguments_count"] == len(arguments)
        assert (told["id"], told["digest"]) == (parked["id"], parked["digest"])
        assert "viewer" not in told
    assert letter.approval["version"] == 1
    assert denied.approval["status"] == "denied"
    for name, said in (letter.approval["arguments"] or {}).items():
        [value, *_] = [v for key, v in arguments.items() if key.startswith(name.rstrip("…"))]
        assert said == {"bytes": size(value)}


@pytest.mark.parametrize("name", ["30 kB", "1 MB", "300 keys", "keys of 5 kB", "nested"])
async def test_each_argument_that_does_not_fit_is_named_with_its_size(
    tmp_path: Path, name: str
) -> None:
    """ "Arguments that do not fit are replaced by their names and sizes" (webhooks.md): each of
    them, where their names fit; a name of 5 kB is told by its beginning."""
    ops = Receiver()
    arguments = TOO_LARGE[name]
    async with desk(tmp_path, {OPS: ops}) as w:
        await w.parked(arguments)
        letter = await ops.letter("approval.requested")
    told = letter.approval["arguments"]
    assert len(told) == len(arguments)
    for key, value in arguments.items():
        assert {"bytes": size(value)} in [
            said for shown, said in told.items() if key.startswith(shown.rstrip("…"))
        ]


async def test_names_that_begin_alike_stay_two_arguments(tmp_path: Path) -> None:
    ops = Receiver()
    arguments: dict[str, Any] = {"k" * 5_000 + "1": "a" * 7, "k" * 5_000 + "2": "b" * 20_000}
    async with desk(tmp_path, {OPS: ops}) as w:
        await w.parked(arguments)
        letter = await ops.letter("approval.requested")
    sizes = sorted(said["bytes"] for said in letter.approval["arguments"].values())
    assert sizes == sorted(size(value) for value in arguments.values())


async def test_what_else_a_letter_says_does_not_make_it_too_large(tmp_path: Path) -> None:
    """Long words of the agent and of twenty people who denied, beside small arguments."""
    ops = Receiver()
    names = [f"person{number}" for number in range(20)]
    people: dict[str, Any] = {name: {} for name in [*names, "alice", "bob"]}
    stages = [{"name": "all", "approvers": ["everyone"], "required": 1, "deny_threshold": 20}]
    async with desk(
        tmp_path,
        {OPS: ops},
        approval={"stages": stages},
        people={**people, "carol": {"roles": ["admin"]}},
    ) as w:
        body = {
            "server": "up",
            "tool": "act",
            "arguments": {"what": "x"},
            "justification": "\U0001f600" * 2000,
        }
        made = await w.rest("POST", "/v1/approvals", by="bot", json_body=body)
        parked = made.json()["approval"]
        await ops.letter("approval.requested")
        for name in names:
            path = f"/v1/approvals/{parked['id']}/deny"
            key = {"authorization": f"Bearer {w.keys[name]}"}
            denied = await w.http.post(
                f"{w.url}{path}", json={"reason": "\U0001f600" * 1000}, headers=key
            )
            assert denied.status_code == 200, denied.text
        last = await ops.letter("approval.denied")
    assert len(ops.letters) == 21
    check_size(ops.tried)
    for letter in ops.letters:
        assert letter.approval["digest"] == parked["digest"]
        assert letter.approval["links"]["self"] == f"/v1/approvals/{parked['id']}"
    assert last.approval["status"] == "denied"


@pytest.mark.parametrize("more", [{}, {"what": "x" * 30_000}], ids=["small", "large"])
async def test_hidden_values_are_in_no_letter(tmp_path: Path, more: dict[str, Any]) -> None:
    ops = Receiver()
    arguments = {
        "what": "x",
        "api_key": HIDDEN,
        "deep": [{"password": {"is": [HIDDEN]}}],
        **more,
    }
    async with desk(tmp_path, {OPS: ops}, approval={"required": 2}) as w:
        parked = await w.parked(arguments)
        letter = await ops.letter("approval.requested")
        assert letter.approval["arguments_complete"] is False
        assert set(letter.approval["hidden"]) == {"/api_key", "/deep/0/password"}
        if not more:
            assert letter.approval["arguments"]["api_key"] == "[hidden]"
            assert letter.approval["arguments"]["what"] == "x"
        else:
            assert letter.approval["arguments"]["api_key"] == {"bytes": size("[hidden]")}
        await w.deny(parked)
        await ops.letter("approval.denied")
    assert all(HIDDEN not in whole(one) for one in ops.tried)
    assert all("api_key" in json.dumps(one.said) for one in ops.tried)
    check_size(ops.tried)


async def test_hidden_values_are_in_no_letter_of_a_call_that_ran(tmp_path: Path) -> None:
    """Not in the letter of its outcome either, although the tool repeats what it was given."""
    ops = Receiver()
    document = policy(
        tools={"act": {"require_approval_if": [{"conditions": []}], "redact": ["args.what"]}}
    )
    async with desk(tmp_path, {OPS: ops}, document=document) as w, w.agent() as agent:
        calling = asyncio.create_task(agent.call_tool("act", {"what": HIDDEN}))
        letter = await ops.letter("approval.requested")
        assert letter.approval["arguments"] == {"what": "[hidden]"}
        bob = await browser(w, "bob")
        path = f"/a/{letter.approval['id']}"
        revealed = await bob.pressed(path, "reveal")
        done = await bob.post(f"{path}/approve", hidden(revealed.text, "approve"))
        assert done.status_code == 303, done.text
        assert HIDDEN in text(await calling)
        await ops.letter("release.succeeded")
    assert ops.types() == ["approval.requested", "approval.approved", "release.succeeded"]
    assert all(HIDDEN not in whole(one) for one in ops.tried)
