"""A client's answer to what a server asks: committed where it has to be, then passed on, whole.

In a task of its own: a client that leaves meanwhile must not leave the server waiting for an answer
that is recorded, or for one that nobody gives any more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from approvals.domain.strictjson import Json, canonical
from approvals.errors import StoreFailure
from approvals.gateway import messages
from approvals.gateway.messages import BadMessage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from approvals.gateway.messages import Message
    from approvals.ports import Give

    Reply = Callable[[Mapping[str, Json]], Awaitable[bool]]

_passing: set[asyncio.Task[bool]] = set()


async def pass_answer(message: Message, give: Give | None, reply: Reply) -> bool:
    """Whether it reached the server; `give` commits it first, `reply` answers the server.

    Raises BadMessage where it may not be given, and StoreFailure errors; the server is told that
    nobody answers.
    """
    task = asyncio.create_task(_pass(message, give, reply))
    _passing.add(task)
    task.add_done_callback(_passing.discard)
    return await asyncio.shield(task)


async def _pass(message: Message, give: Give | None, reply: Reply) -> bool:
    answer = {k: message.body[k] for k in ("result", "error") if k in message.body}
    try:
        may_be_given = give is None or await give(canonical(answer))
    except StoreFailure:
        await reply({"error": messages.NOT_ANSWERED})
        raise
    if not may_be_given:
        await reply({"error": messages.NOT_ANSWERED})
        raise BadMessage(messages.INVALID_REQUEST, messages.ASKED_BACK, status=409)
    return await reply(answer)
