"""Everything an engine reads; how a statement is run is the engine's own."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from approvals.domain.definitions import Pin
from approvals.errors import Unavailable
from approvals.ports import Backlog, KeyRecord, Page, Process
from approvals.storage import audit_queries, mapping, queries
from approvals.storage.audit_reads import AuditReads
from approvals.storage.outbox_reads import UNNOTICED
from approvals.storage.together import Together

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    import sqlalchemy as sa

    from approvals.domain.chain import Event
    from approvals.domain.definitions import Definition
    from approvals.domain.freeze import Freeze
    from approvals.domain.states import Approval
    from approvals.ports import ListFilter

Row: TypeAlias = "Mapping[str, Any]"
Values: TypeAlias = "Mapping[str, object]"
Enough: TypeAlias = "Callable[[Row], bool]"
Found: TypeAlias = "tuple[Row, Sequence[Row]]"
"""A row of an approval, with those of its decisions as they stood at that moment."""

logger = logging.getLogger(__name__)

MANY = 10_000
A_DAY = timedelta(days=1)
WHOLE_AT_ONCE = 32
"""Approvals that are read together: each may have a megabyte of arguments."""


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
    ) -> Sequence[Found]:
        """Approvals, up to the one before the first for which `enough` is true."""
        ...

    async def by_id(self, ids: Sequence[str]) -> Mapping[str, Found]:
        """Each of these approvals that there is."""
        ...

    async def versions(self, ids: Sequence[str]) -> Mapping[str, int]:
        """The version of each of these approvals, however many they are."""
        ...

    async def latest_of(self, identities: Sequence[str]) -> Mapping[str, Found]:
        """The youngest approval of each identity that has any; an open one is the youngest."""
        ...


class Reads(AuditReads):
    """The reading half of Store, KeyStore and AuditStore, the same on every engine."""

    def __init__(self, hot: Reader, cold: Reader) -> None:
        """`hot` answers requests that wait; `cold` may be busy with a long list."""
        super().__init__(cold)
        self._hot = hot
        self._cold = cold
        self._by_id = Together(hot.by_id, at_once=WHOLE_AT_ONCE)
        self._latest = Together(hot.latest_of, at_once=WHOLE_AT_ONCE)
        self._unreadable: set[str] = set()

    async def approval(self, approval_id: str) -> Approval | None:
        if not may_be_id(approval_id):
            return None
        return self._one(await self._by_id.ask(approval_id))

    async def latest(self, identities: Sequence[str]) -> Approval | None:
        """Two identities are asked for while the secret key is being replaced."""
        found = [self._one(await self._latest.ask(identity)) for identity in identities]
        some = [approval for approval in found if approval is not None]
        return max(some, key=lambda a: (a.is_open, a.created_at, a.id), default=None)

    async def versions(self, approval_ids: Collection[str]) -> Mapping[str, int]:
        return await self._hot.versions(list(approval_ids))

    async def last_run(self, identities: Sequence[str], *, since: datetime) -> Approval | None:
        values = {"one": identities[0], "other": identities[-1], "since": since}
        found = await self._hot.approvals(queries.LAST_RUN, values)
        return self._one(found[0] if found else None)

    async def page(self, filter_: ListFilter) -> Page:
        size, count, more = 0, 0, False

        def enough(row: Row) -> bool:
            nonlocal size, count, more
            size += sum(len(value) for value in row.values() if isinstance(value, str))
            more = count == filter_.limit or (count > 0 and size > filter_.max_bytes)
            count += 1
            return more

        columns = {
            "agent": filter_.agent,
            "server": filter_.server,
            "tool": filter_.tool,
            "risk_level": filter_.risk,
        }
        given = {name: value for name, value in columns.items() if value is not None}
        values: dict[str, object] = {**given, "limit": filter_.limit + 1}
        if filter_.after:
            values["after_at"], values["after_id"] = filter_.after
        query = queries.page(filter_.statuses, frozenset(given), after=filter_.after is not None)
        found = await self._cold.approvals(query, values, enough=enough)
        return Page(approvals=self._all_readable(found), more=more)

    async def backlog(self) -> Backlog:
        [row] = await self._cold.rows(queries.BACKLOG, {})
        return Backlog(pending=row["pending"], oldest=row["oldest"])

    async def overdue(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        values = {"now": now, "limit": limit}
        pending = await self._approvals(queries.OVERDUE_PENDING, values)
        return pending + await self._approvals(queries.OVERDUE_APPROVED, values)

    async def detached(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        return await self._approvals(queries.DETACHED, {"now": now, "limit": limit})

    async def being_sent(self, *, limit: int) -> Sequence[Approval]:
        return await self._approvals(queries.BEING_SENT, {"limit": limit})

    async def orphans(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        return await self._approvals(queries.ORPHANS, {"now": now, "limit": limit})

    async def processes(self, *, now: datetime) -> Sequence[Process]:
        rows = await self._cold.rows(queries.ALIVE, {"now": now})
        return [Process(id=row["id"], config_hash=row["config_hash"]) for row in rows]

    async def unreported(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        return await self._approvals(queries.UNREPORTED, {"now": now, "limit": limit})

    async def to_remind(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        return await self._approvals(queries.TO_REMIND, {"now": now, "limit": limit})

    async def unnoticed(self, *, before: datetime, limit: int) -> Sequence[Approval]:
        return await self._approvals(
            UNNOTICED, {"before": before, "since": before - A_DAY, "limit": limit}
        )

    async def erasable(self, *, before: datetime, limit: int) -> Sequence[Approval]:
        return await self._approvals(audit_queries.erasable(before=before, limit=limit))

    async def freeze_of(self, *, server: str, agent: str) -> Freeze | None:
        freezes = await self.freezes()
        return next((f for f in freezes if f.covers(server=server, agent=agent)), None)

    async def pins(self, place: str) -> Sequence[Pin]:
        rows = await self._hot.rows(queries.PINS, {"place": place})
        return [
            Pin(tool=row["tool"], hash=row["hash"], is_accepted=bool(row["accepted"]))
            for row in rows
        ]

    async def definitions(self, place: str, tools: Sequence[str]) -> Sequence[Definition]:
        rows = await self._cold.rows(queries.definitions(place, tools))
        return [mapping.definition_of(row) for row in rows]

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

    def _one(self, found: Found | None) -> Approval | None:
        """The approval; raises Unavailable for a row that cannot be read."""
        if found is None:
            return None
        approval = self._readable(*found)
        if approval is None:
            raise Unavailable("The record of this call cannot be read; nothing is done with it.")
        return approval

    async def _approvals(
        self, query: sa.Select[Any], values: Values | None = None
    ) -> list[Approval]:
        return self._all_readable(await self._cold.approvals(query, values))

    def _all_readable(self, found: Sequence[Found]) -> list[Approval]:
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
