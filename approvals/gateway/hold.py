"""Hold a call: until somebody decides, until it has run, or until this request's time is over."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from approvals.domain.refusal import (
    Refusal,
    refusal_of,
    too_large_to_keep,
    unreachable,
    unreadable,
)
from approvals.domain.states import (
    Approval,
    Approved,
    Pending,
    Released,
    ReleaseStatus,
)
from approvals.domain.strictjson import Json, parse
from approvals.errors import StoreFailure
from approvals.gateway.catalogue import SessionLost
from approvals.ports import Answered

if TYPE_CHECKING:
    from datetime import timedelta

    from approvals.ports import Store, Upstream
    from approvals.service.release import Releases
    from approvals.service.waiting import Waiting


logger = logging.getLogger(__name__)

STOPPING = "The service is stopping."


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What this request is answered with: the tool's own answer, or a refusal."""

    approval: Approval
    answer: Answered | None = None
    refusal: Refusal | None = None
    known: bool = True

    @property
    def has_outcome(self) -> bool:
        """Whether this tells how a release ended, which only one client is to be told."""
        state = self.approval.state
        return self.known and isinstance(state, Released) and state.outcome is not None


class Hold:
    """One held request at a time; the approval is the truth, this only waits on it."""

    def __init__(
        self, *, store: Store, waiting: Waiting, releases: Releases, longest: timedelta
    ) -> None:
        self._store = store
        self._waiting = waiting
        self._releases = releases
        self._longest = longest

    async def until_ended(self, approval: Approval, upstream: Upstream) -> Ended:
        """Wait for the decision, start the release, wait for the outcome."""
        try:
            async with asyncio.timeout(self._longest.total_seconds()):
                return await self._follow(approval, upstream)
        except TimeoutError:
            return await self.outcome(await self._newest(approval))
        except SessionLost:
            raise
        except StoreFailure:  # whatever became of it, the same call again finds it
            logger.exception("%s cannot be followed", approval.id)
            return self._refusal(approval)

    async def outcome(self, approval: Approval) -> Ended:
        """What an approval answers as it stands: a stored result, or a refusal in words."""
        state = approval.state
        if not isinstance(state, Released):
            return self._refusal(approval)
        ran = {ReleaseStatus.SUCCEEDED, ReleaseStatus.FAILED}
        if state.release_status in ran and state.outcome and state.outcome.result_hash:
            try:
                text = await self._store.result(approval.id)
            except StoreFailure:
                return Ended(approval=approval, refusal=unreadable(approval), known=False)
            if text is None:
                return Ended(approval=approval, refusal=too_large_to_keep(approval))
            return Ended(approval=approval, answer=_read(text, state.release_status))
        return self._refusal(approval)

    async def _follow(self, approval: Approval, upstream: Upstream) -> Ended:
        while True:
            approval = await self._waiting.until(approval.id, _moves, within=self._longest)
            match approval.state:
                case Pending() if self._waiting.stopping:
                    return self._refusal(approval)
                case Pending():
                    continue
                case Approved() if self._waiting.stopping:
                    return Ended(approval=approval, refusal=unreachable(approval, STOPPING))
                case Approved():
                    if ended := await self._send(approval, upstream):
                        return ended
                case Released(outcome=None) if self._waiting.stopping:
                    return self._refusal(approval)
                case Released(outcome=None):
                    await self._waiting.until(approval.id, _has_ended, within=self._longest)
                case Released():
                    return await self.outcome(approval)
                case _:
                    return self._refusal(approval)

    async def _send(self, approval: Approval, upstream: Upstream) -> Ended | None:
        """Start or join the release; None: somebody else has it, read again."""
        sending = self._releases.start(approval, upstream)
        if sending is None:
            return Ended(approval=approval, refusal=unreachable(approval, STOPPING))
        either: set[asyncio.Future[Any]] = {sending, self._waiting.stopped}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            return self._refusal(await self._newest(approval))
        try:
            release = sending.result()
        except SessionLost:
            raise
        except StoreFailure as error:
            return Ended(approval=approval, refusal=unreachable(approval, str(error)))
        if isinstance(release.approval.state, Approved):
            return Ended(approval=approval, refusal=unreachable(approval, STOPPING))
        if release.answer and (release.answer.result or release.answer.error):
            return Ended(approval=release.approval, answer=release.answer)
        return None

    def _refusal(self, approval: Approval) -> Ended:
        return Ended(approval=approval, refusal=refusal_of(approval))

    async def _newest(self, approval: Approval) -> Approval:
        return await self._store.approval(approval.id) or approval


def _moves(approval: Approval) -> bool:
    return not isinstance(approval.state, Pending)


def _has_ended(approval: Approval) -> bool:
    return not approval.is_open


def _read(text: str, status: ReleaseStatus) -> Answered:
    stored = parse(text.encode("utf-8"))
    assert isinstance(stored, dict)  # noqa: S101 (release wrote it)
    result, error = stored.get("result"), stored.get("error")
    return Answered(
        result=_object(result),
        error=_object(error),
        is_error=status is ReleaseStatus.FAILED,
    )


def _object(value: Json) -> dict[str, Json] | None:
    return value if isinstance(value, dict) else None
