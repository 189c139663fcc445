"""The tables. Rows never leave this package; `mapping` turns them into domain values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from approvals.domain.call import Executor
from approvals.domain.risk import Category, Level
from approvals.domain.states import Answer, NoticeKind, ReleaseStatus, Status

if TYPE_CHECKING:
    from enum import StrEnum

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FORGOTTEN = timedelta(days=1)
"""After this long rows of sign-in links and sessions that ended are dropped."""


def to_microseconds(moment: datetime) -> int:
    """How SQLite keeps a moment: exact, ordered, without a time zone to lose."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone cannot be stored")
    return (moment - EPOCH) // MICROSECOND


def from_microseconds(value: int) -> datetime:
    """The moment, aware, UTC."""
    return EPOCH + value * MICROSECOND


class Moment(TypeDecorator[datetime]):
    """An aware UTC time: timestamptz on PostgreSQL, microseconds since 1970 on SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        chosen: sa.types.TypeEngine[Any] = (
            sa.BigInteger() if dialect.name == "sqlite" else sa.DateTime(timezone=True)
        )
        return dialect.type_descriptor(chosen)

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> object:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without a time zone cannot be stored")
        return to_microseconds(value) if dialect.name == "sqlite" else value

    def process_result_value(self, value: object, dialect: sa.Dialect) -> datetime | None:
        del dialect
        if isinstance(value, int):
            return from_microseconds(value)
        return value if isinstance(value, datetime) else None


def words(kind: type[StrEnum], name: str) -> sa.Enum:
    """An enumeration as text with a CHECK, the same on both databases."""
    return sa.Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=32,
        values_callable=lambda members: [str(member) for member in members],
    )


def partial(name: str, *columns: str, where: str) -> sa.Index:
    """An index of the few rows that jobs look for: it stays small beside a million ended ones."""
    condition = sa.text(where)
    return sa.Index(name, *columns, postgresql_where=condition, sqlite_where=condition)


class Table(SQLModel):
    """Base of all tables, with constraint names that migrations can rely on."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


TO_SEND = "status = 'approved' and detached"
"""Approved, and sent by the service: no request has to wait for it."""


class ApprovalRow(Table, table=True):
    """One parked call. `open_identity` is its identity while it has not ended, then null; `erased`
    the keyed hash of arguments that are no longer kept."""

    __tablename__ = "approvals"
    __table_args__ = (
        sa.Index("ix_approvals_identity_created_at", "identity", "created_at"),
        sa.Index("ix_approvals_created_at_id", "created_at", "id"),
        partial("ix_approvals_pending_expires_at", "expires_at", where="status = 'pending'"),
        partial("ix_approvals_pending_agent", "agent", where="status = 'pending'"),
        partial("ix_approvals_approved_use_by", "use_by", where="status = 'approved'"),
        partial("ix_approvals_sent_created_at", "created_at", where="release_status = 'sent'"),
        partial("ix_approvals_due_at", "due_at", where="due_at is not null"),
        partial("ix_approvals_to_send_use_from", "use_from", where=TO_SEND),
        partial("ix_approvals_kept_created_at", "created_at", where="erased is null"),
    )

    id: str = Field(primary_key=True)
    version: int
    revision: int
    status: str = Field(sa_type=words(Status, "status"))
    executor: str = Field(sa_type=words(Executor, "executor"))
    server: str
    tool: str
    arguments: str
    argument_order: str
    definition_name: str | None = None
    definition_description: str | None = None
    definition_hash: str | None = None
    definition_risk: str | None = None
    agent: str
    owner: str
    session: str | None = None
    justification: str | None = None
    identity: str
    open_identity: str | None = Field(default=None, unique=True)
    idempotency_key: str | None = None
    digest: str
    requirement: str
    policy_hash: str
    rule: str
    message: str
    summary: str
    risk_level: str = Field(sa_type=words(Level, "risk_level"))
    risk_category: str = Field(sa_type=words(Category, "risk_category"))
    risk_why: str
    channels: str
    hidden: str
    created_at: datetime = Field(sa_type=Moment)
    expires_at: datetime = Field(sa_type=Moment)
    due_at: datetime | None = Field(default=None, sa_type=Moment)
    reminded: int
    escalated_at: datetime | None = Field(default=None, sa_type=Moment)
    earlier_status: str | None = None
    earlier_at: datetime | None = Field(default=None, sa_type=Moment)
    ended_at: datetime | None = Field(default=None, sa_type=Moment)
    cancel_reason: str | None = None
    decided_at: datetime | None = Field(default=None, sa_type=Moment)
    use_from: datetime | None = Field(default=None, sa_type=Moment)
    use_by: datetime | None = Field(default=None, sa_type=Moment)
    release_token: str | None = None
    release_process: str | None = None
    sent_at: datetime | None = Field(default=None, sa_type=Moment)
    report_by: datetime | None = Field(default=None, sa_type=Moment)
    release_status: str | None = Field(default=None, sa_type=words(ReleaseStatus, "release_status"))
    release_detail: str | None = None
    finished_at: datetime | None = Field(default=None, sa_type=Moment)
    delivered: bool | None = None
    result_hash: str | None = None
    result_size: int | None = None
    erased: str | None = None
    detached: bool | None = None
    unnoticed: bool | None = None
    head_seq: int
    head_hash: str


