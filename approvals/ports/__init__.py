"""What the service needs of the world; docstrings are the contract, tests/contracts proves it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from approvals.domain.states import Approval, Erasure, Parking, Transition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    from approvals.domain.audit import StoredEvent
    from approvals.domain.call import Call
    from approvals.domain.chain import Event, Fact
    from approvals.domain.definitions import Accepted, Definition, Pin
    from approvals.domain.freeze import Freeze
    from approvals.domain.limits import Charge
    from approvals.domain.record import StoredApproval, StoredResult
    from approvals.domain.risk import Level
    from approvals.domain.seal import Seal
    from approvals.domain.states import Status
    from approvals.domain.strictjson import Json
    from approvals.ports.telling import Delivery


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """An event of a call that was not parked; the store links it into its process's stream.

    `reserves` is taken in the same write, or nothing is written; `runs` is the server and agent of
    a call that may run now: nothing is written while a freeze covers it.
    """

    stream: str
    fact: Fact
    reserves: tuple[Charge, ...] = ()
    runs: tuple[str, str] | None = None

    @property
    def op_id(self) -> str:
        return self.fact.id


@dataclass(frozen=True, kw_only=True, slots=True)
class Reserve:
    """Room on counters for one call. Asked again by the same holder in the same windows it is the
    same reservation; it is given back by the holder's `finish` with `not_sent`."""

    holder: str
    charges: tuple[Charge, ...]

    @property
    def op_id(self) -> str:
        return self.holder


@dataclass(frozen=True, kw_only=True, slots=True)
class GiveBack:
    """The call of this holder did not go out: its room on the counters is free again."""

    holder: str

    @property
    def op_id(self) -> str:
        return self.holder


@dataclass(frozen=True, kw_only=True, slots=True)
class Freezing:
    """A freeze begins, with its event."""

    freeze: Freeze
    stream: str
    fact: Fact

    @property
    def op_id(self) -> str:
        return self.fact.id


@dataclass(frozen=True, kw_only=True, slots=True)
class Thawing:
    """A freeze ends, with its event. Conflict: there is none of this id in force."""

    freeze_id: str
    stream: str
    fact: Fact

    @property
    def op_id(self) -> str:
        return self.fact.id


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """A server shows definitions that are not known, with the event of it.

    Those that are accepted are of tools of which nothing was known; Conflict: something is known of
    one by now. The others wait, each in the place of the one of its tool that waited before;
    Conflict: that definition is known by now.
    """

    definitions: tuple[Definition, ...]
    stream: str
    fact: Fact

    @property
    def op_id(self) -> str:
        return self.fact.id


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepting:
    """A definition that waits is accepted, with its event. Conflict: it does not wait."""

    place: str
    tool: str
    hash: str
    accepted: Accepted
    stream: str
    fact: Fact

    @property
    def op_id(self) -> str:
        return self.fact.id


Alone = Freezing | Thawing | Sighting | Accepting
"""What is seldom and is written one after the other."""
Operation = Parking | Transition | Erasure | Record | Reserve | GiveBack | Alone


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """All of the operation is committed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """Nothing of it is: the approval is not at the version it was read at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TooLate:
    """Nothing of it is: by the database's clock, `now` is outside the transition's window."""

    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Duplicate:
    """Nothing of it is: `existing_id` is an open approval of the same call."""

    existing_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Frozen:
    """Nothing of it is: a freeze covers the call."""

    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Full:
    """Nothing of it is: this counter has no room left in its window."""

    charge: Charge


@dataclass(frozen=True, kw_only=True, slots=True)
class TooMany:
    """Nothing of it is: as many calls of the agent wait as may."""

    most: int


Answer = Applied | Conflict | TooLate | Duplicate | Frozen | Full | TooMany


@dataclass(frozen=True, kw_only=True, slots=True)
class ListFilter:
    """Which approvals a list shows; None and empty mean all."""

    statuses: frozenset[Status] = frozenset()
    agent: str | None = None
    server: str | None = None
    tool: str | None = None
    risk: Level | None = None
    limit: int = 50
    max_bytes: int = 2 * 1024 * 1024
    after: tuple[datetime, str] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some approvals, youngest first, and whether there are older ones."""

    approvals: Sequence[Approval]
    more: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class EventFilter:
    """Which events are told, by time; None means all. `after` is the time and id of the last one
    that was told before."""

    stream: str | None = None
    type: str | None = None
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    newest_first: bool = False
    limit: int = 50
    after: tuple[datetime, str] | None = None


@dataclass(frozen=True, slots=True)
class Stray:
    """A row without what it belongs to."""

    table: str
    row: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """The calls that wait for people: how many, and since when the one that waits longest."""

    pending: int
    oldest: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRecord:
    """A key as it is kept: never the key itself, only its hash. Exactly one of the two owners."""

    id: str
    sha256: str
    person: str | None
    agent: str | None
    label: str
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRecord:
    """A signed-in person, as it is kept."""

    person: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """One running service on this database, and the configuration it has loaded."""

    id: str
    config_hash: str


class Urgency(IntEnum):
    """What is written first when much waits."""

    PEOPLE = 0
    """Somebody waits for it."""
    DEADLINES = 1
    """It is to be recorded within a second."""
    JOBS = 2


class Clock(Protocol):
    """The database's clock."""

    def now(self) -> datetime:
        """The time, aware, UTC."""
        ...


