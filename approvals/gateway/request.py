"""One request of an agent to one server, as the relay handles it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.gateway.waits import is_ours

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from approvals.domain.rulebook import Server
    from approvals.gateway.messages import Message
    from approvals.gateway.response import Client
    from approvals.gateway.upstream import ServerSide
    from approvals.service.identity import AgentPrincipal


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request of an agent to one server.

    `said` are the headers that repeat arguments; `left` is done once the client has gone;
    `streams`: it takes events; `still` raises once its key is revoked; `passing` counts what takes
    a connection.
    """

    agent: AgentPrincipal
    server: Server
    message: Message
    upstream: ServerSide
    headers: Sequence[tuple[bytes, bytes]]
    said: Mapping[str, str]
    session: str | None
    left: asyncio.Future[None]
    streams: bool
    still: Callable[[], Awaitable[object]]
    passing: Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A whole response."""

    body: bytes
    status: int = 200


async def through(
    request: Request,
    client: Client,
    headers: Sequence[tuple[bytes, bytes]] | None = None,
) -> None:
    """Pass the message on, and the answer back, each as it comes."""
    message = request.message
    body = (message.without("requestState") if is_ours(message) else message).rewritten
    with request.passing():
        async with request.upstream.forward("POST", body, headers or request.headers) as answer:
            await client.pass_on(answer)
