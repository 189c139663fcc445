"""What is read of the audit: a stream in order, a time, a seal, and what belongs to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from approvals.storage.queries import APPROVALS, named
from approvals.storage.tables import DecisionRow, EventRow, ResultRow, SealRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from approvals.ports import EventFilter

EVENTS = EventRow.__table__  # type: ignore[attr-defined]
SEALS = SealRow.__table__  # type: ignore[attr-defined]
DECISIONS = DecisionRow.__table__  # type: ignore[attr-defined]
RESULTS = ResultRow.__table__  # type: ignore[attr-defined]

Select = sa.Select[Any]

NEWEST_SEAL = sa.select(SEALS).order_by(SEALS.c.number.desc()).limit(1)
"""The newest seal."""

_IN_ORDER = sa.select(EVENTS).order_by(EVENTS.c.stream, EVENTS.c.seq)
FIRST_EVENTS = _IN_ORDER.limit(named("limit"))
"""The first events, by stream and number."""

NEXT_EVENTS = FIRST_EVENTS.where(
    sa.tuple_(EVENTS.c.stream, EVENTS.c.seq) > sa.tuple_(named("stream"), named("seq"))
)
"""Those after one of them."""

NEXT_SEALS = (
    sa.select(SEALS)
    .where(SEALS.c.number > named("number"))
    .order_by(SEALS.c.number)
    .limit(named("limit"))
)
"""Seals after one of them."""

SEALED = (
    sa.select(EVENTS.c.seal, EVENTS.c.hash)
    .where(EVENTS.c.seal >= named("first"), EVENTS.c.seal <= named("last"))
    .order_by(EVENTS.c.seal)
    .limit(named("limit"))
)
"""Seal and hash of the events under some seals."""

NEWEST_COMPLETE = NEWEST_SEAL.where(SEALS.c.events < named("full"))
"""The newest seal that left no event over."""

UNSEALED_BEFORE = (
    sa.select(EVENTS)
    .where(EVENTS.c.seal.is_(None), EVENTS.c.at < named("before"))
    .order_by(EVENTS.c.seal, EVENTS.c.at)
    .limit(named("limit"))
)
"""Events that have no seal, older than some moment, oldest first."""

UNDER = (
    sa.select(EVENTS)
    .where(EVENTS.c.seal >= named("first"), EVENTS.c.seal <= named("last"))
    .order_by(EVENTS.c.seal, EVENTS.c.at)
    .limit(named("limit"))
)
"""The events under some seals."""

_HAS_EVENTS = sa.exists().where(EVENTS.c.stream == APPROVALS.c.id)
APPROVALS_AND_EVENTS = (
    sa.select(APPROVALS.c.id, _HAS_EVENTS.label("there"))
    .where(APPROVALS.c.id > named("after"))
    .order_by(APPROVALS.c.id)
    .limit(named("limit"))
)
"""Approvals after one of them, and whether there are events of each."""

DECISIONS_AND_APPROVAL = (
    sa.select(
        DECISIONS.c.approval_id.label("id"),
        sa.exists().where(APPROVALS.c.id == DECISIONS.c.approval_id).label("there"),
    )
    .where(DECISIONS.c.approval_id > named("after"))
    .group_by(DECISIONS.c.approval_id)
    .order_by(DECISIONS.c.approval_id)
    .limit(named("limit"))
)
"""What decisions are of, and whether it is there."""

RESULTS_AND_APPROVAL = (
    sa.select(
        RESULTS.c.approval_id.label("id"),
        sa.exists().where(APPROVALS.c.id == RESULTS.c.approval_id).label("there"),
    )
    .where(RESULTS.c.approval_id > named("after"))
    .order_by(RESULTS.c.approval_id)
    .limit(named("limit"))
)
"""What results are of, and whether it is there."""


def approvals(approval_ids: Sequence[str]) -> Select:
    """These approvals."""
    return sa.select(APPROVALS).where(APPROVALS.c.id.in_(approval_ids))


def results(approval_ids: Sequence[str]) -> Select:
    """What the tools answered to these."""
    return sa.select(RESULTS).where(RESULTS.c.approval_id.in_(approval_ids))


def timeline(filter_: EventFilter) -> Select:
    """Events by time."""
    query = sa.select(EVENTS)
    for column, value in (
        (EVENTS.c.stream, filter_.stream),
        (EVENTS.c.type, filter_.type),
        (EVENTS.c.actor, filter_.actor),
    ):
        if value is not None:
            query = query.where(column == value)
    if filter_.since is not None:
        query = query.where(EVENTS.c.at >= filter_.since)
    if filter_.until is not None:
        query = query.where(EVENTS.c.at < filter_.until)
    if filter_.after is not None:
        query = query.where(_beyond(*filter_.after, newest_first=filter_.newest_first))
    at, id_ = EVENTS.c.at, EVENTS.c.id
    order = (at.desc(), id_.desc()) if filter_.newest_first else (at, id_)
    return query.order_by(*order).limit(filter_.limit)


def _beyond(at: datetime, id_: str, *, newest_first: bool) -> sa.ColumnElement[bool]:
    place = sa.tuple_(EVENTS.c.at, EVENTS.c.id)
    seen = sa.tuple_(
        sa.bindparam("seen_at", at, type_=EVENTS.c.at.type), sa.bindparam("seen_id", id_)
    )
    return place < seen if newest_first else place > seen


def erasable(*, before: datetime, limit: int) -> Select:
    """Ended before then, and not erased; oldest first."""
    ended = sa.or_(APPROVALS.c.ended_at < before, APPROVALS.c.finished_at < before)
    return (
        sa.select(APPROVALS)
        .where(APPROVALS.c.erased.is_(None), APPROVALS.c.created_at < before, ended)
        .order_by(APPROVALS.c.created_at)
        .limit(limit)
    )
