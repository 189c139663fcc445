"""Run migrations on the connection that `approvals.storage.migrations` hands over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa
from alembic import context
from sqlmodel.sql.sqltypes import AutoString

from approvals.storage.tables import Moment, Table

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext


def render_item(kind: str, item: object, autogen: AutogenContext) -> str | Literal[False]:
    """Write our types in plain SQLAlchemy, so that a migration imports nothing of ours."""
    if kind == "type" and isinstance(item, AutoString):
        return "sa.Text()"
    if kind == "type" and isinstance(item, Moment):
        return 'sa.DateTime(timezone=True).with_variant(sa.BigInteger(), "sqlite")'
    del autogen
    return False


def compare_type(*_: object) -> bool | None:
    """Our text columns are Text in the database and AutoString in the tables: the same."""
    inspected, wanted = _[3], _[4]
    if isinstance(inspected, sa.Text) and isinstance(wanted, sa.String | AutoString):
        return False
    if isinstance(wanted, Moment):
        return not isinstance(inspected, sa.BigInteger | sa.DateTime)
    return None


def run(connection: sa.Connection) -> None:
    """Migrate over one connection, in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_item=render_item,
        compare_type=compare_type,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    engine = sa.create_engine(context.config.get_main_option("sqlalchemy.url") or "sqlite://")
    with engine.connect() as opened:
        run(opened)
