"""The reading half of AuditStore, the same on every engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from approvals.domain.record import stored_result
from approvals.ports import Stray
from approvals.storage import audit_queries as queries
from approvals.storage.stored import stored_approval, stored_event, stored_seal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import sqlalchemy as sa

    from approvals.domain.audit import StoredEvent
    from approvals.domain.record import StoredApproval, StoredResult
    from approvals.domain.seal import Seal
    from approvals.ports import EventFilter
    from approvals.storage.reads import Reader, Row

PAGE = 10_000
MAX_TEXT = 8 * 1024 * 1024


class AuditReads:
    """Pages of rows; making values of a page is done beside the event loop."""

    def __init__(self, reader: Reader) -> None:
        self._audit = reader

    async def streams(self, *, after: tuple[str, int] | None, limit: int) -> Sequence[StoredEvent]:
        if after is None:
            rows = await self._audit.rows(queries.FIRST_EVENTS, {"limit": limit})
        else:
            stream, seq = after
            values = {"stream": stream, "seq": seq, "limit": limit}
            rows = await self._audit.rows(queries.NEXT_EVENTS, values)
        return await asyncio.to_thread(_events, rows)

    async def timeline(self, filter_: EventFilter) -> Sequence[StoredEvent]:
        rows = await self._audit.rows(queries.timeline(filter_))
        return await asyncio.to_thread(_events, rows)

    async def stored(self, approval_ids: Sequence[str]) -> Sequence[StoredApproval]:
        size = 0

        def enough(row: Row) -> bool:
            nonlocal size
            before = size
            size += sum(len(value) for value in row.values() if isinstance(value, str))
            return before > 0 and size > MAX_TEXT

        found = await self._audit.approvals(queries.approvals(approval_ids), enough=enough)
        return await asyncio.to_thread(lambda: [stored_approval(*one) for one in found])

    async def results(self, approval_ids: Sequence[str]) -> Mapping[str, StoredResult]:
        rows = await self._audit.rows(queries.results(approval_ids))
        return await asyncio.to_thread(
            lambda: {row["approval_id"]: stored_result(str(row["text"])) for row in rows}
        )

    async def seals(self, *, after: int, limit: int) -> Sequence[tuple[int, Seal | None]]:
        values = {"number": after, "limit": limit}
        rows = await self._audit.rows(queries.NEXT_SEALS, values)
        return [(row["number"], stored_seal(row)) for row in rows]

    async def sealed(self, first: int, last: int, *, limit: int) -> Sequence[tuple[int, str]]:
        values = {"first": first, "last": last, "limit": limit}
        rows = await self._audit.rows(queries.SEALED, values)
        return [(row["seal"], row["hash"]) for row in rows]

    async def complete_seal(self, *, full: int) -> Seal | None:
        rows = await self._audit.rows(queries.NEWEST_COMPLETE, {"full": full})
        return stored_seal(rows[0]) if rows else None

    async def unsealed(self, *, before: datetime, limit: int) -> Sequence[StoredEvent]:
        values = {"before": before, "limit": limit}
        return _events(await self._audit.rows(queries.UNSEALED_BEFORE, values))

    async def under(self, first: int, last: int, *, limit: int) -> Sequence[StoredEvent]:
        values = {"first": first, "last": last, "limit": limit}
        return _events(await self._audit.rows(queries.UNDER, values))

    async def strays(self, *, limit: int) -> Sequence[Stray]:
        found = []
        for table, query in (
            ("approvals", queries.APPROVALS_AND_EVENTS),
            ("decisions", queries.DECISIONS_AND_APPROVAL),
            ("results", queries.RESULTS_AND_APPROVAL),
        ):
            found += [Stray(table, id_) for id_ in await self._alone(query, limit)]
        return found

    async def _alone(self, query: sa.Select[Any], limit: int) -> list[str]:
        """The ids of rows that have nothing they belong to; all are looked at, page by page."""
        found: list[str] = []
        after = ""
        while rows := await self._audit.rows(query, {"after": after, "limit": PAGE}):
            after = rows[-1]["id"]
            found += [row["id"] for row in rows if not row["there"]]
            if len(found) >= limit:
                break
        return found[:limit]


def _events(rows: Sequence[Row]) -> list[StoredEvent]:
    return [stored_event(row) for row in rows]