class Ids(Protocol):
    """Mints what must not be guessed or met twice."""

    def approval(self) -> str:
        """`apr_…`."""
        ...

    def event(self) -> str:
        """`evt_…`."""
        ...

    def freeze(self) -> str:
        """`frz_…`."""
        ...

    def token(self) -> str:
        """A release token."""
        ...


class Store(Protocol):
    """The queue and the truth. All or nothing, and never in doubt (ARCHITECTURE.md, "Storage").

    `apply` answers only after a durable commit. It raises Overloaded or Unavailable when the
    operation is definitely not applied, and Undetermined when no definite answer came within
    `within`. Cancelling the caller abandons the wait, not the operation. Two operations on one
    approval are applied one after the other; one that fails harms no other. Submitting the same
    operation again answers Applied and changes nothing.
    """

    async def apply(
        self, operation: Operation, *, within: timedelta, urgency: Urgency = Urgency.PEOPLE
    ) -> Answer:
        """Commit `operation`; what is more urgent goes first."""
        ...

    async def approval(self, approval_id: str) -> Approval | None:
        """The newest committed version."""
        ...

    async def latest(self, identities: Sequence[str]) -> Approval | None:
        """The youngest approval that has one of these identities."""
        ...

    async def last_run(self, identities: Sequence[str], *, since: datetime) -> Approval | None:
        """The youngest one of these identities whose release ended since then, other than
        `not_sent`."""
        ...

    async def versions(self, approval_ids: Collection[str]) -> Mapping[str, int]:
        """The newest version of each."""
        ...

    async def page(self, filter_: ListFilter) -> Page:
        """At most `limit` approvals, and no more than have `max_bytes` of arguments, but one."""
        ...

    async def backlog(self) -> Backlog:
        """The pending approvals, also those past their deadline that are not recorded as ended."""
        ...

    async def overdue(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        """Pending past their deadline and approved past their use_by, oldest first."""
        ...

    async def renew(self, process: str, *, config_hash: str, lasts: timedelta) -> int:
        """Keep `process` alive for `lasts` from now; the number of reloads asked for so far."""
        ...

    async def leave(self, process: str) -> None:
        """`process` has ended: it sends nothing any more."""
        ...

    async def processes(self, *, now: datetime) -> Sequence[Process]:
        """All that live, oldest first."""
        ...

    async def ask_reload(self) -> int:
        """Ask every process to read its file again; the number of times that was asked."""
        ...

    async def orphans(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        """Releases of the gateway without an outcome whose process does not live."""
        ...

    async def detached(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        """Approved and detached, and to be sent by now: oldest first."""
        ...

    async def being_sent(self, *, limit: int) -> Sequence[Approval]:
        """Releases without an outcome, of this service and of programs."""
        ...

    async def unreported(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        """Releases of programs that had to tell by now how they went, and did not."""
        ...

    async def to_remind(self, *, now: datetime, limit: int) -> Sequence[Approval]:
        """Pending approvals of which people are to be told again, or more people."""
        ...

    async def full(self, charges: Sequence[Charge], *, holder: str | None = None) -> Charge | None:
        """The first of these for which there is no room now; nothing is taken.

        What `holder` has reserved already needs no more room.
        """
        ...

    async def drop_counters(self, *, before: datetime) -> None:
        """Forget counters whose window ended before."""
        ...

    async def freeze_of(self, *, server: str, agent: str) -> Freeze | None:
        """A freeze that covers calls of this agent on this server now."""
        ...

    async def freezes(self) -> Sequence[Freeze]:
        """All freezes in force, youngest first."""
        ...

    async def pins(self, place: str) -> Sequence[Pin]:
        """What is known of the definitions that were seen at this place."""
        ...

    async def definitions(self, place: str, tools: Sequence[str]) -> Sequence[Definition]:
        """All that are known of these tools, of each tool the youngest first."""
        ...

    async def events(self, approval_id: str) -> Sequence[Event]:
        """The approval's stream, in order."""
        ...

    async def erasable(self, *, before: datetime, limit: int) -> Sequence[Approval]:
        """Approvals that ended before then and are not erased, oldest first."""
        ...

    async def seal(
        self, root_of: Callable[[Seal | None, Sequence[str], datetime], Seal], *, limit: int
    ) -> Seal | None:
        """Seal at most `limit` events that have no seal, the oldest first; None: there are none.

        One write: `root_of` is given the newest seal, the hashes of these events and the database's
        time; its seal is inserted and its number set on exactly these events. One sealer at a time,
        over all processes: who comes second finds the first one's seal as the newest. An event that
        is committed meanwhile waits for the next seal. Done again after a lost answer it seals what
        is left.
        """
        ...

    async def result(self, approval_id: str) -> str | None:
        """The stored result text, where one was stored."""
        ...

    async def unnoticed(self, *, before: datetime, limit: int) -> Sequence[Approval]:
        """Pending since before then, of which no people were told by any channel, and which are
        not marked so: the log counts only where it is the only channel."""
        ...

    @property
    def unreadable(self) -> int:
        """How many approvals could not be read since the start; they are left out of lists."""
        ...

    async def ping(self) -> None:
        """Raise Unavailable when the database does not answer."""
        ...


class AuditStore(Protocol):
    """Reading of everything that the audit is made of, in pages, as it stands in the database.

    A row that cannot be read is told as such, and stops nothing.
    """

    async def streams(self, *, after: tuple[str, int] | None, limit: int) -> Sequence[StoredEvent]:
        """Events by stream, in whatever order names have here, and by number; those after one."""
        ...

    async def timeline(self, filter_: EventFilter) -> Sequence[StoredEvent]:
        """Events by time, and those of one moment by id."""
        ...

    async def stored(self, approval_ids: Sequence[str]) -> Sequence[StoredApproval]:
        """Some of these approvals, each with its decisions at one moment: no more than have 8 MiB
        of text, but one if any is there."""
        ...

    async def results(self, approval_ids: Sequence[str]) -> Mapping[str, StoredResult]:
        """What is stored of the results of these approvals."""
        ...

    async def seals(self, *, after: int, limit: int) -> Sequence[tuple[int, Seal | None]]:
        """Seals by number, those after one; None: it cannot be read."""
        ...

    async def sealed(self, first: int, last: int, *, limit: int) -> Sequence[tuple[int, str]]:
        """Seal number and hash of the events under these seals, by number."""
        ...

    async def complete_seal(self, *, full: int) -> Seal | None:
        """The newest seal over fewer than `full` events: it left none over."""
        ...

    async def unsealed(self, *, before: datetime, limit: int) -> Sequence[StoredEvent]:
        """Events without a seal that are older than that, oldest first."""
        ...

    async def under(self, first: int, last: int, *, limit: int) -> Sequence[StoredEvent]:
        """Events that name a seal with one of these numbers, by number."""
        ...

    async def strays(self, *, limit: int) -> Sequence[Stray]:
        """Approvals without events, and decisions and results without an approval: at most `limit`
        of each."""
        ...


class KeyStore(Protocol):
    """Keys and the starting person, who exist whatever the file says."""

    async def add_key(self, record: KeyRecord) -> None:
        """Keep a new key."""
        ...

    async def key(self, sha256: str) -> KeyRecord | None:
        """The key with this hash, revoked or not."""
        ...

    async def keys(self) -> Sequence[KeyRecord]:
        """All keys, youngest first."""
        ...

    async def key_by_id(self, key_id: str) -> KeyRecord | None:
        """The key with this id, revoked or not."""
        ...

    async def revoke_key(self, key_id: str, *, at: datetime) -> bool:
        """Whether there was such a key that was not revoked before."""
        ...

    async def starting_person(self) -> str | None:
        """The one person of a deployment whose file names nobody."""
        ...

    async def set_starting_person(self, name: str, *, at: datetime) -> None:
        """Keep the starting person."""
        ...


class SessionStore(Protocol):
    """Sign-in links and the sessions they begin. Only hashes are kept of either; times are the
    database's."""

    async def add_link(self, sha256: str, *, person: str, lasts: timedelta) -> datetime:
        """Keep a link that works once and for so long; when it ends. What ended a day ago is
        dropped."""
        ...

    async def sign_in(self, link: str, *, session: str, lasts: timedelta) -> SessionRecord | None:
        """Use the link with this hash up and begin a session of this hash, in one write.

        None: there is no such link, it was used by another session, or its time is over.
        """
        ...

    async def session(self, sha256: str) -> SessionRecord | None:
        """The session with this hash, unless it was ended or its time is over."""
        ...

    async def end_session(self, sha256: str) -> bool:
        """Whether there was such a session that had not been ended before."""
        ...

    async def forget(self) -> None:
        """No link and no session works any more."""
        ...


class Signals(Protocol):
    """Hints that something changed. May lose messages: whoever waits also polls."""

    def changed(self, approval_id: str, version: int) -> None:
        """Tell everybody who waits for this approval that it is at `version` now."""
        ...


class Hints(Signals, Protocol):
    """Signals between the replicas of one deployment."""

    @property
    def state(self) -> str:
        """How what happens on other replicas is learned now, in words."""
        ...

    @property
    def listening(self) -> bool | None:
        """Whether hints of other replicas come in; None where none are sent."""
        ...

    @property
    def lost(self) -> int:
        """How many hints other replicas were not sent, since the start."""
        ...

    async def close(self) -> None:
        """Send and hear nothing more."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """The upstream answered: the JSON text of its result or error, and whether it is an error."""

    result: dict[str, Json] | None
    error: dict[str, Json] | None
    is_error: bool
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class NotSent:
    """Not one byte of the call left this machine."""

    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unanswered:
    """The call went out and no readable answer came back: it may have run."""

    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Asks:
    """The server wants input of the client before it goes on, and waits for nothing: the result
    with its questions, as the 2026 era has it."""

    result: dict[str, Json]


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """A client's answers to such questions, with the state that the server gave for them."""

    responses: Json
    state: str | None


SendOutcome = Answered | NotSent | Unanswered | Asks
Give: TypeAlias = "Callable[[str], Awaitable[bool]]"
"""Commits an answer of the client, before it may be passed on; False: it may not."""


class Upstream(Protocol):
    """One server, reached on behalf of one waiting request. Never sends a call twice."""

    async def definition_hash(self, tool: str) -> str | None:
        """What the server says of the tool now; None when it does not list it.

        Raises Unavailable when the server cannot be asked.
        """
        ...

    async def prepare(
        self, tool: str, arguments: str, given: Given | None = None, *, asks: bool
    ) -> None:
        """Make the one request ready, so that sending it needs nothing but the socket; `given`: one
        more, with answers to what the server asked in the one before. Without `asks` the server is
        told that this client can be asked nothing."""
        ...

    async def send(self, give: Give | None) -> SendOutcome:
        """Send exactly one `tools/call`, as prepared. Without `give` the client is asked nothing:
        what the server asks is refused."""
        ...

    async def unwanted(self) -> None:
        """Tell the server that nobody waits for the call that is being sent. Never raises.

        Where the only way to say so would give up the answer, nothing is said.
        """
        ...


class OwnUpstream(Upstream, Protocol):
    """The same for a call that no request waits for."""

    async def end(self) -> None:
        """Let go of what was opened for it. Never raises."""
        ...


class Again(StrEnum):
    """Why a group of writes was submitted once more."""

    LOST = "lost"
    """The connection to the database broke."""
    COLLIDED = "collided"
    """Another replica's writes stood in the way."""
    SPLIT = "split"
    """One of them failed, and was looked for by writing fewer at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What the database says at `at`; every replica says the same of it."""

    at: datetime
    backlog: Backlog
    freezes: int
    processes: int
    configurations: int
    """How many different ones the processes have loaded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How things stand now; `kept` is None while the database does not answer."""

    kept: Kept | None
    file_loads: bool
    unreadable: int
    listening: bool | None
    hints_lost: int


class WriteMeter(Protocol):
    """What an engine counts. Never waits, never fails; called from any thread."""

    def committed(self, operation: Operation, *, at: datetime) -> None:
        """The operation is in the database, by its clock since `at`; told once for each."""
        ...

    def flushed(self, *, operations: int, took: timedelta) -> None:
        """A group of writes was committed."""
        ...

    def again(self, why: Again) -> None:
        """A group of writes is submitted once more."""
        ...


class Meter(WriteMeter, Protocol):
    """Counts for the operator; keeps no value of an argument and no name that a caller made up."""

    def told(self, delivery: Delivery, *, at: datetime) -> None:
        """The channel has it."""
        ...

    def not_told(self, delivery: Delivery) -> None:
        """The channel does not have it yet."""
        ...

    def job(self, name: str) -> Callable[[], None]:
        """What counts a failure of this job; from now on the job is shown, with none."""
        ...

    def exposition(self, standing: Standing) -> bytes:
        """Everything counted so far and how things stand, as Prometheus reads it."""
        ...


class Step(StrEnum):
    """What a call goes through, as traces name it."""

    GATE = "gate"
    HOLD = "hold"
    DECIDE = "decide"
    RELEASE = "release"
    SEND = "send"


class Span(Protocol):
    """One step in a trace. Told names and ids only."""

    def call(self, call: Call) -> None:
        """It is about this call."""
        ...

    def approval(self, approval: Approval) -> None:
        """It is about this approval, which stands so now."""
        ...


class Tracer(Protocol):
    """Shows where the time of one call went."""

    def span(self, step: Step) -> AbstractContextManager[Span]:
        """The step lasts as long as the context; what is done inside belongs to it."""
        ...
