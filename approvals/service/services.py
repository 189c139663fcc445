"""All use cases of one running service, put together by `app`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from approvals.domain.rulebook import Rulebook
    from approvals.ports import Clock, Store
    from approvals.service.approvals import Approvals
    from approvals.service.delivery import Deliveries
    from approvals.service.gate import Gate
    from approvals.service.identity import Identity
    from approvals.service.release import Releases
    from approvals.service.waiting import Waiting


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """What a surface may call."""

    rulebook: Rulebook
    store: Store
    clock: Clock
    identity: Identity
    approvals: Approvals
    gate: Gate
    waiting: Waiting
    releases: Releases
    deliveries: Deliveries
