"""Everything an engine reads; how a statement is run is the engine's own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from approvals.errors import Unavailable
from approvals.ports import Backlog, KeyRecord, Page, Process
from approvals.storage import audit_queries, mapping, queries
from approvals.storage.audit_reads import AuditReads

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    import sqlalchemy as sa

    from approvals.domain.chain import Event
    from approvals.domain.freeze import Freeze
    from approvals.domain.states import Approval
    from approvals.ports import ListFilter

Row: TypeAlias = "Mapping[str, Any]"
Values: TypeAlias = "Mapping[str, object]"
Enough: TypeAlias = "Callable[[Row], bool]"

logger = logging.getLogger(__name__)

MANY = 10_000


def never(row: Row) -> bool:
    """All rows are wanted."""
    del row
    return False


class Reader(Protocol):
    """Runs statements of `queries`; raises Unavailable when the database does not answer.

    A statement that comes with `values` is one of the constants and is compiled once.
    """

    async def rows(self, query: sa.Select[Any], values: Values | None = None) -> Sequence[Row]:
        """The rows by column name."""
        ...

    async def approvals(
        self, query: sa.Select[Any], values: Values | None = None, *, enough: Enough = never
    ) -> Sequence[tuple[Row, Sequence[Row]]]:
        """Rows of approvals, each with those of its decisions as they stood at that moment.

        Up to the one before the first for which `enough` is true.
        """
        ...


class Reads(AuditReads):
    """The reading half of Store, KeyStore and AuditStore, the same on every engine."""

    def __init__(self, hot: Reader, cold: Reader) -> None:
        """`hot` answers requests that wait; `cold` may be busy with a long list."""
        super().__init__(cold)
        self._hot = hot
        self._cold = cold
        self._unreadable: set[str] = set()

    async def approval(self, approval_id: str) -> Approval | None:
        if not may_be_id(approval_id):
            return None
        return await self._one(queries.APPROVAL, {"id": approval_id})

    async def latest(self, identities: Sequence[str]) -> Approval | None:
        return await self._one(queries.LATEST, either(identities))

    async def versions(self, approval_ids: Collection[str]) -> Mapping[str, int]:
        rows = await self._hot.rows(queries.versions(list(approval_ids)))
        return {row["id"]: row["version"] for row in rows}

    async def last_run(self, identities: Sequence[str], *, since: datetime) -> Approval | None:
        values = {**either(identities), "since": since}
        return await self._one(queries.LAST_RUN, values)

    async def page(self, filter_: ListFilter) -> Page:
        size, count, more = 0, 0, False

        def enough(row: Row) -> bool:
            nonlocal size, count, more
            size += sum(len(value) for value in row.values() if isinstance(value, str))
            more = count == filter_.limit or (count > 0 and size > filter_.max_bytes)
            count += 1
            return more

        found = await self._cold.approvals(queries.page(filter_), enough=enough)
        return Page(approvals=self._all_readable(found), more=more)

    async def backlog(self) -> Backlog:
        [row] = await self._cold.rows(queries.BACKLOG, {})
        return Backlog(pending=row["pending"], oldest=row["oldest"])

    async def overdue(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        pending = await self._approvals(queries.overdue_pending(now=now, limit=limit))
        return pending + await self._approvals(queries.overdue_approved(now=now, limit=limit))

    async def being_sent(self, *, limit: int) -> Sequence[Approval]:
        return await self._approvals(queries.being_sent(limit=limit))

    async def orphans(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        return await self._approvals(queries.orphans(now=now, limit=limit))

    async def processes(self, *, now: datetime) -> Sequence[Process]:
        rows = await self._cold.rows(queries.processes(now=now))
        return [Process(id=row["id"], config_hash=row["config_hash"]) for row in rows]

    async def unreported(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        return await self._approvals(queries.unreported(now=now, limit=limit))

    async def to_remind(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        return await self._approvals(queries.to_remind(now=now, limit=limit))

    async def erasable(self, *, before: datetime, limit: int) -> Sequence[Approval]:
        return await self._approvals(audit_queries.erasable(before=before, limit=limit))

    async def freeze_of(self, *, server: str, agent: str) -> Freeze | None:
        freezes = await self.freezes()
        return next((f for f in freezes if f.covers(server=server, agent=agent)), None)

    async def freezes(self) -> Sequence[Freeze]:
        return [mapping.freeze_of(row) for row in await self._hot.rows(queries.FREEZES, {})]

    async def events(self, approval_id: str) -> Sequence[Event]:
        return [mapping.event_of(row) for row in await self._cold.rows(queries.events(approval_id))]

    async def result(self, approval_id: str) -> str | None:
        rows = await self._cold.rows(queries.result(approval_id))
        return str(rows[0]["text"]) if rows else None

    async def key(self, sha256: str) -> KeyRecord | None:
        rows = await self._hot.rows(queries.KEY, {"sha256": sha256})
        return mapping.key_of(rows[0]) if rows else None

    async def key_by_id(self, key_id: str) -> KeyRecord | None:
        rows = await self._cold.rows(queries.key(key_id))
        return mapping.key_of(rows[0]) if rows else None

    async def keys(self) -> Sequence[KeyRecord]:
        return [mapping.key_of(row) for row in await self._cold.rows(queries.keys(limit=MANY))]

    async def starting_person(self) -> str | None:
        rows = await self._cold.rows(queries.starting_person())
        return str(rows[0]["name"]) if rows else None

    @property
    def unreadable(self) -> int:
        """How many rows could not be read since the start."""
        return len(self._unreadable)

    async def _one(self, query: sa.Select[Any], values: Values) -> Approval | None:
        """The first approval there is; raises Unavailable for a row that cannot be read."""
        found = await self._hot.approvals(query, values)
        if not found:
            return None
        approval = self._readable(*found[0])
        if approval is None:
            raise Unavailable("The record of this call cannot be read; nothing is done with it.")
        return approval

    async def _approvals(self, query: sa.Select[Any]) -> list[Approval]:
        return self._all_readable(await self._cold.approvals(query))

    def _all_readable(self, found: Sequence[tuple[Row, Sequence[Row]]]) -> list[Approval]:
        return [approval for one in found if (approval := self._readable(*one))]

    def _readable(self, row: Row, decisions: Sequence[Row]) -> Approval | None:
        """The approval, or None for a row that cannot be read: it must not stop the others."""
        try:
            return mapping.approval_of(row, decisions)
        except Exception:
            if row["id"] not in self._unreadable:
                self._unreadable.add(row["id"])
                about = {"approval": row["id"]}
                logger.exception(
                    "the row of %s cannot be read and is left out", row["id"], extra=about
                )
            return None


def may_be_id(text: str) -> bool:
    """Whether a database can be asked for it at all; what cannot would harm others who ask."""
    return text.isascii() and "\0" not in text


def either(identities: Sequence[str]) -> Values:
    """One identity, or two while the secret key is being replaced."""
    return {"one": identities[0], "other": identities[-1]}
