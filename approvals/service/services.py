"""All use cases of one running service, put together by `app`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from approvals.ports import Clock, Hints, Meter, Store
    from approvals.ports.telling import Channels
    from approvals.service.approvals import Approvals
    from approvals.service.audit import Audit
    from approvals.service.caller import CallerReleases
    from approvals.service.definitions import Definitions
    from approvals.service.delivery import Deliveries
    from approvals.service.detached import Detached
    from approvals.service.freezes import Freezes
    from approvals.service.gate import Gate
    from approvals.service.identity import Identity
    from approvals.service.liveness import Liveness
    from approvals.service.news import News
    from approvals.service.overview import Overview
    from approvals.service.redelivery import Redelivery
    from approvals.service.release import Releases
    from approvals.service.retention import Retention
    from approvals.service.reveal import Reveals
    from approvals.service.rules import Rules
    from approvals.service.sign_in import SignIn
    from approvals.service.waiting import Waiting


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """What a surface may call. `interactions` takes Slack's clicks, where they come over HTTP."""

    rules: Rules
    store: Store
    clock: Clock
    identity: Identity
    approvals: Approvals
    gate: Gate
    waiting: Waiting
    news: News
    hints: Hints
    sign_in: SignIn
    reveals: Reveals
    releases: Releases
    caller: CallerReleases
    freezes: Freezes
    definitions: Definitions
    liveness: Liveness
    deliveries: Deliveries
    redelivery: Redelivery
    channels: Channels
    interactions: ASGIApp | None
    detached: Detached
    audit: Audit
    retention: Retention
    overview: Overview
    meter: Meter
