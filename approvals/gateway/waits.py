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
from approvals.gateway.telling import Telling
from approvals.ports import Given

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta

    from approvals.domain.states import Approval
    from approvals.gateway.messages import Message
    from approvals.gateway.response import Client
    from approvals.ports import Asks
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
class Answers:
    """A client comes back with answers to what the server asked, when the approval was at the
    version `asked_at`."""

    approval_id: str
    asked_at: int
    given: Given


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """How long this request is held, and what it is told meanwhile and then.

    `token` is the client's progress token. `round` counts the legs of a call of the 2026 era; None:
    there are none. `streams`: it takes events. `answers`: the server's questions are answered with.
    """

    within: timedelta
    token: Json = None
    round: int | None = None
    streams: bool = False
    answers: Answers | None = None

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
        token = message.progress_token if streams else None
        if message.is_modern:
            within = min(hold, self._patience.leg)
            round_, answers = self._leg(message, agent=agent, server=server)
        else:
            within, round_, answers = hold, None, None
        if token is not None:
            within = self._patience.with_progress
        return Wait(within=within, token=token, round=round_, streams=streams, answers=answers)

    def next_leg(self, message: Message, wait: Wait, *, agent: str, server: str) -> bytes:
        """The end of a leg: the client asks again with this state, and waits on."""
        state = self._state(message, wait, [], agent=agent, server=server)
        return messages.result(message, {"resultType": "input_required", "requestState": state})

    def question(
        self, message: Message, wait: Wait, approval: Approval, asks: Asks, *, server: str
    ) -> bytes:
        """The end of a leg with what the server asks: the client comes back with its answers."""
        theirs = asks.result.get("requestState")
        more: list[Json] = [approval.id, approval.version, theirs]
        state = self._state(message, wait, more, agent=approval.call.agent, server=server)
        return messages.result(message, {**asks.result, "requestState": state})

    def _state(
        self, message: Message, wait: Wait, more: list[Json], *, agent: str, server: str
    ) -> str:
        said: list[Json] = [agent, server, _about(message), (wait.round or 0) + 1, *more]
        return OURS + self._codec.seal(canonical(said).encode())

    def _leg(self, message: Message, *, agent: str, server: str) -> tuple[int, Answers | None]:
        """Which leg this is, and what it answers. A state of the server's own is not for us to
        read."""
        state = message.params.get("requestState")
        if not isinstance(state, str) or not state.startswith(OURS):
            return 1, None
        try:
            said = parse(self._codec.unseal(state.removeprefix(OURS)))
        except InvalidRequestState as error:
            logger.info("a requestState is refused: %s", error)
            raise BadMessage(messages.INVALID_PARAMS, NOT_OURS, status=200) from error
        ours = [agent, server, _about(message)]
        match said:
            case [*place, int(at)] if place == ours:
                return at, None
            case [*place, int(at), str(id_), int(version), theirs] if place == ours:
                given = Given(
                    responses=message.params.get("inputResponses"),
                    state=theirs if isinstance(theirs, str) else None,
                )
                return at, Answers(approval_id=id_, asked_at=version, given=given)
        raise BadMessage(messages.INVALID_PARAMS, NOT_OURS, status=200)

    @asynccontextmanager
    async def telling(
        self, wait: Wait, approval: Approval, client: Client
    ) -> AsyncIterator[Telling | None]:
        """Tell a client that takes events what the server says while its call is sent, and one that
        asked for it, every few seconds, that the call is still held. None: it takes no events."""
        if not wait.streams:
            yield None
            return
        telling = Telling(
            client,
            token=wait.token,
            note=lambda: waiting_for(approval, *self._rules.current.telling),
            every=self._patience.progress_every,
        )
        task = asyncio.create_task(telling.run())
        try:
            yield telling
            await telling.finish()
        finally:
            telling.close()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def is_ours(message: Message) -> bool:
    """Whether the request carries a state of the gateway, which is not for the server."""
    state = message.params.get("requestState")
    return isinstance(state, str) and state.startswith(OURS)


def _about(message: Message) -> str:
    """The call that a state belongs to."""
    return sha256(canonical([message.params.get("name"), message.params.get("arguments")]))
