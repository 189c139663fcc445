"""A client says that it does not want the answer to a held call any more."""

from __future__ import annotations

import logging
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from approvals.domain.strictjson import canonical
from approvals.errors import ApprovalsError
from approvals.service.fields import fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.domain.states import Approval
    from approvals.domain.strictjson import Json
    from approvals.gateway.request import Request
    from approvals.service.approvals import Approvals
    from approvals.service.release import Releases

logger = logging.getLogger(__name__)


class Cancelling:
    """Knows which held call each request of this replica waits for.

    Requests have their ids from clients, and two clients of one agent without a session may use the
    same one: then nobody knows which is meant, and none is cancelled.
    """

    def __init__(self, *, approvals: Approvals, releases: Releases) -> None:
        self._approvals = approvals
        self._releases = releases
        self._held: defaultdict[str, list[Approval]] = defaultdict(list)

    @contextmanager
    def known(self, request: Request, approval: Approval) -> Iterator[None]:
        """While inside, the client may cancel the call by the id of its request."""
        key = _key(request, request.message.id)
        self._held[key].append(approval)
        try:
            yield
        finally:
            self._held[key].remove(approval)
            if not self._held[key]:
                del self._held[key]

    async def cancelled(self, request: Request) -> bool:
        """Do what `notifications/cancelled` says; False: it is about no held call.

        One that was not sent is withdrawn for everybody who waits for it. Of one that was sent the
        server is told, and its answer is still kept.
        """
        held = self._held.get(_key(request, request.message.params.get("requestId")), [])
        if len(held) != 1:
            return bool(held)
        approval = held[0]
        try:
            await self._approvals.cancel(request.agent, approval.id)
        except ApprovalsError as error:
            about = fields(approval)
            logger.info("%s is not withdrawn any more: %s", approval.id, error.code, extra=about)
            await self._releases.unwanted(approval.id)
        return True


def _key(request: Request, id_: Json) -> str:
    return canonical([request.agent.name, request.server.name, request.session, id_])
