"""A client says that it does not want the answer to a held call any more."""

from __future__ import annotations

import logging
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain.strictjson import canonical
from approvals.errors import ApprovalsError, StoreFailure
from approvals.service.fields import fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.domain.states import Approval
    from approvals.domain.strictjson import Json
    from approvals.gateway.request import Request
    from approvals.service.approvals import Approvals
    from approvals.service.identity import AgentPrincipal
    from approvals.service.release import Releases

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Waiting:
    """One request for a call: what it is held by, once it is, and whether it is not wanted."""

    approval: Approval | None = None
    unwanted: bool = False


class Cancelling:
    """Knows which held call each request of this replica waits for.

    Requests have their ids from clients, and two clients of one agent without a session may use the
    same one: then nobody knows which is meant, and none is cancelled.
    """

    def __init__(self, *, approvals: Approvals, releases: Releases) -> None:
        self._approvals = approvals
        self._releases = releases
        self._waiting: defaultdict[str, list[Waiting]] = defaultdict(list)

    @contextmanager
    def known(self, request: Request) -> Iterator[Waiting]:
        """While inside, the client may cancel the call by the id of its request."""
        key = _key(request, request.message.id)
        waiting = Waiting()
        self._waiting[key].append(waiting)
        try:
            yield waiting
        finally:
            self._waiting[key].remove(waiting)
            if not self._waiting[key]:
                del self._waiting[key]

    async def held(self, request: Request, waiting: Waiting, approval: Approval) -> None:
        """From now on the request is held by this; one that was cancelled before withdraws it."""
        waiting.approval = approval
        if waiting.unwanted:
            await self.withdraw(request.agent, approval)

    async def cancelled(self, request: Request) -> bool:
        """Do what `notifications/cancelled` says; False: the server may have the request.

        One that was not sent is withdrawn for everybody who waits for it. Of one that was sent the
        server is told, and its answer is still kept. Raises StoreFailure when it is not withdrawn.
        """
        found = self._waiting.get(_key(request, request.message.params.get("requestId")), [])
        if len(found) != 1:
            return bool(found)
        waiting = found[0]
        waiting.unwanted = True
        if waiting.approval is None:
            return False
        await self.withdraw(request.agent, waiting.approval)
        return True

    async def withdraw(self, agent: AgentPrincipal, approval: Approval) -> None:
        """Withdraw what was not sent, else tell the server that nobody waits."""
        try:
            await self._approvals.cancel(agent, approval.id)
        except StoreFailure:
            raise
        except ApprovalsError as error:
            about = fields(approval)
            logger.info("%s is not withdrawn any more: %s", approval.id, error.code, extra=about)
            await self._releases.unwanted(approval.id)


def _key(request: Request, id_: Json) -> str:
    return canonical([request.agent.name, request.server.name, request.session, id_])
