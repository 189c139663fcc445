"""A person decides in a real browser: with and without scripts, on a phone, in the dark."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Route

from tests.e2e.world import world
from tests.hostile import LONG, STRINGS
from tests.web.chromium import LAPTOP, PHONE, Window, window

pytestmark = [pytest.mark.anyio, pytest.mark.long]

CRITICAL = {
    "version": "1",
    "default": "deny",
    "tools": {
        "act": {
            "require_approval_if": [{"conditions": []}],
            "summary": "Cancel order {n} on {what}",
            "risk": {"category": "Financial", "level": "critical"},
        }
    },
}
ORDER = {"what": "BTCUSD", "n": 12345}


async def opened(seen: Window, id_: str) -> None:
    await seen.page.goto(f"{seen.inbox}a/{id_}")
    await seen.page.get_by_role("heading", level=1).wait_for()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_a_held_call_is_approved_in_the_browser_and_runs_once(
    tmp_path: Path, *, scripts: bool
) -> None:
    async with world(tmp_path, document=CRITICAL) as w, w.agent() as agent:
        call = asyncio.create_task(agent.call_tool("act", ORDER))
        await w.pending()
        async with window(scripts=scripts) as seen:
            await seen.sign_in(w, "bob")
            await seen.page.get_by_role("link", name="Cancel order 12345 on BTCUSD?").click()
            await seen.page.get_by_role("button", name="Approve").click()
            await seen.page.get_by_role("button", name="Run this call").click()
            assert not (await call).is_error
            await seen.page.reload()
            status = await seen.page.get_by_role("status").inner_text()
            assert status.startswith("Approved by Bob · ran at")
            assert await seen.page.get_by_role("button", name="Approve").count() == 0
            assert seen.errors == []
        assert w.upstream.calls == 1


async def test_a_page_that_is_open_loses_its_buttons_when_somebody_else_decides(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, document=CRITICAL) as w:
        approval = await w.parked(dict(ORDER))
        async with window() as seen:
            await seen.sign_in(w, "bob")
            await opened(seen, approval["id"])
            await seen.page.get_by_role("button", name="Approve").wait_for()
            await w.deny(approval, by="carol", reason="wrong order")
            await seen.page.get_by_role("button", name="Approve").wait_for(state="detached")
            status = await seen.page.get_by_role("status").inner_text()
            assert status == "Denied by Carol: wrong order"
            assert seen.errors == []


async def test_the_inbox_shows_a_call_that_arrives_while_it_is_open(tmp_path: Path) -> None:
    async with world(tmp_path, document=CRITICAL) as w, window() as seen:
        await seen.sign_in(w, "bob")
        await seen.page.get_by_text("Nothing is waiting.").wait_for()
        await w.parked(dict(ORDER))
        await seen.page.get_by_role("link", name="Cancel order 12345").wait_for()
        assert seen.errors == []


async def test_a_page_changes_by_itself_also_if_its_second_script_comes_late(
    tmp_path: Path,
) -> None:
    async def late(route: Route) -> None:
        await asyncio.sleep(1)
        await route.continue_()

    async with world(tmp_path, document=CRITICAL) as w, window() as seen:
        await seen.page.route("**/hx-sse-*", late)
        await seen.sign_in(w, "bob")
        await seen.page.get_by_text("Nothing is waiting.").wait_for()
        await w.parked(dict(ORDER))
        await seen.page.get_by_role("link", name="Cancel order 12345").wait_for()
        assert seen.errors == []


async def test_denying_takes_a_reason_that_the_agent_is_told(tmp_path: Path) -> None:
    async with world(tmp_path, document=CRITICAL) as w, w.agent() as agent:
        call = asyncio.create_task(agent.call_tool("act", ORDER))
        [approval] = await w.pending()
        async with window() as seen:
            await seen.sign_in(w, "bob")
            await opened(seen, approval["id"])
            await seen.page.get_by_text("Deny…").click()
            await seen.page.get_by_label("Why? The agent is told.").fill("wrong <b>order</b>")
            await seen.page.get_by_role("button", name="Deny", exact=True).click()
            result = await call
            assert "wrong <b>order</b>" in getattr(result.content[0], "text", "")
            assert "wrong <b>order</b>" in await seen.page.get_by_role("status").inner_text()
            assert seen.errors == []
        assert w.upstream.calls == 0


async def test_losing_a_race_is_news(tmp_path: Path) -> None:
    async with world(tmp_path, document=CRITICAL) as w:
        approval = await w.parked(dict(ORDER))
        async with window(scripts=False) as seen:
            await seen.sign_in(w, "bob")
            await opened(seen, approval["id"])
            await seen.page.get_by_role("button", name="Approve").click()
            await w.approve(approval, by="carol")
            await seen.page.get_by_role("button", name="Run this call").click()
            assert "Carol" in await seen.page.get_by_role("alert").inner_text()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
async def test_nothing_serious_stands_against_any_page(
    tmp_path: Path, *, size: dict[str, int], dark: bool
) -> None:
    async with world(tmp_path, document=CRITICAL) as w:
        eight = {"what": "BTCUSD", "n": 1} | {f"argument_{i}": i for i in range(6)}
        approval = await w.parked(eight)
        async with window(size=size, dark=dark) as seen:
            await seen.page.goto(f"{w.people_url}/login")
            found = await seen.serious()
            await seen.sign_in(w, "bob")
            await seen.page.get_by_role("link", name="Cancel order").wait_for()
            found += await seen.serious()
            await opened(seen, approval["id"])
            found += await seen.serious()
            approve = seen.page.get_by_role("button", name="Approve")
            box, deny = (
                await approve.bounding_box(),
                await seen.page.get_by_text("Deny…").bounding_box(),
            )
            assert box is not None
            assert deny is not None
            assert deny["x"] < box["x"]
            if size is PHONE:
                assert box["y"] + box["height"] <= PHONE["height"], box
            assert await wider(seen) == 0
            await approve.click()
            found += await seen.serious()
            assert found == []
            assert seen.errors == []


async def test_hostile_text_does_nothing_in_a_real_browser(tmp_path: Path) -> None:
    """Nothing runs, nothing is fetched elsewhere, and the page is as wide as its window."""
    rule: dict[str, list[object]] = {"conditions": []}
    document = {"version": "1", "default": "deny", "tools": {"*": {"require_approval_if": [rule]}}}
    async with world(tmp_path, document=document) as w, window(size=PHONE) as seen:
        elsewhere: list[str] = []
        seen.page.on("request", lambda request: elsewhere.append(request.url))
        seen.page.on("dialog", lambda dialog: seen.errors.append(dialog.message))
        await seen.sign_in(w, "bob")
        for bad in (*STRINGS.values(), LONG):
            body = {
                "server": "up",
                "tool": bad[:200],
                "arguments": {"what": bad, bad[:200]: 1},
                "justification": bad[:2000],
            }
            asked = await w.rest("POST", "/v1/approvals", by="bot", json_body=body)
            await opened(seen, asked.json()["approval"]["id"])
            assert await seen.page.get_by_role("button", name="Approve").is_visible()
            assert await wider(seen) == 0
        await seen.page.goto(f"{w.people_url}/")
        assert await wider(seen) == 0
        assert seen.errors == []
        assert [url for url in elsewhere if not url.startswith(w.people_url)] == []


async def test_a_page_on_another_port_of_the_host_is_not_sent_the_session(tmp_path: Path) -> None:
    """An agent that serves a page on this machine would decide with it (decision 20)."""
    heard: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi")
        await writer.drain()
        writer.close()

    other = await asyncio.start_server(hear, "127.0.0.1", 0)
    async with other, world(tmp_path, document=CRITICAL) as w, window() as seen:
        await seen.sign_in(w, "bob")
        port = other.sockets[0].getsockname()[1]
        await seen.page.goto(f"http://127.0.0.1:{port}/a/apr_x")
        await seen.page.get_by_text("hi").wait_for()
        assert heard
        assert not [said for said in heard if b"cookie" in said.lower()]
        await seen.page.goto(seen.inbox)
        await seen.page.get_by_text("Nothing is waiting.").wait_for()


async def wider(seen: Window) -> int:
    """How far the page goes beyond its window."""
    found: int = await seen.page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return found
