"""`watch`, `show` and `approve` on a real terminal: the card, keys, a bell, nobody's escapes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2
import pytest

from tests.cli.test_serve import APPROVALS, Machine, machine, running
from tests.hostile import LONG, MANY, STRINGS, hidden_in

__all__ = ["machine", "running"]

WITHIN = 30.0


@dataclass
class Terminal:
    """The other end of a pseudo-terminal."""

    master: int
    process: subprocess.Popen[bytes]
    seen: str = ""
    at: int = field(default=0)

    def until(self, wanted: str) -> str:
        """What came since the last time, once it holds `wanted`."""
        ends = time.monotonic() + WITHIN
        while wanted not in self.seen[self.at :]:
            assert time.monotonic() < ends, (wanted, self.seen[self.at :])
            ready, _, _ = select.select([self.master], [], [], 0.2)
            if ready:
                self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
        since, self.at = self.seen[self.at :], len(self.seen)
        return since

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ended(self) -> int:
        return self.process.wait(WITHIN)


@contextmanager
def terminal(machine: Machine, *words: str) -> Iterator[Terminal]:
    """A command on a terminal of its own."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [APPROVALS, *words],
        cwd=machine.folder,
        env={**machine.environment, "TERM": "xterm"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(master, process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)


def asked(machine: Machine, arguments: dict[str, object], **more: object) -> str:
    """The id of a call that waits."""
    key = machine.run("keys", "create", "--agent", "bot").strip().splitlines()[0]
    body = {"server": "up", "tool": "act", "arguments": arguments, **more}
    answer = httpx2.post(
        f"{machine.url}/v1/approvals",
        headers={"authorization": f"Bearer {key}"},
        json=body,
        trust_env=False,
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["approval"]["id"])


def status(machine: Machine, id_: str) -> str:
    return str(json.loads(machine.run("show", id_, "-o", "json"))["status"])


def test_a_call_that_comes_rings_and_is_approved_by_a_key_after_its_card(
    running: Machine,
) -> None:
    with terminal(running, "watch") as seen:
        seen.until("Nothing is waiting.")
        id_ = asked(running, {"what": "the thing", "n": 7})
        told = seen.until("[q] quit")
        assert "\a" in told
        assert 'Act on "the thing" + 1 more?' in told
        seen.press("a")
        card = seen.until("Run this call? [y/N]")
        assert '"the thing"' in card
        assert "(all 2 arguments shown)" in card
        assert status(running, id_) == "pending"
        seen.press("y\n")
        seen.until(f"{id_} approved")
        assert status(running, id_) == "approved"
        seen.press("q")
        assert seen.ended() == 0


def test_nothing_is_decided_without_a_yes(running: Machine) -> None:
    id_ = asked(running, {"what": "x"})
    with terminal(running, "watch") as seen:
        seen.until("[q] quit")
        for answer in ("\n", "n\n", "yep\n"):
            seen.press("a")
            seen.until("Run this call? [y/N]")
            seen.press(answer)
            seen.until("Nothing was decided.")
        assert status(running, id_) == "pending"


def test_what_is_typed_before_the_card_is_shown_answers_nothing(running: Machine) -> None:
    id_ = asked(running, {"what": "x"})
    with terminal(running, "watch") as seen:
        seen.until("[q] quit")
        seen.press("ay\n")
        seen.until("Run this call? [y/N]")
        seen.press("\n")
        seen.until("Nothing was decided.")
        assert status(running, id_) == "pending"


def test_a_denial_takes_a_reason(running: Machine) -> None:
    id_ = asked(running, {"what": "x"})
    with terminal(running, "watch") as seen:
        seen.until("[q] quit")
        seen.press("d")
        seen.until("Why? The agent is told.")
        seen.press("not today\n")
        seen.until(f"{id_} denied")
    found = json.loads(running.run("show", id_, "-o", "json"))
    assert found["decisions"][0]["reason"] == "not today"


def test_what_somebody_else_decides_is_news(running: Machine) -> None:
    id_ = asked(running, {"what": "x"})
    with terminal(running, "watch") as seen:
        seen.until("[q] quit")
        running.run("deny", id_)
        seen.until(f"{id_} denied")


def test_next_goes_to_the_other_call_and_keys_are_for_the_one_shown(running: Machine) -> None:
    first, second = asked(running, {"what": "one"}), asked(running, {"what": "two"})
    with terminal(running, "watch") as seen:
        seen.until("[q] quit")
        seen.press("n")
        assert "Act on two?" in seen.until(f"· {second}")
        seen.press("a")
        assert second in seen.until("Run this call? [y/N]")
        seen.press("y\n")
        seen.until(f"{second} approved")
    assert (status(running, first), status(running, second)) == ("pending", "approved")


IN_CI = {"terminal", "direction", "event"}


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[] if kind in IN_CI else [pytest.mark.long]) for kind in STRINGS],
)
def test_no_escape_sequence_of_anybody_reaches_the_terminal(running: Machine, kind: str) -> None:
    bad = STRINGS[kind]
    definition = {"name": "act", "description": bad, "inputSchema": {"title": bad}}
    arguments: dict[str, object] = {"what": bad, bad: [bad]}
    id_ = asked(running, arguments, justification=bad, definition=definition, session=bad[:200])
    for words in (("show", id_), ("list",), ("approve", id_)):
        with terminal(running, *words) as seen:
            seen.until("Run this call?" if words[0] == "approve" else id_[:12])
            seen.press("n\n")
            seen.ended()
            check(seen)
    with terminal(running, "watch") as seen:
        seen.until("[q] quit")
        seen.press("\n")
        seen.until("sha ")
        check(seen)
    running.run("deny", id_, "--reason", bad)
    with terminal(running, "show", id_) as seen:
        seen.until("denied by")
        check(seen)


def check(seen: Terminal) -> None:
    """Nothing but text, line ends and our bell."""
    text = re.sub(r"\r\n|\a", "\n", seen.seen).replace("\x07", "")
    assert hidden_in(text) == set(), sorted(map(hex, map(ord, hidden_in(text))))


def test_what_is_long_is_shown_to_its_end(running: Machine) -> None:
    shown = running.run("show", asked(running, {"what": LONG}))
    assert f'"{LONG}"' in shown
    shown = running.run("show", asked(running, dict(MANY)))
    assert all(f"    {name}" in shown for name in MANY)
    assert "(all 200 arguments shown)" in shown
