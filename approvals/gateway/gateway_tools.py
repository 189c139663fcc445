"""`approval_wait` and `approval_status`, for agents whose entry says `gateway_tools: true`.

For clients that give up on a held call before people answer: the model asks for it by its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.domain.refusal import refusal_of
from approvals.domain.states import Pending, Released, ReleaseStatus
from approvals.errors import InvalidArguments
from approvals.gateway.hold import own_call

if TYPE_CHECKING:
    from approvals.domain.states import Approval
    from approvals.domain.strictjson import Json
    from approvals.service.approvals import Approvals
    from approvals.service.identity import AgentPrincipal
    from approvals.service.rules import Rules

WAIT = "approval_wait"
STATUS = "approval_status"
NAMES = frozenset({WAIT, STATUS})
_RAN = frozenset({ReleaseStatus.SUCCEEDED, ReleaseStatus.FAILED})


def _tool(name: str, description: str) -> dict[str, Json]:
    return {
        "name": name,
        "description": description,
        "inputSchema": {
            "type": "object",
            "properties": {
                "approval_id": {
                    "type": "string",
                    "description": "The id in the answer to the held call, such as apr_7f3k.",
                }
            },
            "required": ["approval_id"],
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": name == STATUS},
    }


TOOLS = (
    _tool(
        WAIT,
        "Go on waiting for a call that a person has to approve. Answers with the result of that "
        "call once it has run, or why it did not. It is never run twice.",
    ),
    _tool(STATUS, "Say how a call that a person has to approve stands, without waiting."),
)


class GatewayTools:
    """Finds the held call that such a tool is about."""

    def __init__(self, *, approvals: Approvals, rules: Rules) -> None:
        self._approvals = approvals
        self._rules = rules

    def offered_to(self, agent: str) -> bool:
        """Whether this agent has these tools beside those of its servers."""
        known = self._rules.current.directory.agents.get(agent)
        return known is not None and known.gateway_tools

    async def approval(
        self, arguments: dict[str, Json], agent: AgentPrincipal, server: str
    ) -> Approval:
        """The agent's own held call on this server. Raises InvalidArguments."""
        found = await own_call(self._approvals, agent, server, arguments.get("approval_id"))
        if found is None:
            raise InvalidArguments("`approval_id` is not the id of a held call of yours here.")
        return found

    def status(self, approval: Approval) -> dict[str, Json]:
        """How it stands, for the model."""
        state = approval.state
        release = state.release_status if isinstance(state, Released) else None
        said: dict[str, Json] = {"approval_id": approval.id, "status": str(approval.status)}
        if release is not None:
            said["release"] = str(release)
        if isinstance(state, Pending):
            said["expires_at"] = approval.expires_at.isoformat()
        return {
            "content": [{"type": "text", "text": self._sentence(approval, release)}],
            "structuredContent": said,
            "isError": False,
        }

    def _sentence(self, approval: Approval, release: ReleaseStatus | None) -> str:
        if release in _RAN:
            return (
                f"EXECUTED: the call was approved and ran ({release}). Its answer is given by "
                f"{WAIT}, or by sending exactly the same call again. ({approval.id})"
            )
        return refusal_of(approval, *self._rules.current.telling).message
