"""The audit: sealed every few seconds, told to auditors, verified, exported."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from approvals.domain.directory import Role
from approvals.domain.seal import sealed
from approvals.errors import Forbidden
from approvals.ports import EventFilter
from approvals.service.identity import PersonPrincipal, Principal
from approvals.service.verification import SEALED_AT_ONCE, Verified, verified

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from approvals.domain.audit import StoredEvent
    from approvals.domain.seal import Seal
    from approvals.ports import AuditStore, Clock, Store
    from approvals.service.keyring import Keyring

logger = logging.getLogger(__name__)

PAGE = 1000


class Audit:
    """What was written, for those who may look at it. Reading changes nothing."""

    def __init__(self, *, store: Store, audit: AuditStore, keyring: Keyring, clock: Clock) -> None:
        """`keyring` has the current key first, and every older one that made a seal."""
        self._store = store
        self._audit = audit
        self._keyring = keyring
        self._clock = clock

    async def seal_due(self) -> int:
        """Seal every event that has no seal; how many there were.

        The log names each root: one that stands elsewhere than in the database shows when the
        newest seals are taken away.
        """
        total = 0
        while seal := await self._store.seal(self._sealed, limit=SEALED_AT_ONCE):
            logger.info(
                "sealed %d events as number %d under root %s", seal.events, seal.number, seal.root
            )
            total += seal.events
            if seal.events < SEALED_AT_ONCE:
                break
        return total

    async def page(self, by: Principal, filter_: EventFilter) -> Sequence[StoredEvent]:
        """Events by time. Raises Forbidden for all but auditors and admins."""
        _check(by)
        return await self._audit.timeline(filter_)

    async def export(
        self, by: Principal, *, since: datetime | None, until: datetime | None
    ) -> AsyncIterator[Sequence[StoredEvent]]:
        """Every event of a time, oldest first, in pages; until now, if no end is named.

        The first page is read before this answers, so that what is refused is refused here.
        """
        filter_ = EventFilter(since=since, until=until or self._clock.now(), limit=PAGE)
        return self._pages(filter_, await self.page(by, filter_))

    async def verified(self, by: Principal) -> Verified:
        """Whether everything is what was written. Raises Forbidden as above."""
        _check(by)
        return await verified(self._audit, self._keyring)

    async def _pages(
        self, filter_: EventFilter, page: Sequence[StoredEvent]
    ) -> AsyncIterator[Sequence[StoredEvent]]:
        while page:
            yield page
            last = page[-1]
            if last.at is None or len(page) < filter_.limit:
                return
            page = await self._audit.timeline(replace(filter_, after=(last.at, last.id)))

    def _sealed(self, newest: Seal | None, hashes: Sequence[str], at: datetime) -> Seal:
        return sealed(newest, hashes, at=at, keyed=lambda text: self._keyring.hash("seal", text))


def _check(by: Principal) -> None:
    if not isinstance(by, PersonPrincipal) or not by.roles & {Role.AUDITOR, Role.ADMIN}:
        raise Forbidden("The audit is read by auditors and admins.")
