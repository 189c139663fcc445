"""All routes against all roles: who may, and that nobody else can (SECURITY.md 13 and 21)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from approvals.api.document import OPERATIONS, openapi
from approvals.service.definitions import Shown
from approvals.web.routes import routes as pages
from tests.e2e.world import PEOPLE, World, world

pytestmark = pytest.mark.anyio

WHO = ("nobody", "wrong", "bot", "other", "dan", "alice", "bob", "carol")

# What each caller gets for each route. bot asked; alice owns bot; dan is an auditor only; bob and
# carol are approvers, carol is an admin too; `wrong` sends a key that does not exist.
EXPECTED: dict[str, dict[str, int]] = {
    "POST /v1/approvals": dict.fromkeys(WHO, 403) | {"bot": 201, "other": 201},
    "GET /v1/approvals": dict.fromkeys(WHO, 200),
    "GET /v1/approvals/{id}": dict.fromkeys(WHO, 200) | {"other": 404},
    "POST /v1/approvals/{id}/approve": dict.fromkeys(WHO, 403)
    | {"other": 404, "bob": 200, "carol": 200},
    "POST /v1/approvals/{id}/deny": dict.fromkeys(WHO, 403)
    | {"other": 404, "bob": 200, "carol": 200},
    "POST /v1/approvals/{id}/cancel": dict.fromkeys(WHO, 403)
    | {"other": 404, "bot": 200, "alice": 200, "carol": 200},
    **dict.fromkeys(
        ("POST /v1/approvals/{id}/revoke", "POST /v1/approvals/{id}/extend"),
        dict.fromkeys(WHO, 403) | {"other": 404, "bob": 200, "carol": 200},
    ),
    "POST /v1/approvals/{id}/escalate": dict.fromkeys(WHO, 403)
    | {"other": 404, "bob": 200, "carol": 200},
    "POST /v1/approvals/{id}/release": dict.fromkeys(WHO, 403) | {"other": 404, "bot": 200},
    "POST /v1/approvals/{id}/release/outcome": dict.fromkeys(WHO, 403) | {"other": 404, "bot": 200},
    "GET /v1/approvals/{id}/card": dict.fromkeys(WHO, 200) | {"bot": 403, "other": 403},
    "GET /v1/approvals/{id}/events": dict.fromkeys(WHO, 200) | {"bot": 403, "other": 403},
    "GET /v1/approvals/{id}/refusal": dict.fromkeys(WHO, 200) | {"other": 404},
    "GET /v1/events": dict.fromkeys(WHO, 200) | {"bot": 403, "other": 403},
    "POST /v1/tools": dict.fromkeys(WHO, 403) | {"bot": 200, "other": 200},
    "POST /v1/decisions": dict.fromkeys(WHO, 200) | {"bot": 403, "other": 403},
    "POST /v1/sign-in-links": dict.fromkeys(WHO, 201) | {"bot": 403, "other": 403},
    "GET /v1/freezes": dict.fromkeys(WHO, 200) | {"bot": 403, "other": 403},
    "POST /v1/freezes": dict.fromkeys(WHO, 403) | {"carol": 201},
    "DELETE /v1/freezes/{id}": dict.fromkeys(WHO, 403) | {"carol": 204},
    "GET /v1/deliveries": dict.fromkeys(WHO, 200) | {"bot": 403, "other": 403},
    "POST /v1/deliveries/redeliver": dict.fromkeys(WHO, 403) | {"carol": 200},
    "POST /v1/slack/test": dict.fromkeys(WHO, 403) | {"carol": 422},
    "GET /v1/definitions": dict.fromkeys(WHO, 200) | {"bot": 403, "other": 403},
    "POST /v1/definitions/accept": dict.fromkeys(WHO, 403) | {"carol": 200},
    "GET /v1/policies": dict.fromkeys(WHO, 200) | {"bot": 403, "other": 403},
    "POST /v1/policies/reload": dict.fromkeys(WHO, 403) | {"carol": 200},
    "POST /v1/policies/explain": dict.fromkeys(WHO, 200) | {"bot": 403, "other": 403},
    "POST /v1/keys": dict.fromkeys(WHO, 403) | {"alice": 201, "carol": 201},
    "GET /v1/keys": dict.fromkeys(WHO, 200) | {"bot": 403, "other": 403},
    "DELETE /v1/keys/{id}": dict.fromkeys(WHO, 404)
    | {"bot": 403, "other": 403, "alice": 204, "carol": 204},
    **dict.fromkeys(
        ("GET /v1/audit", "GET /v1/audit/verify", "GET /v1/audit/export"),
        dict.fromkeys(WHO, 403) | {"dan": 200, "carol": 200},
    ),
    "GET /healthz": dict.fromkeys(WHO, 200),
    "GET /readyz": dict.fromkeys(WHO, 200),
    "GET /metrics": dict.fromkeys(WHO, 200),
}
ESCALATING = {
    "approval": {"escalate": {"after": "10m", "approvers": ["person:dan"]}, "timeout": "15m"}
}
OPEN = {"GET /healthz", "GET /readyz", "GET /metrics"}


def test_the_table_names_every_route_that_is_documented() -> None:
    assert set(EXPECTED) == {f"{o.method} {o.path}" for o in OPERATIONS}


async def test_every_mounted_route_is_documented_and_every_documented_one_mounted(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        mounted = {
            (method, route.path)
            for route in w.app.router.routes
            for method in (getattr(route, "methods", None) or {"*"})
            if method != "HEAD"
        }
    plain = {("GET", "/errors/{code}"), ("*", "/mcp/{server}"), ("GET", "/openapi.json")}
    plain |= {("POST", "/slack/interactions")}
    plain |= {(method, route.path) for route in pages() for method in route.methods or ()}
    documented = {
        (method.upper(), path) for path, item in openapi()["paths"].items() for method in item
    }
    assert mounted - plain == documented


@pytest.mark.parametrize("route", EXPECTED)
async def test_each_role_may_do_exactly_what_the_table_says(tmp_path: Path, route: str) -> None:
    async with world(tmp_path, more=ESCALATING) as w:
        w.keys["nobody"], w.keys["wrong"] = "", "agt_wrong"
        for who, expected in EXPECTED[route].items():
            if route not in OPEN and who in {"nobody", "wrong"}:
                expected = 401
            response = await knock(w, route, who)
            assert response == expected, (route, who)


async def knock(w: World, route: str, who: str) -> int:  # noqa: C901, PLR0912 (a table)
    """Call the route on a fresh approval of bot, or a fresh key of bot."""
    method, path = route.split(" ")
    body: Any = None
    if path == "/v1/approvals" and method == "POST":
        body = {"server": "up", "tool": "act", "arguments": {"what": who}}
    elif "approvals/{id}" in path:
        approval = await w.parked({"what": f"{who} {path}"})
        path = path.replace("{id}", approval["id"])
        body = await prepared(w, path, approval)
    elif path == "/v1/decisions":
        approval = await w.parked({"what": f"{who} {path}"})
        body = [{"approval_id": approval["id"], "decision": "deny"}]
    elif path == "/v1/tools":
        body = {"server": "up", "tools": ["act", "hidden_act"]}
    elif path == "/v1/events":
        return await first_status(w, path, who)
    elif path == "/v1/freezes" and method == "POST":
        body = {"agent": "outsider", "reason": "test"}
    elif path == "/v1/freezes/{id}":
        asked = {"agent": "outsider", "reason": "test"}
        made = await w.rest("POST", "/v1/freezes", by="carol", json_body=asked)
        path = f"/v1/freezes/{made.json()['id']}"
    elif path == "/v1/definitions/accept":
        body = await changed_definition(w)
    elif path == "/v1/deliveries/redeliver":
        found = await w.parked({"what": f"{who} {path}"})
        told = await w.rest("GET", f"/v1/deliveries?approval={found['id']}", by="carol")
        body = {"id": told.json()["deliveries"][0]["id"]}
    elif path == "/v1/slack/test":
        body = {"channel": "#trading"}
    elif path == "/v1/policies/explain":
        body = {"approval_id": (await w.parked({"what": f"{who} {path}"}))["id"]}
    elif path == "/v1/keys" and method == "POST":
        body = {"agent": "bot", "label": "x"}
    elif path == "/v1/keys/{id}":
        made = await w.rest("POST", "/v1/keys", by="carol", json_body={"agent": "bot"})
        path = f"/v1/keys/{made.json()['id']}"
    return (await w.rest(method, path, by=who, json_body=body)).status_code


async def first_status(w: World, path: str, who: str) -> int:
    """The status of an answer that goes on."""
    url = w.people_url if who in PEOPLE else w.url
    key = {"authorization": f"Bearer {w.keys[who]}"} if w.keys[who] else {}
    async with w.http.stream("GET", f"{url}{path}", headers=key) as response:
        return response.status_code


async def changed_definition(w: World) -> dict[str, str]:
    """The body that accepts a definition which waits."""
    up = w.services.rules.current.servers["up"]
    for hash_ in ("sha256:1", "sha256:2"):
        await w.services.definitions.see(up, [Shown(tool="act", hash=hash_, entry="{}")])
    return {"server": "up", "tool": "act", "hash": "sha256:2"}


async def prepared(w: World, path: str, approval: dict[str, Any]) -> Any:
    """The body for a route of one approval, which is first brought to where the route works."""
    token = {"release_token": "a token of the program".replace(" ", "-")}
    if path.endswith("/approve"):
        return {"digest": approval["digest"]}
    if path.endswith("/extend"):
        return {"until": approval["requirement"]["latest_deadline"]}
    if "/release" not in path:
        return {}
    await w.approve(approval)
    taking = {**token, "digest": approval["digest"]}
    if path.endswith("/release"):
        return taking
    path = f"/v1/approvals/{approval['id']}/release"
    assert (await w.rest("POST", path, by="bot", json_body=taking)).status_code == 200
    return {**token, "status": "succeeded"}
