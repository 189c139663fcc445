"""/v1/keys: make, list, revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from approvals.api import bodies
from approvals.api.resources import key_resource
from approvals.api.routes import Operation, answer, person
from approvals.errors import InvalidInput
from approvals.wire import services

if TYPE_CHECKING:
    from starlette.requests import Request

ONLY = "Keys are made and revoked by people."


async def create_key(request: Request) -> Response:
    """Make a key. It is shown in this answer and never again."""
    by = await person(request, ONLY)
    body = await bodies.read(request, bodies.NewKey)
    agent = body.agent
    if body.server is not None:
        if agent is not None or body.person is not None:
            raise InvalidInput("A key belongs to one person or to one agent.")
        agent = f"{body.server}@{by.name}"
    record, key = await services(request).identity.create_key(
        by, person=body.person, agent=agent, label=body.label
    )
    known = services(request).rules.current.directory.agent(record.agent or "")
    servers = sorted(known.servers) if known else []
    return answer({**key_resource(record), "servers": servers, "key": key}, status=201)


async def list_keys(request: Request) -> Response:
    """All keys for an admin, else one's own and those of one's agents."""
    by = await person(request, ONLY)
    records = await services(request).identity.list_keys(by)
    return answer({"keys": [key_resource(record) for record in records]})


async def revoke_key(request: Request) -> Response:
    """End a key, on every replica within 5 s."""
    by = await person(request, ONLY)
    await services(request).identity.revoke_key(by, request.path_params["id"])
    return Response(status_code=204)


OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/keys",
        summary="Make a key",
        handler=create_key,
        body=bodies.NewKey,
        answers={201: "the key, shown once", 403: "forbidden", 404: "no such agent or person"},
        tags=("keys",),
    ),
    Operation(
        method="GET",
        path="/v1/keys",
        summary="List keys",
        handler=list_keys,
        answers={200: "keys without the keys themselves", 403: "forbidden"},
        tags=("keys",),
    ),
    Operation(
        method="DELETE",
        path="/v1/keys/{id}",
        summary="Revoke a key",
        handler=revoke_key,
        answers={204: "revoked", 403: "forbidden", 404: "no such key"},
        tags=("keys",),
    ),
)
