"""The demo's output, to the letter: nothing in it is printed that did not happen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
APPROVALS = Path(sys.executable).with_name("approvals")


def masked(output: str) -> str:
    """Times of day and durations differ from run to run."""
    output = re.sub(r"\d\d:\d\d:\d\d", "HH:MM:SS", output)
    return re.sub(r"after \d+\.\d s", "after N.N s", output)


@pytest.mark.parametrize(
    ("flags", "golden", "requests"),
    [(["--yes"], "yes.txt", 1), (["--no"], "no.txt", 0), (["--timeout", "3s"], "timeout.txt", 0)],
)
def test_the_demo_equals_its_transcript_and_the_exchange_saw_as_much_as_was_approved(
    tmp_path: Path, flags: list[str], golden: str, requests: int
) -> None:
    ran = subprocess.run(
        [APPROVALS, "demo", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},  # noqa: TID251
    )
    assert masked(ran.stdout) == (GOLDEN / golden).read_text()
    assert f"(requests received: {requests})" in ran.stdout
    assert ran.stderr == ""


def test_without_a_terminal_and_without_a_flag_nobody_answers_so_it_is_denied() -> None:
    ran = subprocess.run(
        [APPROVALS, "demo"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert "nobody    answered: denied" in ran.stdout
    assert "(requests received: 0)" in ran.stdout


def test_a_person_at_a_terminal_is_asked_and_typing_a_approves() -> None:
    import pty

    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [APPROVALS, "demo"], stdin=terminal, stdout=subprocess.PIPE, text=True
    )
    os.close(terminal)
    os.write(controller, b"x\na\n")
    output, _ = process.communicate(timeout=60)
    os.close(controller)
    assert "[a] approve   [d] deny   [q] quit > " in output
    assert "order 12345 CANCELED (requests received: 1)" in output
