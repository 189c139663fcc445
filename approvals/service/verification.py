"""Is the whole audit what was written? Read in pages, checked beside the event loop.

Memory does not grow with the database. A service may go on writing meanwhile: what was being
changed while it was read is read again before anything is said of it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

from approvals.domain.audit import Finding, Stream, followed, seal_findings, wrong_event
from approvals.domain.record import StoredApproval, StoredResult, record_findings
from approvals.domain.states import Released

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from approvals.domain.audit import StoredEvent
    from approvals.domain.seal import Keys, Seal
    from approvals.ports import AuditStore, Stray

T = TypeVar("T")

SEALED_AT_ONCE = 10_000
"""Events under one seal at most: one with fewer left none over. It may only grow."""
SEALED_WITHIN = timedelta(minutes=1)
"""An event without a seal is no finding before the newest complete seal is that much younger."""
MAX_FINDINGS = 100
PAGE = 1000
APPROVALS = 100
MAX_RESULTS = 8 * 1024 * 1024
TRIES = 5
BEFORE_ALL = -(2**31)
_NO_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What was looked at, and what is wrong with it: the first findings by time, of `found`."""

    events: int
    approvals: int
    seals: int
    unsealed: int
    newest: Seal | None
    findings: tuple[Finding, ...]
    found: int


async def verified(store: AuditStore, keys: Keys) -> Verified:
    """Check every event, seal, approval, decision and result there is."""
    return await _Verification(store, keys).run()


@dataclass(slots=True)
class _Found:
    """All findings counted, the first ones kept."""

    count: int = 0
    kept: list[Finding] = field(default_factory=list)

    def add(self, findings: Sequence[Finding]) -> None:
        self.count += len(findings)
        self.kept += findings
        if len(self.kept) > 2 * MAX_FINDINGS:
            self.kept = list(self.first())

    def first(self) -> tuple[Finding, ...]:
        return tuple(sorted(self.kept, key=_order)[:MAX_FINDINGS])


def _order(finding: Finding) -> tuple[datetime, str, int]:
    return (finding.at or _NO_TIME, finding.stream or "", finding.seq or 0)


