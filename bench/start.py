"""P13: what the command line costs before it does anything."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.row import Row

ROUNDS = 15
APPROVALS = Path(sys.executable).with_name("approvals")


def rows() -> list[Row]:
    """Both are started in turn, so that what the machine does meanwhile is in both."""
    bare: list[float] = []
    ours: list[float] = []
    for _ in range(ROUNDS):
        bare.append(_seconds(sys.executable, "-c", "pass"))
        ours.append(_seconds(str(APPROVALS), "--help"))
    plain, helped = statistics.median(bare), statistics.median(ours)
    return [
        Row(
            name="P13",
            workload="approvals --help / python -c pass",
            measured=f"{helped / plain:.1f}",
            must="<= 15",
            note=f"{helped * 1000:.0f} ms / {plain * 1000:.0f} ms",
        )
    ]


def _seconds(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began
