"""The OpenAPI document, made from the operations that are mounted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from approvals import __version__
from approvals.api import (
    approvals,
    audit,
    batch,
    definitions,
    deliveries,
    freezes,
    health,
    keys,
    metrics,
    policies,
    reading,
    releases,
    sign_in,
    steering,
    tools,
)
from approvals.api.routes import JSON

if TYPE_CHECKING:
    from approvals.api.routes import Operation

OPERATIONS = (
    *approvals.OPERATIONS,
    *reading.OPERATIONS,
    *batch.OPERATIONS,
    *steering.OPERATIONS,
    *releases.OPERATIONS,
    *tools.OPERATIONS,
    *freezes.OPERATIONS,
    *definitions.OPERATIONS,
    *deliveries.OPERATIONS,
    *policies.OPERATIONS,
    *keys.OPERATIONS,
    *sign_in.OPERATIONS,
    *audit.OPERATIONS,
    *health.OPERATIONS,
    *metrics.OPERATIONS,
)

_PROBLEM = {
    "type": "object",
    "required": ["type", "code", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "code": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
}


def openapi() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "approvals", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "summary": operation.summary,
        "description": operation.handler.__doc__,
        "tags": list(operation.tags),
        "parameters": _parameters(operation),
        "responses": {
            str(status): _response(status, when, operation.media_type)
            for status, when in _all(operation)
        },
    }
    if operation.body is not None:
        schema = operation.body.model_json_schema()
        described["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    if operation.secured:
        described["security"] = [{"key": []}]
    return described


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    placed = [
        *[("path", name) for name in re.findall(r"\{(\w+)\}", operation.path)],
        *[("query", name) for name in operation.query],
        *[("header", name) for name in operation.headers],
    ]
    return [
        {"in": place, "name": name, "required": place == "path", "schema": {"type": "string"}}
        for place, name in placed
    ]


def _all(operation: Operation) -> list[tuple[int, str]]:
    common: dict[int, str] = {}
    if operation.secured:
        common |= {401: "unauthenticated", 503: "overloaded, unavailable, undetermined"}
    if operation.body is not None:
        common |= {400: "invalid_json", 413: "body_too_large"}
    return sorted({**common, **operation.answers}.items())


def _response(status: int, when: str, media_type: str) -> dict[str, Any]:
    if status in {204, 304}:
        return {"description": when}
    if status >= 400:  # noqa: PLR2004
        schema: dict[str, Any] = {"$ref": "#/components/schemas/Problem"}
        return {"description": when, "content": {"application/problem+json": {"schema": schema}}}
    kind = "object" if media_type == JSON else "string"
    return {"description": when, "content": {media_type: {"schema": {"type": kind}}}}