class _Verification:
    """One run."""

    def __init__(self, store: AuditStore, keys: Keys) -> None:
        self._store = store
        self._keys = keys
        self._found = _Found()
        self._events = self._approvals = self._seals = self._unsealed = 0

    async def run(self) -> Verified:
        await self._check_streams()
        for stray in await self._store.strays(limit=MAX_FINDINGS):
            self._found.add([_astray(stray)])
        newest = await self._check_seals()
        await self._check_unsealed()
        return Verified(
            events=self._events,
            approvals=self._approvals,
            seals=self._seals,
            unsealed=self._unsealed,
            newest=newest,
            findings=self._found.first(),
            found=self._found.count,
        )

    async def _check_streams(self) -> None:
        """Every event in its stream, and every approval that has a stream."""
        after: tuple[str, int] | None = None
        current: Stream | None = None
        ended: list[Stream] = []
        while page := await self._store.streams(after=after, limit=PAGE):
            after = (page[-1].stream, page[-1].seq)
            self._events += len(page)
            self._unsealed += sum(1 for event in page if event.seal is None)
            *done, current = await asyncio.to_thread(_follow, current, page)
            ended += done
            while len(ended) >= APPROVALS:
                await self._check_ended(ended[:APPROVALS])
                del ended[:APPROVALS]
        if current is not None:
            ended.append(current)
        await self._check_ended(ended)

    async def _check_ended(self, streams: Sequence[Stream]) -> None:
        calls = [stream for stream in streams if _is_call(stream.name)]
        for stream in streams:
            if not _is_call(stream.name):
                self._found.add(stream.findings)
        while calls:
            stored = {one.id: one for one in await self._store.stored([c.name for c in calls])}
            some = [stream for stream in calls if stream.name in stored] or calls
            calls = [stream for stream in calls if stream not in some]
            results = await self._results(stored.values())
            self._approvals += len(stored)
            for doubtful in await asyncio.to_thread(self._doubtful, some, stored, results):
                self._found.add(await self._again(doubtful))

    async def _results(self, approvals: Iterable[StoredApproval]) -> dict[str, StoredResult]:
        """What is stored of their results, as many at once as the rows say is not too much."""
        results: dict[str, StoredResult] = {}
        for group in _groups([(one.id, _result_size(one)) for one in approvals], MAX_RESULTS):
            results |= await self._store.results(group)
        return results

    def _doubtful(
        self,
        streams: Sequence[Stream],
        stored: Mapping[str, StoredApproval],
        results: Mapping[str, StoredResult],
    ) -> list[str]:
        """The names of those streams in which something is wrong, or was being changed."""
        return [
            stream.name
            for stream in streams
            if self._wrong(stream, stored.get(stream.name), results.get(stream.name))
        ]

    def _wrong(
        self, stream: Stream, stored: StoredApproval | None, result: StoredResult | None
    ) -> list[Finding]:
        if stored is None:
            at = stream.last.at if stream.last else None
            missing = Finding(
                table="approvals",
                row=stream.name,
                what="is missing; its events are there",
                stream=stream.name,
                seq=stream.seq,
                at=at,
            )
            return [*stream.findings, missing]
        said = record_findings(stored, stream, result=result, keys=self._keys)
        return [*stream.findings, *said]

    async def _again(self, name: str) -> list[Finding]:
        """The findings of an approval that did not change while it was read; none, if it goes on
        changing."""
        before = await self._store.stored([name])
        for _ in range(TRIES):
            stream = await self._stream(name)
            results = await self._store.results([name])
            after = await self._store.stored([name])
            if before == after:
                return self._wrong(stream, after[0] if after else None, results.get(name))
            before = after
        return []

    async def _stream(self, name: str) -> Stream:
        stream = Stream(name=name)
        after = (name, BEFORE_ALL)
        while True:
            page = await self._store.streams(after=after, limit=PAGE)
            for stored in page:
                if stored.stream != name:
                    return stream
                stream = followed(stream, stored)
            if not page:
                return stream
            after = (name, page[-1].seq)

    async def _check_seals(self) -> Seal | None:
        """Every seal, and that its events are those it was made of; the newest one."""
        newest: Seal | None = None
        number = BEFORE_ALL
        while page := await self._next_seals(number):
            self._seals += len(page)
            readable = [seal for _, seal in page if seal is not None]
            for group in _groups([(seal, seal.events) for seal in readable], SEALED_AT_ONCE):
                hashes = await self._hashes(group)
                for seal in group:
                    of = hashes.get(seal.number, [])
                    self._found.add(seal_findings(seal, newest, of, self._keys))
                    newest = seal
            for found, known in page:
                if found > number + 1:
                    self._found.add(_without_seal(await self._under(number + 1, found - 1)))
                number = found
                if known is None:
                    self._found.add([_unreadable(found)])
        return newest

    async def _next_seals(self, number: int) -> Sequence[tuple[int, Seal | None]]:
        """The seals after this one; where there are none, no event names one.

        Of a seal that is made meanwhile the events may be seen first.
        """
        page = await self._store.seals(after=number, limit=PAGE)
        if not page and (loose := await self._under(number + 1, -BEFORE_ALL - 1)):
            page = await self._store.seals(after=number, limit=PAGE)
            if not page:
                self._found.add(_without_seal(loose))
        return page

    async def _under(self, first: int, last: int) -> Sequence[StoredEvent]:
        return await self._store.under(first, last, limit=MAX_FINDINGS)

    async def _hashes(self, seals: Sequence[Seal]) -> dict[int, list[str]]:
        """The hashes of the events under some seals."""
        limit = min(sum(max(seal.events, 0) for seal in seals), SEALED_AT_ONCE) + 1
        rows = await self._store.sealed(seals[0].number, seals[-1].number, limit=limit)
        if len(rows) == limit and len(seals) > 1:  # too many under one would hide those of the next
            alone = [await self._hashes([seal]) for seal in seals]
            return {number: found for one in alone for number, found in one.items()}
        return {
            number: [hash_ for _, hash_ in of]
            for number, of in groupby(rows, key=lambda row: row[0])
        }

    async def _check_unsealed(self) -> None:
        """Where a complete seal left nothing over, no older event can be without one."""
        complete = await self._store.complete_seal(full=SEALED_AT_ONCE)
        if complete is None:
            return
        before = complete.at - SEALED_WITHIN
        for event in await self._store.unsealed(before=before, limit=MAX_FINDINGS):
            what = f"has no seal, and seal {complete.number} is younger"
            self._found.add([wrong_event(event, what)])


def _follow(current: Stream | None, page: Sequence[StoredEvent]) -> list[Stream]:
    """The streams of a page, the first one going on where the last page ended."""
    streams = [current] if current else []
    for stored in page:
        if not streams or streams[-1].name != stored.stream:
            streams.append(Stream(name=stored.stream))
        streams[-1] = followed(streams[-1], stored)
    return streams


def _groups(sized: Iterable[tuple[T, int]], most: int) -> Iterator[list[T]]:
    """In order, as many together as have no more than `most` in all, but at least one."""
    group: list[T] = []
    total = 0
    for one, size in sized:
        if group and total + size > most:
            yield group
            group, total = [], 0
        group.append(one)
        total += size
    if group:
        yield group


def _result_size(stored: StoredApproval) -> int:
    state = stored.approval.state if stored.approval else None
    outcome = state.outcome if isinstance(state, Released) else None
    return (outcome.result_size or 0) if outcome else 0


def _is_call(stream: str) -> bool:
    return stream.startswith("apr_")


def _without_seal(events: Sequence[StoredEvent]) -> list[Finding]:
    return [wrong_event(event, f"names seal {event.seal}, which is missing") for event in events]


def _unreadable(number: int) -> Finding:
    return Finding(table="seals", row=str(number), what="cannot be read")


_ASTRAY = {
    "approvals": "has no events",
    "decisions": "is of no approval",
    "results": "is of no approval",
}


def _astray(stray: Stray) -> Finding:
    """The finding about a row that stands alone; all of these are named by an approval's id."""
    return Finding(table=stray.table, row=stray.row, what=_ASTRAY[stray.table], stream=stray.row)
