"""Cold reads, as statements that any engine can run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlmodel import col

from approvals.domain.call import Executor
from approvals.domain.states import Status
from approvals.storage.tables import ApprovalRow, DecisionRow, EventRow, FreezeRow, KeyRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from approvals.ports import ListFilter

APPROVALS = ApprovalRow.__table__  # type: ignore[attr-defined]

Select = sa.Select[Any]


def page(filter_: ListFilter) -> Select:
    """Approvals, youngest first."""
    query = sa.select(APPROVALS)
    if filter_.statuses:
        query = query.where(col(ApprovalRow.status).in_(sorted(filter_.statuses)))
    for column, value in (
        (ApprovalRow.agent, filter_.agent),
        (ApprovalRow.server, filter_.server),
        (ApprovalRow.tool, filter_.tool),
        (ApprovalRow.risk_level, filter_.risk),
    ):
        if value is not None:
            query = query.where(col(column) == value)
    if filter_.after:
        at, id_ = filter_.after
        query = query.where(
            sa.or_(
                col(ApprovalRow.created_at) < at,
                sa.and_(col(ApprovalRow.created_at) == at, col(ApprovalRow.id) < id_),
            )
        )
    newest_first = (col(ApprovalRow.created_at).desc(), col(ApprovalRow.id).desc())
    return query.order_by(*newest_first).limit(filter_.limit + 1)


def last_run(identities: Sequence[str], *, since: datetime) -> Select:
    """Releases of these identities that ended since then and reached the server, youngest first."""
    return (
        sa.select(APPROVALS)
        .where(
            col(ApprovalRow.identity).in_(identities),
            col(ApprovalRow.release_status).in_(["succeeded", "failed", "outcome_unknown"]),
            col(ApprovalRow.finished_at) >= since,
        )
        .order_by(col(ApprovalRow.created_at).desc())
        .limit(1)
    )


def overdue_pending(*, now: datetime, limit: int) -> Select:
    """Pending past their deadline, oldest first."""
    return (
        sa.select(APPROVALS)
        .where(
            col(ApprovalRow.status) == Status.PENDING,
            col(ApprovalRow.expires_at) <= now,
        )
        .order_by(col(ApprovalRow.expires_at))
        .limit(limit)
    )


def overdue_approved(*, now: datetime, limit: int) -> Select:
    """Approved and not used in time, oldest first."""
    return (
        sa.select(APPROVALS)
        .where(col(ApprovalRow.status) == Status.APPROVED, col(ApprovalRow.use_by) <= now)
        .order_by(col(ApprovalRow.use_by))
        .limit(limit)
    )


def unreported(*, now: datetime, limit: int) -> Select:
    """Sent by programs that had to report by now, oldest first."""
    return (
        sa.select(APPROVALS)
        .where(col(ApprovalRow.release_status) == "sent", col(ApprovalRow.report_by) <= now)
        .order_by(col(ApprovalRow.report_by))
        .limit(limit)
    )


def to_remind(*, now: datetime, limit: int) -> Select:
    """Pending and due to be told again, oldest first."""
    return (
        sa.select(APPROVALS)
        .where(col(ApprovalRow.status) == Status.PENDING, col(ApprovalRow.due_at) <= now)
        .order_by(col(ApprovalRow.due_at))
        .limit(limit)
    )


def freezes() -> Select:
    """Freezes in force, youngest first."""
    return (
        sa.select(FreezeRow.__table__)  # type: ignore[attr-defined]
        .where(col(FreezeRow.ended_at).is_(None))
        .order_by(col(FreezeRow.created_at).desc(), col(FreezeRow.id))
    )


def sent(*, limit: int) -> Select:
    """Releases by the gateway without an outcome."""
    return being_sent(limit=limit).where(col(ApprovalRow.executor) == Executor.GATEWAY)


def being_sent(*, limit: int) -> Select:
    """Releases without an outcome, whoever sends."""
    return (
        sa.select(APPROVALS)
        .where(col(ApprovalRow.release_status) == "sent")
        .order_by(col(ApprovalRow.created_at))
        .limit(limit)
    )


def decisions(approval_ids: Sequence[str]) -> Select:
    """The decisions of these approvals, in order."""
    return (
        sa.select(DecisionRow.__table__)  # type: ignore[attr-defined]
        .where(col(DecisionRow.approval_id).in_(approval_ids))
        .order_by(col(DecisionRow.approval_id), col(DecisionRow.seq))
    )


def events(stream: str) -> Select:
    """A stream, in order."""
    return (
        sa.select(EventRow.__table__)  # type: ignore[attr-defined]
        .where(col(EventRow.stream) == stream)
        .order_by(col(EventRow.seq))
    )


def keys(*, limit: int) -> Select:
    """All keys, youngest first."""
    return (
        sa.select(KeyRow.__table__)  # type: ignore[attr-defined]
        .order_by(col(KeyRow.created_at).desc(), col(KeyRow.id))
        .limit(limit)
    )
