"""several processes, seals, erased arguments, and indexes that stay small

Revision: 0003
After: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")
PARTIAL = (
    ("ix_approvals_pending_expires_at", "approvals", "expires_at", "status = 'pending'"),
    ("ix_approvals_pending_agent", "approvals", "agent", "status = 'pending'"),
    ("ix_approvals_approved_use_by", "approvals", "use_by", "status = 'approved'"),
    ("ix_approvals_sent_created_at", "approvals", "created_at", "release_status = 'sent'"),
    ("ix_approvals_due_at", "approvals", "due_at", "due_at is not null"),
    ("ix_approvals_kept_created_at", "approvals", "created_at", "erased is null"),
    ("ix_outbox_due_at", "outbox", "due_at", "done_at is null"),
)
REPLACED = (
    ("ix_approvals_status_expires_at", "approvals", ["status", "expires_at"]),
    ("ix_approvals_status_use_by", "approvals", ["status", "use_by"]),
    ("ix_approvals_status_due_at", "approvals", ["status", "due_at"]),
    ("ix_approvals_agent_status", "approvals", ["agent", "status"]),
    ("ix_approvals_release_status", "approvals", ["release_status"]),
    ("ix_outbox_done_at_due_at", "outbox", ["done_at", "due_at"]),
)
# Rows change state within seconds: without these, dead versions and old statistics slow the queue.
BUSY = (
    "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, "
    "autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 1000, "
    "autovacuum_vacuum_insert_scale_factor = 0.05"
)
BUSY_TABLES = ("approvals", "events", "outbox", "counters", "reservations")


def upgrade() -> None:
    op.create_table(
        "processes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("alive_until", MOMENT, nullable=False),
        sa.Column("config_hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processes")),
    )
    op.create_index("ix_processes_alive_until", "processes", ["alive_until"])
    op.create_table(
        "epochs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_epochs")),
    )
    op.create_table(
        "seals",
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("previous", sa.Text(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_seals")),
    )
    op.add_column("events", sa.Column("seal", sa.Integer(), nullable=True))
    op.create_index("ix_events_seal_at", "events", ["seal", "at"])
    op.create_index("ix_events_at_id", "events", ["at", "id"])
    op.add_column("approvals", sa.Column("erased", sa.Text(), nullable=True))
    for name, table, column, where in PARTIAL:
        condition = sa.text(where)
        op.create_index(name, table, [column], postgresql_where=condition, sqlite_where=condition)
    for name, table, _ in REPLACED:
        op.drop_index(name, table)
    _settings(f"set ({BUSY})")


def downgrade() -> None:
    names = ", ".join(part.split(" = ")[0] for part in BUSY.split(", "))
    _settings(f"reset ({names})")
    for name, table, columns in REPLACED:
        op.create_index(name, table, columns)
    for name, table, _, _ in PARTIAL:
        op.drop_index(name, table)
    op.drop_column("approvals", "erased")
    op.drop_index("ix_events_at_id", "events")
    op.drop_index("ix_events_seal_at", "events")
    op.drop_column("events", "seal")
    for table in ("seals", "epochs", "processes"):
        op.drop_table(table)


def _settings(change: str) -> None:
    """PostgreSQL only: how soon it cleans up behind changed rows."""
    if op.get_bind().dialect.name == "postgresql":
        for table in BUSY_TABLES:
            op.execute(f"alter table {table} {change}")
