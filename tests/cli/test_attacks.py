"""`approvals demo --attacks`: none gets through, and it would be said if one did."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import typer

from approvals.cli import demo
from approvals.demo.attacked import Attack, play
from approvals.demo.attacker import Attacker, Outcome
from approvals.demo.attacks import ATTACKS
from approvals.domain.rulebook import HttpServer

APPROVALS = Path(sys.executable).with_name("approvals")
ROW = re.compile(r" +(\d+)  (.{36})  (nothing|\d+ requests?) +(.+)")
LAST = (
    "13 attacks, none got through; the exchange received 3 requests, each approved by a person.\n"
)
SAID = (
    "refused (403): An agent never decides.",
    "refused (422): person: ",
    "refused (409): This decision names other content",
    "refused (409): Nobody answered in time",
    "2 calls and 2 approvals (200, 200) make 1 request",
    "denied: the card shows all 20,332 characters",
    r'denied: shown as "pay \u2067\u2066bob\u2069 to \u2066alice\u2069\u2069"',
    "shown as 1000000000000000001, received as 1000000000000000001",
    "refused (400): A number is larger than any double.",
    "refused (400): A name appears twice in one object.",
    "held: 11000000 is another call",
    "refused (422): callback_url: ",
    "refused (403): This Host or Origin is not known here.",
)


@pytest.fixture
def _logs_as_before() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


def test_no_attack_gets_through_and_the_exchange_saw_only_what_a_person_approved(
    tmp_path: Path,
) -> None:
    ran = subprocess.run(
        [APPROVALS, "demo", "--attacks"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},  # noqa: TID251
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    assert ran.stdout.endswith(LAST)
    rows = [ROW.fullmatch(line) for line in ran.stdout.splitlines()[3:-1]]
    assert [row and row[1] for row in rows] == [str(n) for n in range(1, len(SAID) + 1)]
    for row, said in zip(rows, SAID, strict=True):
        assert row is not None
        assert row[4].startswith(said)
    assert [row[1] for row in rows if row and row[3] == "1 request"] == ["5", "8", "11"]
    assert not [row for row in rows if row and row[3] not in {"nothing", "1 request"}]


@pytest.mark.usefixtures("_logs_as_before")
def test_an_attack_that_gets_through_is_said_loudly_and_the_command_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def harmless(attacker: Attacker) -> Outcome:
        """What stops others is not in the way of the person who may decide."""
        asked = await attacker.held('{"amount":1,"currency":"BTC"}')
        answer = await attacker.approve(asked)
        return Outcome(stopped=not answer.is_success, said=f"answered {answer.status_code}")

    with pytest.raises(typer.Exit) as ended:
        demo.attacks([Attack(name="you approve a call", attempt=harmless), *ATTACKS[1:3]])
    printed = capsys.readouterr().out.splitlines()
    assert ended.value.exit_code == 1
    assert printed[3].endswith("1 request     GOT THROUGH: answered 200")
    assert "refused (422)" in printed[4]
    assert printed[-1].startswith("3 attacks, 1 GOT THROUGH; the exchange received 1 request")


def test_a_request_that_nobody_approved_is_counted_whatever_the_attack_says_of_itself() -> None:
    async def around_the_gateway(attacker: Attacker) -> Outcome:
        server = attacker.services.rules.current.servers["exchange"]
        assert isinstance(server, HttpServer)
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "withdraw"}}
        async with httpx2.AsyncClient(trust_env=False) as http:
            await http.post(server.url, json=call)
        return Outcome(stopped=True, said="all is well")

    lines = lines_of(Attack(name="around it", attempt=around_the_gateway), *ATTACKS[:1])
    assert lines[3].endswith("1 request     GOT THROUGH: 1 request that nobody approved")
    assert "refused (403)" in lines[4]
    assert lines[-1] == (
        "2 attacks, 1 GOT THROUGH; the exchange received 1 request, 1 of them approved by nobody."
    )


def test_a_call_that_no_person_is_asked_about_got_through() -> None:
    async def reads(attacker: Attacker) -> Outcome:
        await attacker.held('{"symbol":"BTCUSD"}', tool="get_price")
        return Outcome(stopped=True, said="")

    [line] = lines_of(Attack(name="a call that is not held", attempt=reads))[3:-1]
    assert "GOT THROUGH: nobody was asked (" in line


def lines_of(*attacks: Attack) -> list[str]:
    """The lines of a play in which something got through."""
    lines: list[str] = []
    assert not asyncio.run(play(lines.append, attacks))
    return lines
