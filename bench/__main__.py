"""`make bench`: print the table of what is measured, and write it as JSON.

Figures are medians of rounds on this machine; `must` is the bound of the design. What is not
measured yet has no row.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

from bench.policy import rows


def main() -> None:
    """Measure everything, print it, write `bench/results.json`."""
    found = rows()
    print(f"{'row':<5} {'workload':<58} {'measured':>12} {'must':>10}")
    for row in found:
        print(f"{row.name:<5} {row.workload:<58} {row.measured:>12} {row.must:>10}")
    path = Path(__file__).parent / "results.json"
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    path.write_text(json.dumps({**machine, "rows": [row.as_json() for row in found]}, indent=1))
    sys.stdout.write(f"written to {path.name}\n")


main()