class DecisionRow(Table, table=True):
    """One person's answer; `seq` is its place among the approval's decisions."""

    __tablename__ = "decisions"

    approval_id: str = Field(primary_key=True, foreign_key="approvals.id")
    seq: int = Field(primary_key=True)
    person: str
    answer: str = Field(sa_type=words(Answer, "answer"))
    reason: str | None = None
    channel: str
    assurance: str
    stages: str
    digest: str | None = None
    solo: bool
    at: datetime = Field(sa_type=Moment)


class ResultRow(Table, table=True):
    """What the tool answered, as JSON text, while it is kept."""

    __tablename__ = "results"

    approval_id: str = Field(primary_key=True, foreign_key="approvals.id")
    text: str


class EventRow(Table, table=True):
    """One audit event; its id is the id of the operation that wrote it, `seal` the number of the
    seal that covers it."""

    __tablename__ = "events"
    __table_args__ = (
        sa.UniqueConstraint("stream", "seq"),
        sa.Index("ix_events_seal_at", "seal", "at"),
        sa.Index("ix_events_at_id", "at", "id"),
    )

    id: str = Field(primary_key=True)
    stream: str
    seq: int
    previous: str
    protected: str
    hash: str
    type: str
    actor: str
    at: datetime = Field(sa_type=Moment)
    detail: str
    seal: int | None = None


class SealRow(Table, table=True):
    """A root over events, chained to the seal before it and keyed with the secret key `key`."""

    __tablename__ = "seals"

    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    previous: str
    root: str
    key: str
    events: int
    at: datetime = Field(sa_type=Moment)


