"""How one request waits, chosen from what it declares (GATEWAY.md, "Five ways to wait")."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState

from approvals.domain.digest import sha256
from approvals.domain.directory import HOLD
from approvals.domain.refusal import waiting_for
from approvals.domain.strictjson import Json, canonical, parse
from approvals.gateway import messages
from approvals.gateway.messages import BadMessage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta

    from approvals.domain.states import Approval
    from approvals.gateway.messages import Message
    from approvals.gateway.response import Client
    from approvals.service.keyring import Keyring
    from approvals.service.rules import Rules
    from approvals.service.waiting import Patience

logger = logging.getLogger(__name__)

MAX_ROUNDS = 9
"""Of the ten that clients allow for one call."""
OURS = "approvals."
"""How a `requestState` of the gateway begins; others are the server's."""
NOT_OURS = "Invalid or expired requestState"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """How long this request is held, and what it is told meanwhile and then.

    `token` is the client's progress token. `round` counts the legs of a call of the 2026 era; None:
    there are none.
    """

    within: timedelta
    token: Json = None
    round: int | None = None

    @property
    def goes_on(self) -> bool:
        """Whether the client may be asked to come back for another leg."""
        return self.round is not None and self.round < MAX_ROUNDS


class Waits:
    """Chooses, and seals where a call of the 2026 era is with its legs."""

    def __init__(self, *, rules: Rules, keyring: Keyring, patience: Patience) -> None:
        self._rules = rules
        self._patience = patience
        keys = [found.partition(":")[2] for found in keyring.hashes("request-state", "key")]
        self._codec = AESGCMRequestStateCodec(keys)

    def of(self, message: Message, *, agent: str, server: str, streams: bool) -> Wait:
        """`streams`: the client takes events. Raises BadMessage for a state that was not given for
        this call to this agent."""
        known = self._rules.current.directory.agents.get(agent)
        hold = self._patience.hold or (known.hold if known else HOLD)
        token = message.meta.get("progressToken")
        if not streams or isinstance(token, bool) or not isinstance(token, str | int):
            token = None
        if message.is_modern:
            within = min(hold, self._patience.leg)
            round_ = self._round(message, agent=agent, server=server)
        else:
            within, round_ = hold, None
        if token is not None:
            within = self._patience.with_progress
        return Wait(within=within, token=token, round=round_)

    def next_leg(self, message: Message, wait: Wait, *, agent: str, server: str) -> bytes:
        """The end of a leg: the client asks again with this state, and waits on."""
        said = [agent, server, _about(message), (wait.round or 0) + 1]
        state = OURS + self._codec.seal(canonical(said).encode())
        return messages.result(message, {"resultType": "input_required", "requestState": state})

    def _round(self, message: Message, *, agent: str, server: str) -> int:
        """Which leg this is. A state of the server's own is not for us to read."""
        state = message.params.get("requestState")
        if not isinstance(state, str) or not state.startswith(OURS):
            return 1
        try:
            said = parse(self._codec.unseal(state.removeprefix(OURS)))
        except InvalidRequestState as error:
            logger.info("a requestState is refused: %s", error)
            raise BadMessage(messages.INVALID_PARAMS, NOT_OURS, status=200) from error
        match said:
            case [str(a), str(s), str(about), int(at)] if (a, s, about) == (
                agent,
                server,
                _about(message),
            ):
                return at
        raise BadMessage(messages.INVALID_PARAMS, NOT_OURS, status=200)

    @asynccontextmanager
    async def telling(self, wait: Wait, approval: Approval, client: Client) -> AsyncIterator[None]:
        """Tell a client that asked for it, every few seconds, that its call is still held."""
        if wait.token is None:
            yield
            return
        task = asyncio.create_task(self._tell(wait, approval, client))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _tell(self, wait: Wait, approval: Approval, client: Client) -> None:
        every = self._patience.progress_every.total_seconds()
        for done in range(int(wait.within.total_seconds() / every) + 1):
            said = waiting_for(approval, self._rules.current.zone)
            params = {"progressToken": wait.token, "progress": done + 1, "message": said}
            note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
            await client.tell(canonical(note).encode())
            await asyncio.sleep(every)


def is_ours(message: Message) -> bool:
    """Whether the request carries a state of the gateway, which is not for the server."""
    state = message.params.get("requestState")
    return isinstance(state, str) and state.startswith(OURS)


def _about(message: Message) -> str:
    """The call that a state belongs to."""
    return sha256(canonical([message.params.get("name"), message.params.get("arguments")]))
