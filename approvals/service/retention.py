"""Forget what was asked and answered when it has been kept for long enough.

The record of it stays: who asked which tool, who decided and when, and keyed hashes of what is
gone, so that the chain still verifies and a copy kept elsewhere can be compared.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from approvals.domain import approval as machine
from approvals.ports import Applied, Urgency
from approvals.service.waiting import MAX_RESULT_WAIT

if TYPE_CHECKING:
    from datetime import timedelta

    from approvals.domain.states import Approval
    from approvals.ports import Clock, Ids, Signals, Store
    from approvals.service.keyring import Keyring

logger = logging.getLogger(__name__)

PURPOSE = "erased"
"""What the keyed hashes of erased texts are made for."""
AT_ONCE = 100


class Retention:
    """Erases the arguments and results of calls that ended long ago."""

    def __init__(
        self,
        *,
        store: Store,
        keyring: Keyring,
        clock: Clock,
        ids: Ids,
        signals: Signals,
        keep: timedelta,
    ) -> None:
        """`keep`: how long after its end a call's arguments and result are there."""
        self._store = store
        self._keyring = keyring
        self._clock = clock
        self._ids = ids
        self._signals = signals
        self._keep = keep

    async def erase_due(self) -> int:
        """Erase a batch at a time until nothing is left; how many approvals it were."""
        total = 0
        while True:
            before = self._clock.now() - self._keep
            due = await self._store.erasable(before=before, limit=AT_ONCE)
            erased = sum(await asyncio.gather(*(self._erase(approval) for approval in due)))
            total += erased
            if len(due) < AT_ONCE or not erased:
                break
        if total:
            logger.info("erased the arguments of %d approvals", total)
        return total

    async def _erase(self, approval: Approval) -> bool:
        texts = machine.what_is_erased(approval)
        erasure = machine.erase(
            approval,
            hashes={name: self._keyring.hash(PURPOSE, text) for name, text in texts.items()},
            now=self._clock.now(),
            event_id=self._ids.event(),
        )
        answer = await self._store.apply(erasure, within=MAX_RESULT_WAIT, urgency=Urgency.JOBS)
        if isinstance(answer, Applied):
            self._signals.changed(approval.id, erasure.after.version)
        return isinstance(answer, Applied)
