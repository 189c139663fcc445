"""Parkings, steps and records of one group, each table of theirs in one statement.

Every statement of the writer's thread gives Python's lock away and waits to have it back: the six
statements of each of thirty writes wait longer than they work.

Only what certainly succeeds is done here. Whatever repeats another, may be refused or was perhaps
written before is left to be done by itself: `sqlite_operations` alone says no.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from approvals.domain.chain import link
from approvals.domain.states import Parking, Transition
from approvals.ports import Record
from approvals.storage import mapping
from approvals.storage.sqlite_alone import AloneWork
from approvals.storage.sqlite_operations import WAITING, WRITTEN, operation_of
from approvals.storage.sqlite_rows import head_of, insert_all, update_all
from approvals.storage.tables import ApprovalRow, DecisionRow, EventRow, OutboxRow, ResultRow

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import datetime

    from approvals.domain.chain import Event, Head
    from approvals.storage.writer import Work

_ANY_FREEZE = "select exists(select 1 from freezes where ended_at is null)"
_NEW = """
select json_extract(value, '$[0]') from json_each(?)
where not exists (select 1 from approvals where open_identity = json_extract(value, '$[1]'))
  and not exists (select 1 from events where id = json_extract(value, '$[2]'))
"""
_KNOWN = "select id from events where id in (select value from json_each(?))"


def at_once(
    connection: sqlite3.Connection, works: Sequence[Work], now: datetime
) -> list[object | None]:
    """The answer of each work that is done; None for one that is to be done by itself."""
    operations = [operation_of(work) for work in works]
    if not _is_plain(connection, works):
        return [None] * len(works)
    parked = _park(connection, [one for one in operations if isinstance(one, Parking)])
    changed = _change(connection, [one for one in operations if isinstance(one, Transition)], now)
    recorded = _append(connection, [one for one in operations if isinstance(one, Record)])
    events = [*(one.event for one in parked), *(one.event for one in changed), *recorded]
    insert_all(connection, EventRow, [mapping.event_row(event) for event in events])
    _write_notices(connection, [*parked, *changed])
    _write_decisions(connection, changed)
    done = {event.fact.id for event in events}
    return [
        WRITTEN if operation is not None and operation.op_id in done else None
        for operation in operations
    ]


def _is_plain(connection: sqlite3.Connection, works: Sequence[Work]) -> bool:
    """Whether no freeze is in force, or begins or ends in this group."""
    if any(isinstance(work, AloneWork) for work in works):
        return False
    return not connection.execute(_ANY_FREEZE).fetchone()[0]


def _park(connection: sqlite3.Connection, parkings: Sequence[Parking]) -> list[Parking]:
    """Those that are parked now: new, the first of their identity, and not too many. The first of
    an agent that is left leaves all after it: they may depend on what becomes of it."""
    asked = [(one.approval.id, one.approval.identity, one.op_id) for one in parkings]
    new = {id_ for (id_,) in connection.execute(_NEW, (json.dumps(asked),))}
    waiting: dict[tuple[str, int], int] = {}
    taken: Counter[str] = Counter()
    parked: list[Parking] = []
    met: set[str] = set()
    left: set[str] = set()
    for one in parkings:
        agent, most = one.approval.call.agent, one.max_pending
        if (agent, most) not in waiting:
            asked_of = {"agent": agent, "most": most}
            waiting[agent, most] = connection.execute(WAITING, asked_of).fetchone()[0]
        is_new = one.approval.id in new and one.approval.identity not in met
        met.add(one.approval.identity)
        if agent in left or not is_new or waiting[agent, most] + taken[agent] >= most:
            left.add(agent)
            continue
        taken[agent] += 1
        parked.append(one)
    insert_all(connection, ApprovalRow, [mapping.approval_row(one.approval) for one in parked])
    return parked


def _change(
    connection: sqlite3.Connection, transitions: Sequence[Transition], now: datetime
) -> list[Transition]:
    """Those whose approval stood as they expect and which came in time."""
    timely = [
        one
        for one in transitions
        if (one.valid_from is None or now >= one.valid_from)
        and (one.valid_until is None or now < one.valid_until)
        and not one.gives_back
    ]
    changes = [
        ((one.after.id, one.before.version, one.before.status), mapping.changing_columns(one.after))
        for one in timely
    ]
    changed = update_all(connection, changes)
    return [one for one in timely if one.after.id in changed]


def _append(connection: sqlite3.Connection, records: Sequence[Record]) -> list[Event]:
    """The events of those that take nothing from a counter, each after the one before it."""
    asked = json.dumps([one.op_id for one in records])
    known = {id_ for (id_,) in connection.execute(_KNOWN, (asked,))}
    heads: dict[str, Head] = {}
    events = []
    for one in records:
        if one.reserves or one.op_id in known:
            continue
        head = heads.get(one.stream) or head_of(connection, one.stream)
        event = link(head, one.stream, one.fact)
        heads[one.stream] = event.head
        events.append(event)
    return events


def _write_notices(
    connection: sqlite3.Connection, operations: Sequence[Parking | Transition]
) -> None:
    notices = [
        row
        for one in operations
        if one.notice
        for row in mapping.outbox_rows(one.leaves, one.notice, event=one.event)
    ]
    insert_all(connection, OutboxRow, notices)


def _write_decisions(connection: sqlite3.Connection, changed: Sequence[Transition]) -> None:
    decisions = [
        mapping.decision_row(one.after.id, len(one.after.decisions), one.decision)
        for one in changed
        if one.decision
    ]
    insert_all(connection, DecisionRow, decisions)
    results = [
        {"approval_id": one.after.id, "text": one.result}
        for one in changed
        if one.result is not None
    ]
    insert_all(connection, ResultRow, results)
