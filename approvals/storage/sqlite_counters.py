"""Counters and freezes on SQLite: looked at and changed inside the write that depends on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.ports import Frozen, Full, TooLate
from approvals.storage.tables import to_microseconds

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from approvals.domain.limits import Charge
    from approvals.ports import Reserve


FROZEN = (
    "select reason from freezes where ended_at is null and (server is null or server = :server)"
    " and (agent is null or agent = :agent) limit 1"
)


def frozen(connection: sqlite3.Connection, server: str, agent: str) -> Frozen | None:
    """The freeze that stops a call of this agent on this server."""
    row = connection.execute(FROZEN, {"server": server, "agent": agent}).fetchone()
    return None if row is None else Frozen(reason=row[0])


def reserve(
    connection: sqlite3.Connection, holder: str, charges: Sequence[Charge], now: datetime
) -> Full | TooLate | None:
    """Take room on all counters, or on none; None: taken, by this or by an earlier try."""
    new = still_to_take(connection, holder, charges)
    if any(not charge.start <= now < charge.end for charge in new):
        return TooLate(now=now)
    full = first_full(connection, new)
    if full is not None:
        return Full(charge=full)
    for charge in new:
        _take(connection, holder, charge)
    return None


def still_to_take(
    connection: sqlite3.Connection, holder: str, charges: Sequence[Charge]
) -> list[Charge]:
    """The charges of which the holder has no reservation."""
    return [charge for charge in charges if not _held(connection, holder, charge)]


def first_full(connection: sqlite3.Connection, charges: Sequence[Charge]) -> Charge | None:
    """The first charge that its counter has no room for."""
    for charge in charges:
        if _used(connection, charge) + charge.amount > charge.max_:
            return charge
    return None


def holds(connection: sqlite3.Connection, operation: Reserve) -> bool:
    """Whether the holder has all of it."""
    return all(_held(connection, operation.holder, charge) for charge in operation.charges)


def give_back(connection: sqlite3.Connection, holder: str) -> None:
    """Free what the holder took, in whichever windows it did."""
    taken = connection.execute(
        "delete from reservations where holder = ? returning key, starts_at, amount", (holder,)
    ).fetchall()
    for key, starts_at, amount in taken:
        row = connection.execute(
            "select used from counters where key = ? and starts_at = ?", (key, starts_at)
        ).fetchone()
        if row is not None:
            connection.execute(
                "update counters set used = ? where key = ? and starts_at = ?",
                (str(int(row[0]) - int(amount)), key, starts_at),
            )


def _held(connection: sqlite3.Connection, holder: str, charge: Charge) -> bool:
    row = connection.execute(
        "select 1 from reservations where holder = ? and key = ? and starts_at = ?",
        (holder, charge.key, to_microseconds(charge.start)),
    ).fetchone()
    return row is not None


def _used(connection: sqlite3.Connection, charge: Charge) -> int:
    row = connection.execute(
        "select used from counters where key = ? and starts_at = ?",
        (charge.key, to_microseconds(charge.start)),
    ).fetchone()
    return 0 if row is None else int(row[0])


def _take(connection: sqlite3.Connection, holder: str, charge: Charge) -> None:
    """Sums are made here, not in SQL: SQLite's numbers have neither the size nor the digits."""
    start, end = to_microseconds(charge.start), to_microseconds(charge.end)
    connection.execute(
        "insert into reservations (holder, key, starts_at, ends_at, amount) values (?, ?, ?, ?, ?)",
        (holder, charge.key, start, end, str(charge.amount)),
    )
    connection.execute(
        "insert into counters (key, starts_at, ends_at, used) values (?, ?, ?, ?)"
        " on conflict (key, starts_at) do update set used = excluded.used",
        (charge.key, start, end, str(_used(connection, charge) + charge.amount)),
    )
