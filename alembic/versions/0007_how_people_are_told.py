"""how people are told: messages, attempts, channels that are closed

Revision: 0007
After: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")
COLUMNS = (
    ("event", sa.Text()),
    ("at", MOMENT),
    ("ended", sa.Text()),
    ("tried", sa.Text()),
    ("unclear", sa.Integer()),
    ("told_at", MOMENT),
    ("digested_at", MOMENT),
    ("body", sa.Text()),
)
INDEXES = (
    ("ix_outbox_waiting_channel", ["channel", "due_at"], "done_at is null"),
    ("ix_outbox_given_up_at", ["at"], "ended = 'given_up'"),
)


def upgrade() -> None:
    for name, kind in COLUMNS:
        op.add_column("outbox", sa.Column(name, kind, nullable=True))
    op.drop_index("ix_outbox_due_at", table_name="outbox")
    for name, columns, where in INDEXES:
        condition = sa.text(where)
        op.create_index(name, "outbox", columns, postgresql_where=condition, sqlite_where=condition)
    op.add_column("approvals", sa.Column("unnoticed", sa.Boolean(), nullable=True))
    op.create_table(
        "messages",
        sa.Column("approval_id", sa.Text(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approvals.id"], name=op.f("fk_messages_approval_id")
        ),
        sa.PrimaryKeyConstraint("approval_id", "receipt", name=op.f("pk_messages")),
    )
    op.create_index("ix_messages_channel_at", "messages", ["channel", "at"])
    op.create_table(
        "channels",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("closed", sa.Text(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("worked_until", MOMENT, nullable=True),
        sa.Column("digested_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_channels")),
    )


def downgrade() -> None:
    op.drop_table("channels")
    op.drop_table("messages")
    op.drop_column("approvals", "unnoticed")
    for name, _, _ in INDEXES:
        op.drop_index(name, table_name="outbox")
    for name, _ in COLUMNS:
        op.drop_column("outbox", name)
    op.create_index(
        "ix_outbox_due_at",
        "outbox",
        ["due_at"],
        postgresql_where=sa.text("done_at is null"),
        sqlite_where=sa.text("done_at is null"),
    )
