"""What is read, as statements that any engine can run.

Those that every call runs are constants with named values, so that they are compiled once; the
others are functions.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlmodel import col

from approvals.domain.call import Executor
from approvals.storage.tables import (
    TO_SEND,
    ApprovalRow,
    DefinitionRow,
    EventRow,
    FreezeRow,
    KeyRow,
    ProcessRow,
    ResultRow,
    StartingPersonRow,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.domain.states import Status

APPROVALS = ApprovalRow.__table__  # type: ignore[attr-defined]
DEFINITIONS = DefinitionRow.__table__  # type: ignore[attr-defined]
FREEZES_ = FreezeRow.__table__  # type: ignore[attr-defined]
PROCESSES = ProcessRow.__table__  # type: ignore[attr-defined]
KEYS = KeyRow.__table__  # type: ignore[attr-defined]

Select = sa.Select[Any]

# Written out, not bound: a partial index serves a statement only if its words stand in it.
PENDING = sa.text("status = 'pending'")
SENT = sa.text("release_status = 'sent'")


def named(name: str) -> sa.BindParameter[Any]:
    """A value that comes with each run of the statement."""
    return sa.bindparam(name, required=False)


APPROVAL = sa.select(APPROVALS).where(APPROVALS.c.id == named("id"))
"""One approval."""

LATEST = (
    sa.select(APPROVALS)
    .where(APPROVALS.c.identity == named("identity"))
    .order_by(
        APPROVALS.c.open_identity.is_(None),
        APPROVALS.c.created_at.desc(),
        APPROVALS.c.id.desc(),
    )
    .limit(1)
)
"""The youngest of an identity; one that is open counts as the youngest."""

LAST_RUN = (
    sa.select(APPROVALS)
    .where(
        APPROVALS.c.identity.in_([named("one"), named("other")]),
        APPROVALS.c.release_status.in_(["succeeded", "failed", "outcome_unknown"]),
        APPROVALS.c.finished_at >= named("since"),
    )
    .order_by(APPROVALS.c.created_at.desc())
    .limit(1)
)
"""The youngest release of two identities that ended since then and reached the server."""

KEY = sa.select(KEYS).where(KEYS.c.sha256 == named("sha256"))
"""The key with this hash."""

FREEZES = (
    sa.select(FREEZES_)
    .where(FREEZES_.c.ended_at.is_(None))
    .order_by(FREEZES_.c.created_at.desc(), FREEZES_.c.id)
)
"""Freezes in force, youngest first."""

PINS = sa.select(
    DEFINITIONS.c.tool, DEFINITIONS.c.hash, DEFINITIONS.c.accepted_at.is_not(None).label("accepted")
).where(DEFINITIONS.c.place == named("place"))
"""What is known of the tools of a place."""

BACKLOG = sa.select(
    sa.func.count().label("pending"), sa.func.min(APPROVALS.c.created_at).label("oldest")
).where(PENDING)
"""How many are pending, and when the oldest was parked."""


NOW, LIMIT = named("now"), sa.bindparam("limit", required=False, type_=sa.Integer)


@lru_cache(maxsize=128)
def page(statuses: frozenset[Status], given: frozenset[str], *, after: bool) -> Select:
    """Approvals, youngest first, whose columns `given` have the values of these names; `after`:
    those that follow the one with `after_at` and `after_id`."""
    query = sa.select(APPROVALS)
    if statuses:
        query = query.where(APPROVALS.c.status.in_(sorted(statuses)))
    for name in sorted(given):
        query = query.where(APPROVALS.c[name] == named(name))
    if after:
        at, id_ = named("after_at"), named("after_id")
        query = query.where(
            sa.or_(
                APPROVALS.c.created_at < at,
                sa.and_(APPROVALS.c.created_at == at, APPROVALS.c.id < id_),
            )
        )
    newest_first = (APPROVALS.c.created_at.desc(), APPROVALS.c.id.desc())
    return query.order_by(*newest_first).limit(LIMIT)


def _due(standing: sa.TextClause, moment: sa.ColumnElement[Any]) -> Select:
    return sa.select(APPROVALS).where(standing, moment <= NOW).order_by(moment).limit(LIMIT)


OVERDUE_PENDING = _due(PENDING, APPROVALS.c.expires_at)
"""Pending past their deadline, oldest first."""

OVERDUE_APPROVED = _due(sa.text("status = 'approved'"), APPROVALS.c.use_by)
"""Approved and not used in time, oldest first."""

DETACHED = _due(sa.text(TO_SEND), APPROVALS.c.use_from)
"""Approved, detached and to be sent by now, oldest first."""

UNREPORTED = _due(SENT, APPROVALS.c.report_by)
"""Sent by programs that had to report by now, oldest first."""

TO_REMIND = _due(PENDING, APPROVALS.c.due_at)
"""Pending and due to be told again, oldest first."""

BEING_SENT = sa.select(APPROVALS).where(SENT).order_by(APPROVALS.c.created_at).limit(LIMIT)
"""Releases without an outcome, whoever sends."""

ORPHANS = BEING_SENT.where(
    APPROVALS.c.executor == Executor.GATEWAY,
    APPROVALS.c.release_process.not_in(
        sa.select(PROCESSES.c.id).where(PROCESSES.c.alive_until > NOW)
    ),
)
"""Releases of the gateway without an outcome whose process does not live."""

ALIVE = (
    sa.select(PROCESSES)
    .where(PROCESSES.c.alive_until > NOW)
    .order_by(PROCESSES.c.started_at, PROCESSES.c.id)
)
"""The processes that live, oldest first."""


def result(approval_id: str) -> Select:
    """What the tool answered."""
    return sa.select(ResultRow.__table__).where(col(ResultRow.approval_id) == approval_id)  # type: ignore[attr-defined]


def definitions(place: str, tools: Sequence[str]) -> Select:
    """What was seen of these tools, of each the youngest first."""
    return (
        sa.select(DEFINITIONS)
        .where(DEFINITIONS.c.place == place, DEFINITIONS.c.tool.in_(tools))
        .order_by(DEFINITIONS.c.tool, DEFINITIONS.c.seen_at.desc(), DEFINITIONS.c.hash)
    )


def events(stream: str) -> Select:
    """A stream, in order."""
    return (
        sa.select(EventRow.__table__)  # type: ignore[attr-defined]
        .where(col(EventRow.stream) == stream)
        .order_by(col(EventRow.seq))
    )


def key(key_id: str) -> Select:
    """The key with this id."""
    return sa.select(KEYS).where(KEYS.c.id == key_id)


def keys(*, limit: int) -> Select:
    """All keys, youngest first."""
    return sa.select(KEYS).order_by(KEYS.c.created_at.desc(), KEYS.c.id).limit(limit)


def starting_person() -> Select:
    """The starting person."""
    table = StartingPersonRow.__table__  # type: ignore[attr-defined]
    return sa.select(table).order_by(table.c.created_at).limit(1)
