"""`make bench`: print the table of what is measured, and write it as JSON.

Figures are medians of rounds on this machine, each beside its reference in the same run; `must` is
the bound of the design. What is not measured yet has no row. Names choose rows:
`make bench ROWS="P9 rates"`; `rates` are P1, P2, P3, P6, P7 and P14, `through` are P10 and P11,
`slack` how fast a card and an answer to a click are there.
`PEER=adapter.py,URL` puts another service beside ours (`peer.py`).
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench import deadlines, memory, policy, rates, slack, start, through

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.row import Row

PARTS = {
    "P12": policy.rows,
    "P8": memory.rows,
    "P9": deadlines.rows,
    "P13": start.rows,
    "slack": slack.rows,
    "rates": rates.rows,
    "through": through.rows,
}


def main(wanted: list[str]) -> None:
    """Measure, print, write `bench/results.json`."""
    found = []
    for row in _measured(wanted or list(PARTS)):
        print(f"{row.name:<4} {row.workload:<66} {row.measured:>9} {row.must:>9}  {row.note}")
        sys.stdout.flush()
        found.append(row)
    path = Path(__file__).parent / "results.json"
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    path.write_text(json.dumps({**machine, "rows": [row.as_json() for row in found]}, indent=1))
    print(f"written to {path.name}")


def _measured(wanted: list[str]) -> Iterator[Row]:
    if unknown := set(wanted) - PARTS.keys():
        raise SystemExit(f"{' '.join(sorted(unknown))}: rows are {' '.join(PARTS)}")
    for name in wanted:
        yield from PARTS[name]()


main(sys.argv[1:])
