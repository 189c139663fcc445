"""One whole life of an approval against an SQLite file, told line by line as it is acknowledged.

`python -m tests.faults.one_cycle DATABASE SENT`: the file SENT stands for the upstream: one line is
appended to it where the call would go out.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from approvals.ports import Applied, Reserve
from approvals.storage.clock import SystemClock
from approvals.storage.sqlite import SqliteStore
from tests.contracts.suite import approving, finishing, parking, sending
from tests.contracts.suite_counters import charge

if TYPE_CHECKING:
    from approvals.ports import Operation

WITHIN = timedelta(seconds=20)


async def live(store: SqliteStore, sent_file: Path) -> None:
    """Park, approve, reserve, send, finish."""

    async def done(operation: Operation, step: str) -> None:
        assert await store.apply(operation, within=WITHIN) == Applied()
        say(f"{step} {made.approval.id}")

    made = parking()
    approved = approving(made.approval)
    sent = sending(approved.after)
    await done(made, "parked")
    await done(approved, "approved")
    await done(Reserve(holder=made.approval.id, charges=(charge(max_=1),)), "reserved")
    await done(sent, "sent")
    with sent_file.open("a") as upstream:
        upstream.write(f"{made.approval.id}\n")
    await done(finishing(sent.after), "succeeded")
    await store.close()
    say("closed -")


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def main() -> None:
    store = SqliteStore(Path(sys.argv[1]), SystemClock(), prepare=lambda: None)
    await live(store, Path(sys.argv[2]))


if __name__ == "__main__":
    asyncio.run(main())
