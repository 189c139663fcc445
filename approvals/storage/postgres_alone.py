"""What is seldom, on PostgreSQL: freezes, and definitions of tools; a transaction for each.

It happens between all others of its kind, of every replica: under a lock on its table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.domain.chain import NO_EVENTS, Head, link
from approvals.ports import Accepting, Alone, Answer, Applied, Conflict, Freezing, Sighting, Thawing
from approvals.storage import mapping
from approvals.storage.postgres_statement import encoded, insertion
from approvals.storage.tables import DefinitionRow, EventRow, FreezeRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.domain.chain import Fact
    from approvals.domain.definitions import Definition
    from approvals.storage.driver import Connection

LOCK_FREEZES = "lock table freezes in exclusive mode"
"""Not against who only reads the table, such as a backup: the flush locks it as who writes."""
_LOCK_DEFINITIONS = "lock table definitions in exclusive mode"
EVENT = insertion(EventRow)
_FREEZE = insertion(FreezeRow)
_THAW = """
update freezes set ended_at = clock_timestamp() where id = $1 and ended_at is null returning id
"""
_KNOWN = """
select 1 from definitions d
join unnest($1::text[], $2::text[], $3::text[]) as s (place, tool, hash)
  on d.place = s.place and d.tool = s.tool and (s.hash is null or d.hash = s.hash)
limit 1
"""
_FORGET = """
delete from definitions d using unnest($1::text[], $2::text[]) as s (place, tool)
where d.place = s.place and d.tool = s.tool and d.accepted_at is null
"""
_SEE = insertion(DefinitionRow)
_ACCEPT = """
update definitions set accepted_at = $1, accepted_by = $2
where place = $3 and tool = $4 and hash = $5 and accepted_at is null returning tool
"""
_HEAD = "select seq, hash from events where stream = $1 order by seq desc limit 1"


async def write_alone(connection: Connection, operation: Alone) -> Answer:
    """Commit it with its event, or nothing of it."""
    lock = LOCK_FREEZES if isinstance(operation, Freezing | Thawing) else _LOCK_DEFINITIONS
    async with connection.transaction():
        await connection.execute(lock)
        if await connection.fetch("select 1 from events where id = $1", operation.op_id):
            return Applied()
        if not await _is_done(connection, operation):
            return Conflict()
        await _append(connection, operation.stream, operation.fact)
    return Applied()


async def _is_done(connection: Connection, op: Alone) -> bool:
    match op:
        case Freezing():
            await connection.execute(_FREEZE, encoded([mapping.freeze_row(op.freeze)]))
            return True
        case Thawing():
            return bool(await connection.fetch(_THAW, op.freeze_id))
        case Sighting():
            return await _is_seen(connection, op.definitions)
        case Accepting():
            accepted = op.accepted
            return bool(
                await connection.fetch(
                    _ACCEPT, accepted.at, accepted.by, op.place, op.tool, op.hash
                )
            )


async def _is_seen(connection: Connection, definitions: Sequence[Definition]) -> bool:
    places = [found.place for found in definitions]
    tools = [found.tool for found in definitions]
    hashes = [None if found.accepted else found.hash for found in definitions]
    if await connection.fetch(_KNOWN, places, tools, hashes):
        return False
    await connection.execute(_FORGET, places, tools)
    await connection.execute(_SEE, encoded([mapping.definition_row(f) for f in definitions]))
    return True


async def _append(connection: Connection, stream: str, fact: Fact) -> None:
    rows = await connection.fetch(_HEAD, stream)
    head = Head(seq=rows[0]["seq"], hash=rows[0]["hash"]) if rows else NO_EVENTS
    await connection.execute(EVENT, encoded([mapping.event_row(link(head, stream, fact))]))
