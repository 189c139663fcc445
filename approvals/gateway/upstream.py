"""What the relay needs of a server, however it is reached."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from approvals.domain.strictjson import Number
from approvals.errors import Unavailable
from approvals.ports import Upstream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from approvals.domain.strictjson import Json
    from approvals.gateway.catalogue import Tool
    from approvals.gateway.messages import Message
    from approvals.outbound import Answer

LIST_TIMEOUT = timedelta(seconds=10)


class AnswerLost(Unavailable):
    """The request went out, and its answer did not come back whole: it may have been acted on."""


class Hears(Protocol):
    """The client that waits for an approved call, while it is being sent."""

    def heard(self, said: Mapping[str, Json]) -> bool:
        """Something that the server says meanwhile, a question perhaps; never waits. False: it does
        not reach the client."""
        ...


class ServerSide(Upstream, Protocol):
    """One server, on behalf of one request of one client."""

    def hear(self, hears: Hears) -> None:
        """Whoever waits for the approved call of this request."""
        ...

    async def takes_answer(self, message: Message) -> bool:
        """Whether this answers what the server asked while an approved call ran, and is passed on.

        Raises BadMessage when the rule does not let it.
        """
        ...

    @property
    def is_sending(self) -> bool:
        """Whether an approved call is running where answers of this client would reach it."""
        ...

    async def tool(self, name: str) -> Tool | None:
        """The server's entry for this tool; None when it lists no such tool."""
        ...

    async def tool_headers(self, tool: str, arguments: str) -> dict[str, str]:
        """The headers, by their lower-case names, in which the server wants to see arguments."""
        ...

    def forward(
        self, method: str, body: bytes, headers: Sequence[tuple[bytes, bytes]]
    ) -> AbstractAsyncContextManager[Answer]:
        """Pass the request on; the caller bounds the time it takes.

        Raises AnswerLost after it went out, other Unavailable errors before.
        """
        ...

    def check_session(self, answer: Answer) -> None:
        """Raise SessionLost when the server says that it does not know the session."""
        ...


def plainly(arguments: Mapping[str, Json]) -> dict[str, Json]:
    """Arguments with 1.0 as the integer it is, at any depth: no header is made of it otherwise."""
    return {name: _plain(value) for name, value in arguments.items()}


def _plain(value: Json) -> Json:
    if isinstance(value, dict):
        return plainly(value)
    if isinstance(value, Number) and value == value.to_integral_value():
        return int(value)
    return value
