"""One line of the table."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured, and what the design asks for."""

    name: str
    workload: str
    measured: str
    must: str
    note: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)
