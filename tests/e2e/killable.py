"""A server that kills itself (SIGKILL) at a named point; started as a process by the tests.

`python -m tests.e2e.killable FOLDER PORT POINT`: POINT is `before:TYPE` or `after:TYPE`, where TYPE
is the audit event of an operation (parked, approved, sent, succeeded, …), or `never`; `stop:TYPE`
stops it there (SIGSTOP) until somebody lets it go on.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from approvals.app import create_app
from approvals.ports import (
    Accepting,
    Freezing,
    GiveBack,
    Record,
    Reserve,
    Sighting,
    Thawing,
    Urgency,
)
from approvals.service.waiting import Patience
from tests.e2e.deployment import settings_in

if TYPE_CHECKING:
    from approvals.ports import Answer, Operation, Store


class KillingStore:
    """The real store, and a kill -9 around one of its operations."""

    def __init__(self, store: Store, point: str) -> None:
        self._store = store
        self._when, _, self._type = point.partition(":")

    async def apply(
        self, operation: Operation, *, within: timedelta, urgency: Urgency = Urgency.PEOPLE
    ) -> Answer:
        hit = kind_of(operation) == self._type
        if hit and self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = await self._store.apply(operation, within=within, urgency=urgency)
        if hit and self._when in {"after", "stop"}:
            os.kill(os.getpid(), signal.SIGKILL if self._when == "after" else signal.SIGSTOP)
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def kind_of(operation: Operation) -> str:
    """The type of the operation's audit event; `reserved` and `given_back` have none."""
    match operation:
        case Reserve():
            return "reserved"
        case GiveBack():
            return "given_back"
        case Record() | Freezing() | Thawing() | Sighting() | Accepting():
            return operation.fact.type
    return operation.event.fact.type


def main() -> None:
    folder, port, point = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    settings = settings_in(
        folder, config=folder / "approvals.yaml", upstream_timeout=timedelta(seconds=20)
    )
    app = create_app(
        settings,
        patience=Patience(hold=timedelta(seconds=30)),
        wrap_store=lambda store: KillingStore(store, point),
    )
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
