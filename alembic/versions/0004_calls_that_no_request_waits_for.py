"""calls that no request waits for

Revision: 0004
After: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TO_SEND = "status = 'approved' and detached"


def upgrade() -> None:
    op.add_column("approvals", sa.Column("detached", sa.Boolean(), nullable=True))
    op.create_index(
        "ix_approvals_to_send_use_from",
        "approvals",
        ["use_from"],
        postgresql_where=sa.text(TO_SEND),
        sqlite_where=sa.text(TO_SEND),
    )


def downgrade() -> None:
    op.drop_index("ix_approvals_to_send_use_from", table_name="approvals")
    with op.batch_alter_table("approvals") as table:
        table.drop_column("detached")
