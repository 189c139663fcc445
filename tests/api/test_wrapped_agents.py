"""Agents that people wrap around a server: by name and owner alone, over REST alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.world import PEOPLE, World, policy, world

pytestmark = pytest.mark.anyio


async def wrapped(w: World, server: str = "mine", *, by: str = "bob") -> str:
    """A key of the agent that `by` wraps around a server; its name is the person's to use."""
    made = await w.rest("POST", "/v1/keys", by=by, json_body={"server": server})
    assert made.status_code == 201, made.text
    assert made.json()["agent"] == f"{server}@{by}"
    w.keys[f"{server}@{by}"] = made.json()["key"]
    return f"{server}@{by}"


async def asks(w: World, agent: str, server: str, tool: str = "act") -> dict[str, object]:
    body = {"server": server, "tool": tool, "arguments": {"what": "x"}}
    answer = await w.rest("POST", "/v1/approvals", by=agent, json_body=body)
    found: dict[str, object] = answer.json()
    return found


async def test_it_asks_about_its_own_server_by_the_built_in_policy(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        agent = await wrapped(w)
        assert (await asks(w, agent, "mine"))["verdict"] == "require_approval"
        assert (await asks(w, agent, "mine", "get_note"))["verdict"] == "allow"
        assert (await asks(w, agent, "other"))["verdict"] == "deny"
        assert (await asks(w, agent, "up"))["verdict"] == "deny"


async def test_of_a_server_of_the_file_the_files_policy_holds(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        agent = await wrapped(w, "up")
        assert (await asks(w, agent, "up", "look"))["verdict"] == "allow"
        assert (await asks(w, agent, "up", "withdraw"))["verdict"] == "deny"


async def test_it_never_reaches_a_server_of_the_file_through_the_gateway(tmp_path: Path) -> None:
    """Else a person could have the file's credentials used for an agent that nobody named."""
    async with world(tmp_path, document=policy(tools={"look": {}, "act": {}})) as w:
        agent = await wrapped(w, "up")
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        body = {**call, "params": {"name": "look", "arguments": {"what": "x"}}}
        accept = {"accept": "application/json, text/event-stream"}
        answer = await w.rest("POST", "/mcp/up", by=agent, json_body=body, headers=accept)
        assert answer.status_code == 404
        assert w.upstream.said == []


async def test_its_owner_does_not_decide_on_its_calls(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        agent = await wrapped(w)
        approval = (await asks(w, agent, "mine"))["approval"]
        assert isinstance(approval, dict)
        assert (await w.approve(approval, by="bob")).json()["code"] == "owner_excluded"
        assert (await w.approve(approval, by="carol")).status_code == 200


async def test_it_ends_with_its_owner(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        agent = await wrapped(w)
        config = tmp_path / "approvals.yaml"
        config.write_text(config.read_text().replace('"bob": {}, ', ""))
        await w.services.liveness.reload()
        assert "is no longer in the configuration" in str((await asks(w, agent, "mine"))["detail"])


@pytest.mark.parametrize("agent", ["mine@nobody", "mine@", "@bob", "a b@bob", "mine@alice"])
async def test_nobody_makes_keys_for_agents_of_others_or_of_nobody(
    tmp_path: Path, agent: str
) -> None:
    async with world(tmp_path) as w:
        made = await w.rest("POST", "/v1/keys", by="bob", json_body={"agent": agent})
        assert made.status_code in {403, 404}
        both = {"server": "mine", "agent": "bot"}
        assert (await w.rest("POST", "/v1/keys", by="bob", json_body=both)).status_code == 422
        assert "bob" in PEOPLE