class OutboxRow(Table, table=True):
    """Something a channel has to be told; `version` orders the rows of one approval.

    `event` is the type of the event that made it and `at` its time (null in rows of older
    versions); `tried` a JSON list of attempts, `body` the bytes that are sent each time, `unclear`
    how many attempts may have told it without our learning of it, `told_at` when it was told first.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        partial("ix_outbox_waiting_channel", "channel", "due_at", where="done_at is null"),
        partial("ix_outbox_given_up_at", "at", where="ended = 'given_up'"),
        sa.Index("ix_outbox_approval_id_channel", "approval_id", "channel"),
    )

    id: str = Field(primary_key=True)
    approval_id: str = Field(foreign_key="approvals.id")
    channel: str
    version: int
    kind: str = Field(sa_type=words(NoticeKind, "kind"))
    due_at: datetime = Field(sa_type=Moment)
    leased_until: datetime | None = Field(default=None, sa_type=Moment)
    attempts: int = 0
    done_at: datetime | None = Field(default=None, sa_type=Moment)
    error: str | None = None
    event: str | None = None
    at: datetime | None = Field(default=None, sa_type=Moment)
    ended: str | None = None
    tried: str | None = None
    unclear: int | None = None
    told_at: datetime | None = Field(default=None, sa_type=Moment)
    digested_at: datetime | None = Field(default=None, sa_type=Moment)
    body: str | None = None


class MessageRow(Table, table=True):
    """A message about an approval that a channel keeps and that can be changed."""

    __tablename__ = "messages"
    __table_args__ = (sa.Index("ix_messages_channel_at", "channel", "at"),)

    approval_id: str = Field(primary_key=True, foreign_key="approvals.id")
    receipt: str = Field(primary_key=True)
    channel: str
    at: datetime = Field(sa_type=Moment)


class ChannelRow(Table, table=True):
    """What all replicas know of a channel: an address at which it wants to be told nothing more
    (`closed`), which process works it off for now, and when the last digest was."""

    __tablename__ = "channels"

    channel: str = Field(primary_key=True)
    closed: str | None = None
    worker: str | None = None
    worked_until: datetime | None = Field(default=None, sa_type=Moment)
    digested_at: datetime | None = Field(default=None, sa_type=Moment)


class CounterRow(Table, table=True):
    """What has been charged to one counter in one window, in whole units of 10^-18 as text."""

    __tablename__ = "counters"

    key: str = Field(primary_key=True)
    starts_at: datetime = Field(primary_key=True, sa_type=Moment)
    ends_at: datetime = Field(sa_type=Moment, index=True)
    used: str


class ReservationRow(Table, table=True):
    """Who took how much of a counter: the id of an approval, or of a call's event."""

    __tablename__ = "reservations"

    holder: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    starts_at: datetime = Field(primary_key=True, sa_type=Moment)
    ends_at: datetime = Field(sa_type=Moment, index=True)
    amount: str


class FreezeRow(Table, table=True):
    """A freeze; in force until `ended_at`."""

    __tablename__ = "freezes"

    id: str = Field(primary_key=True)
    server: str | None = None
    agent: str | None = None
    reason: str
    person: str
    created_at: datetime = Field(sa_type=Moment)
    ended_at: datetime | None = Field(default=None, sa_type=Moment, index=True)


class DefinitionRow(Table, table=True):
    """A definition that a server showed of a tool; calls of it go on once `accepted_at` is set."""

    __tablename__ = "definitions"

    place: str = Field(primary_key=True)
    tool: str = Field(primary_key=True)
    hash: str = Field(primary_key=True)
    server: str
    entry: str
    seen_at: datetime = Field(sa_type=Moment)
    accepted_at: datetime | None = Field(default=None, sa_type=Moment)
    accepted_by: str | None = None


class ProcessRow(Table, table=True):
    """A running service; dead when `alive_until` has passed."""

    __tablename__ = "processes"

    id: str = Field(primary_key=True)
    started_at: datetime = Field(sa_type=Moment)
    alive_until: datetime = Field(sa_type=Moment, index=True)
    config_hash: str


class EpochRow(Table, table=True):
    """A number that goes up; whoever sees it differ does again what it stands for."""

    __tablename__ = "epochs"

    name: str = Field(primary_key=True)
    value: int


class KeyRow(Table, table=True):
    """A key of a person or of an agent, by its hash."""

    __tablename__ = "keys"

    id: str = Field(primary_key=True)
    sha256: str = Field(unique=True)
    person: str | None = None
    agent: str | None = None
    label: str
    created_at: datetime = Field(sa_type=Moment)
    revoked_at: datetime | None = Field(default=None, sa_type=Moment)


class SignInLinkRow(Table, table=True):
    """A link with which a person signs in once; `session` is the one it began."""

    __tablename__ = "sign_in_links"

    sha256: str = Field(primary_key=True)
    person: str
    expires_at: datetime = Field(sa_type=Moment)
    session: str | None = None


class SessionRow(Table, table=True):
    """A signed-in person, by the hash of what its cookie holds."""

    __tablename__ = "sessions"

    sha256: str = Field(primary_key=True)
    person: str
    created_at: datetime = Field(sa_type=Moment)
    expires_at: datetime = Field(sa_type=Moment)
    ended_at: datetime | None = Field(default=None, sa_type=Moment)


class StartingPersonRow(Table, table=True):
    """The one person of a deployment whose file names nobody."""

    __tablename__ = "starting_people"

    name: str = Field(primary_key=True)
    created_at: datetime = Field(sa_type=Moment)
