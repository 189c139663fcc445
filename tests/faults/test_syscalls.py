"""kill -9 at every system call with which SQLite writes, over a whole cycle."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from approvals.ports import ListFilter
from approvals.storage.clock import SystemClock
from approvals.storage.migrations import upgrade
from approvals.storage.sqlite import SqliteStore
from tests.contracts.suite import is_whole

pytestmark = [pytest.mark.anyio, pytest.mark.long]
WRITES = ["pwrite64", "fdatasync", "fsync", "ftruncate", "unlink"]
STEPS = ["parked", "approved", "sent", "succeeded"]
ROOT = Path(__file__).parent.parent.parent
MOST = 400


def run_and_kill(folder: Path, call: str, nth: int) -> list[str]:
    """Run a cycle that dies at its `nth` such system call; what it had acknowledged.

    strace counts for each thread apart. Another connection holds the file open meanwhile, so that
    only the writing thread writes.
    """
    with closing(sqlite3.connect(folder / "test.db")) as holding:
        holding.execute("pragma journal_mode = wal")
        holding.execute("select count(*) from approvals").fetchall()
        inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={nth}"]
        command = [sys.executable, "-m", "tests.faults.one_cycle"]
        files = [str(folder / "test.db"), str(folder / "sent")]
        done = subprocess.run(
            ["strace", "-f", "-qq", "-o", "/dev/null", *inject, *command, *files],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=60,
        )
    assert "Traceback" not in done.stderr, done.stderr
    return [line.split()[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("call", WRITES)
async def test_whatever_write_it_dies_at_the_file_holds_what_was_acknowledged_and_no_half(
    tmp_path: Path, call: str
) -> None:
    template = tmp_path / "template.db"
    upgrade(f"sqlite:///{template}")
    deaths: Counter[str] = Counter()
    for nth in range(1, MOST):
        folder = tmp_path / str(nth)
        folder.mkdir()
        shutil.copy(template, folder / "test.db")
        acknowledged = run_and_kill(folder, call, nth)
        await is_consistent(folder, acknowledged)
        if acknowledged[-1:] == ["closed"]:
            break
        deaths[acknowledged[-1] if acknowledged else "nothing"] += 1
        shutil.rmtree(folder)
    assert acknowledged[-1] == "closed"
    if call == "pwrite64":  # it died before and after every acknowledgement
        assert {"nothing", "parked", "approved", "reserved", "sent"} <= deaths.keys()
    if call == "fdatasync":
        assert {"nothing", "sent"} <= deaths.keys()


async def is_consistent(folder: Path, acknowledged: list[str]) -> None:
    store = SqliteStore(folder / "test.db", SystemClock(), prepare=lambda: None)
    found = (await store.page(ListFilter())).approvals
    assert len(found) <= 1
    kinds: list[str] = []
    for approval in found:
        assert await is_whole(store, approval)
        kinds = [event.fact.type for event in await store.events(approval.id)]
    told = [step for step in acknowledged if step in STEPS]
    assert kinds == STEPS[: len(kinds)]
    assert len(kinds) in {len(told), len(told) + 1}  # the last may be written and not answered yet
    if (folder / "sent").exists():
        assert "sent" in kinds
    await store.close()
