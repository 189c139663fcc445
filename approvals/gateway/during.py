"""What a server says over HTTP while an approved call runs there, before it answers.

Notes go to the client that waits. A question goes to it only where the rule says `allow_input`,
under an id of ours; everything else that the server asks is refused at once, so that it does not
wait.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from approvals.gateway import messages
from approvals.gateway.sessions import Question

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from approvals.domain.strictjson import Json
    from approvals.gateway.sessions import Busy
    from approvals.gateway.upstream import Hears
    from approvals.ports import Give

    Reply = Callable[[Json, Mapping[str, Json]], Awaitable[bool]]

MAX_REPLIES = 100


class During:
    """One request of the gateway's own on its way, in one session."""

    def __init__(
        self,
        id_: str,
        *,
        where: str,
        busy: Busy,
        hears: Hears | None,
        give: Give | None,
        reply: Reply,
    ) -> None:
        """`where` is the session; `reply` goes to the server. Without `give` nobody is asked."""
        self._id = id_
        self._where = where
        self._busy = busy
        self._hears = hears
        self._give = give
        self._reply = reply
        self._replies: set[asyncio.Future[bool]] = set()

    def said(self, said: Mapping[str, Json]) -> None:
        """A message of the server that is not the answer; never waits."""
        method, params = said.get("method"), said.get("params")
        params = params if isinstance(params, dict) else {}
        if not isinstance(method, str):
            return
        if "id" in said:
            self._asked(said, method)
        elif method == "notifications/cancelled":
            ours = self._busy.asked_as(self, params.get("requestId"))
            if ours is not None:
                self._busy.asked(self._where, ours)
                self._heard({**said, "params": {**params, "requestId": ours}})
        elif method != messages.PROGRESS or params.get("progressToken") == self._id:
            self._heard(said)

    def over(self) -> None:
        """The answer is there: questions need none any more."""
        self._busy.forget(self)

    def _asked(self, said: Mapping[str, Json], method: str) -> None:
        if method == "ping":
            self._reply_soon(said["id"], {"result": {}})
        elif not self._ask(said):
            self._reply_soon(said["id"], {"error": messages.NOT_ANSWERED})

    def _ask(self, said: Mapping[str, Json]) -> bool:
        if self._give is None:
            return False
        question = Question(id=said["id"], owner=self, give=self._give)
        ours = self._busy.ask(self._where, question)
        if ours is None:
            return False
        if self._heard({**said, "id": ours}):
            return True
        self._busy.asked(self._where, ours)
        return False

    def _heard(self, said: Mapping[str, Json]) -> bool:
        return self._hears is not None and self._hears.heard(said)

    def _reply_soon(self, id_: Json, said: Mapping[str, Json]) -> None:
        """Apart from the reading of the answer, which must not wait for it."""
        if len(self._replies) < MAX_REPLIES:
            task = asyncio.ensure_future(self._reply(id_, said))
            self._replies.add(task)
            task.add_done_callback(self._replies.discard)
