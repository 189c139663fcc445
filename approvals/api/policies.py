"""/v1/policies: what is in force, read again, explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.api import bodies
from approvals.api.routes import Operation, answer, person
from approvals.domain.policy.explain import explained
from approvals.errors import Forbidden, InvalidInput
from approvals.wire import services

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from approvals.domain.policy.model import Policy

ONLY = "Policies are looked at by people."


async def list_policies(request: Request) -> Response:
    """The policies in force, by the hash that verdicts and audit events name."""
    await person(request, ONLY)
    rulebook = services(request).rules.current
    return answer(
        {
            "configuration": rulebook.hash,
            "problems": list(services(request).rules.problems),
            "policies": [
                *(_policy(name, None, server.policy) for name, server in rulebook.servers.items()),
                *(_policy(name, by, own) for (by, name), own in rulebook.overrides.items()),
            ],
        }
    )


def _policy(server: str, agent: str | None, policy: Policy) -> dict[str, object]:
    """A policy of a server, or of one agent alone on it."""
    return {"server": server, "agent": agent, "name": policy.name, "hash": policy.hash}


async def reload(request: Request) -> Response:
    """Read approvals.yaml and its policies again: all of it, or nothing of it."""
    by = await person(request, ONLY)
    if not by.is_admin:
        raise Forbidden("Only an admin reloads the configuration.")
    await bodies.read(request, bodies.Nothing)
    rulebook = await services(request).liveness.reload()
    return answer({"configuration": rulebook.hash})


async def explain(request: Request) -> Response:
    """How the call of an approval would be judged now, rule by rule; changes nothing."""
    by = await person(request, ONLY)
    body = await bodies.read(request, bodies.Explain)
    use = services(request)
    approval = await use.approvals.get(by, body.approval_id)
    if approval.erased is not None:
        raise InvalidInput("The arguments of this call are no longer kept.")
    lines = explained(use.rules.current, approval.call, now=use.clock.now())
    return answer(
        {
            "approval_id": approval.id,
            "parked_by": {"rule": approval.rule, "policy": approval.policy_hash},
            "lines": lines,
        }
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/policies",
        summary="List policies",
        handler=list_policies,
        answers={200: "what is in force", 403: "forbidden"},
        tags=("policies",),
    ),
    Operation(
        method="POST",
        path="/v1/policies/reload",
        summary="Read the configuration again",
        handler=reload,
        body=bodies.Nothing,
        answers={
            200: "loaded",
            403: "forbidden",
            422: "configuration_invalid: nothing has changed",
        },
        tags=("policies",),
    ),
    Operation(
        method="POST",
        path="/v1/policies/explain",
        summary="Explain a verdict",
        handler=explain,
        body=bodies.Explain,
        answers={
            200: "rule by rule",
            403: "forbidden",
            404: "no such approval",
            422: "its arguments are no longer kept",
        },
        tags=("policies",),
    ),
)
