"""the whole language: counters, freezes, reminders, escalation, hidden values

Revision: 0002
After: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")
BEFORE = ("requested", "decided", "ended", "finished")
AFTER = ("requested", "decided", "reminder", "escalated", "ended", "finished")
OUTBOX = "id, approval_id, channel, version, kind, due_at, leased_until, attempts, done_at, error"


def upgrade() -> None:
    for column in (
        sa.Column("definition_risk", sa.Text(), nullable=True),
        sa.Column("hidden", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("due_at", MOMENT, nullable=True),
        sa.Column("reminded", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("escalated_at", MOMENT, nullable=True),
        sa.Column("report_by", MOMENT, nullable=True),
    ):
        op.add_column("approvals", column)
    op.create_index("ix_approvals_status_due_at", "approvals", ["status", "due_at"])
    op.create_index("ix_approvals_agent_status", "approvals", ["agent", "status"])
    op.create_table(
        "counters",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("used", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", "starts_at", name=op.f("pk_counters")),
    )
    op.create_index("ix_counters_ends_at", "counters", ["ends_at"])
    op.create_table(
        "reservations",
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("amount", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("holder", "key", "starts_at", name=op.f("pk_reservations")),
    )
    op.create_index("ix_reservations_ends_at", "reservations", ["ends_at"])
    op.create_table(
        "freezes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_freezes")),
    )
    op.create_index("ix_freezes_ended_at", "freezes", ["ended_at"])
    _kinds(AFTER)


def downgrade() -> None:
    op.execute("delete from outbox where kind in ('reminder', 'escalated')")
    _kinds(BEFORE)
    for table in ("freezes", "reservations", "counters"):
        op.drop_table(table)
    op.drop_index("ix_approvals_agent_status", "approvals")
    op.drop_index("ix_approvals_status_due_at", "approvals")
    for column in ("report_by", "escalated_at", "reminded", "due_at", "hidden", "definition_risk"):
        op.drop_column("approvals", column)


def _kinds(words: tuple[str, ...]) -> None:
    """Let the outbox hold these kinds. SQLite has no way to change a CHECK but a new table."""
    allowed = ", ".join(f"'{word}'" for word in words)
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint(op.f("ck_outbox_kind"), "outbox", type_="check")
        op.create_check_constraint(op.f("ck_outbox_kind"), "outbox", f"kind in ({allowed})")
        return
    op.drop_index("ix_outbox_approval_id_channel", "outbox")
    op.drop_index("ix_outbox_done_at_due_at", "outbox")
    op.rename_table("outbox", "outbox_before")
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("approval_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("leased_until", MOMENT, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("done_at", MOMENT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(f"kind in ({allowed})", name=op.f("ck_outbox_kind")),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approvals.id"], name=op.f("fk_outbox_approval_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.execute(f"insert into outbox ({OUTBOX}) select {OUTBOX} from outbox_before")  # noqa: S608 (names)
    op.drop_table("outbox_before")
    op.create_index("ix_outbox_approval_id_channel", "outbox", ["approval_id", "channel"])
    op.create_index("ix_outbox_done_at_due_at", "outbox", ["done_at", "due_at"])
