"""The tasks extension (SEP-2663) on the approval store: a held call is a task.

Its id is the approval's. Nothing is kept here, so it goes on after a restart and on every replica.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from mcp_types import CLIENT_CAPABILITIES_META_KEY, MISSING_REQUIRED_CLIENT_CAPABILITY

from approvals.domain.refusal import waiting_for
from approvals.domain.states import (
    Approved,
    CancelReason,
    Denied,
    Lapsed,
    Overdue,
    Pending,
    Released,
    Withdrawn,
)
from approvals.errors import StoreFailure
from approvals.gateway import messages
from approvals.gateway.hold import own_call

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from approvals.domain.states import Approval
    from approvals.domain.strictjson import Json
    from approvals.gateway.cancelling import Cancelling
    from approvals.gateway.hold import Ended, Hold
    from approvals.gateway.messages import Message
    from approvals.service.approvals import Approvals
    from approvals.service.identity import AgentPrincipal
    from approvals.service.release import Releases
    from approvals.service.rules import Rules

logger = logging.getLogger(__name__)

EXTENSION = "io.modelcontextprotocol/tasks"
METHODS = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})
POLL = timedelta(seconds=5)
OURS = "apr_"


def are_declared(message: Message) -> bool:
    """Whether this request says that its client can go on with a task."""
    said = message.meta.get(CLIENT_CAPABILITIES_META_KEY)
    extensions = said.get("extensions") if isinstance(said, dict) else None
    return message.is_modern and isinstance(extensions, dict) and EXTENSION in extensions


def is_ours(message: Message) -> bool:
    """Whether the request is about a task of the gateway; others are the server's."""
    task = message.params.get("taskId")
    return message.method in METHODS and isinstance(task, str) and task.startswith(OURS)


def offered(found: Mapping[str, Json]) -> dict[str, Json]:
    """The result of `server/discover` with what the gateway can do beside what the server can."""
    capabilities = found.get("capabilities")
    capabilities = capabilities if isinstance(capabilities, dict) else {}
    extensions = capabilities.get("extensions")
    extensions = extensions if isinstance(extensions, dict) else {}
    ours = {**capabilities, "extensions": {EXTENSION: {}, **extensions}}
    return {**found, "capabilities": ours}


class Tasks:
    """Answers for held calls as tasks."""

    def __init__(
        self,
        *,
        approvals: Approvals,
        releases: Releases,
        hold: Hold,
        cancelling: Cancelling,
        rules: Rules,
    ) -> None:
        self._approvals = approvals
        self._releases = releases
        self._hold = hold
        self._cancelling = cancelling
        self._rules = rules

    async def created(self, message: Message, approval: Approval) -> bytes:
        """What a call is answered with that is held from now on without its client."""
        said = {"resultType": "task", **_shared(approval), **await self._state(approval)}
        return messages.result(message, said)

    async def answer(self, message: Message, agent: AgentPrincipal, server: str) -> bytes:
        """The answer to `tasks/get`, `tasks/update` or `tasks/cancel`."""
        if not are_declared(message):
            needed: dict[str, Json] = {"extensions": {EXTENSION: {}}}
            return messages.error_body(
                message.id,
                {
                    "code": MISSING_REQUIRED_CLIENT_CAPABILITY,
                    "message": "Missing required client capability",
                    "data": {"requiredCapabilities": needed},
                },
            )
        approval = await own_call(self._approvals, agent, server, message.params["taskId"])
        if approval is None:
            text = "Failed to retrieve task: Task not found"
            return messages.error(message.id, messages.INVALID_PARAMS, text)
        if message.method == "tasks/get":
            return await self._got(message, approval)
        if message.method == "tasks/cancel":
            await self._cancelling.withdraw(agent, approval)
        return messages.result(message, {"resultType": "complete"})  # no input was asked for

    async def _got(self, message: Message, approval: Approval) -> bytes:
        said = {**_shared(approval), **await self._state(approval)}
        return messages.result(message, {"resultType": "complete", **said})

    async def _state(self, approval: Approval) -> dict[str, Json]:
        match approval.state:
            case Pending() | Approved() | Released(outcome=None):
                return self._working(approval)
            case Withdrawn(reason=CancelReason.CANCELLED):
                return {"status": "cancelled"}
        ended = await self._hold.outcome(approval)
        await self._given(ended)
        return _ended(ended)

    async def _given(self, ended: Ended) -> None:
        """A task may be asked for again and again; an identical call later runs anew."""
        state = ended.approval.state
        if not ended.has_outcome or not isinstance(state, Released) or state.outcome is None:
            return
        if not state.outcome.delivered:
            try:
                await self._releases.hand_over(ended.approval, _never())
            except StoreFailure:
                logger.exception("%s may be given again", ended.approval.id)

    def _working(self, approval: Approval) -> dict[str, Json]:
        match approval.state:
            case Pending():
                said = waiting_for(approval, *self._rules.current.telling)
            case Approved():
                said = f"Approved, and about to be sent ({approval.id})."
            case _:
                said = f"Approved and sent; its answer is awaited ({approval.id})."
        return {"status": "working", "statusMessage": said}


def _shared(approval: Approval) -> dict[str, Json]:
    """What a task says however it stands."""
    return {
        "taskId": approval.id,
        "createdAt": approval.created_at.isoformat(),
        "lastUpdatedAt": _changed_at(approval).isoformat(),
        "ttlMs": None,
        "pollIntervalMs": POLL // timedelta(milliseconds=1),
    }


def _never() -> asyncio.Future[None]:
    """Who asks for a task may ask again: that its client has gone loses nothing."""
    return asyncio.get_running_loop().create_future()


def _ended(ended: Ended) -> dict[str, Json]:
    """A refusal is a result too, which the model reads."""
    answer, refusal = ended.answer, ended.refusal
    if answer is not None and answer.error is not None:
        error = answer.error
        return {"status": "failed", "error": error, "statusMessage": "The server refused it."}
    if answer is not None:
        return {"status": "completed", "result": answer.result}
    assert refusal is not None  # noqa: S101 (Ended carries one or the other)
    return {"status": "completed", "result": messages.refusal_result(refusal, modern=True)}


def _changed_at(approval: Approval) -> datetime:
    state = approval.state
    match state:
        case Denied(at=at) | Overdue(at=at) | Withdrawn(at=at) | Lapsed(at=at):
            return at
        case Approved(decided_at=at):
            return at
        case Released(outcome=None, sent_at=at):
            return at
        case Released(outcome=outcome) if outcome is not None:
            return outcome.at
    return approval.created_at
