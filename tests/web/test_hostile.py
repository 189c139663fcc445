"""Hostile text in every field is inert and visible; nothing is offered while something hides."""

from __future__ import annotations

from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.world import World, policy, world
from tests.hostile import LONG, MANY, STRINGS, hidden_in
from tests.web.signed_in import browser, buttons, hidden

pytestmark = pytest.mark.anyio

ALLOWED = {
    *("html", "head", "meta", "title", "link", "script", "body", "header", "nav", "a", "form"),
    *("input", "span", "button", "main", "article", "p", "h1", "h2", "dl", "div", "dt", "dd"),
    *("code", "em", "abbr", "ul", "li", "details", "summary", "label", "textarea", "strong"),
    "section",
}


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def check(page: str) -> None:
    """Only our elements, no handler, no script or link of others, nothing invisible."""
    elements = Elements()
    elements.feed(page)
    for tag, attributes in elements.found:
        assert tag in ALLOWED, tag
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action"):
            assert (attributes.get(name) or "/").startswith("/"), attributes
    assert hidden_in(page) == set()


async def asked(w: World, call: dict[str, Any]) -> dict[str, Any]:
    answer = await w.rest("POST", "/v1/approvals", by="bot", json_body={"server": "up", **call})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()["approval"]
    return found


async def page_of(w: World, call: dict[str, Any]) -> tuple[str, str]:
    """The page and the inbox while this call waits."""
    approval = await asked(w, call)
    bob = await browser(w, "bob")
    page, inbox = await bob.get(f"/a/{approval['id']}"), await bob.get("/")
    assert page.status_code == inbox.status_code == 200
    return page.text, inbox.text


ANY = policy(default="deny", tools={"*": {"require_approval_if": [{"conditions": []}]}})


@pytest.mark.parametrize("kind", STRINGS)
async def test_hostile_text_in_every_field_is_shown_and_does_nothing(
    tmp_path: Path, kind: str
) -> None:
    bad = STRINGS[kind]
    plain = "".join(c for c in bad if c < "\U00010000")  # what the file's JSON escapes as one
    message = {"conditions": [], "message": plain}
    document = policy(tools={"*": {"require_approval_if": [message], "summary": "Do {what}"}})
    async with world(tmp_path, document=document) as w:
        tool = bad.replace("\0", "")[:200]
        call = {
            "tool": tool,
            "arguments": {"what": bad, bad: bad, "list": [bad, {bad: bad}]},
            "justification": bad,
            "session": bad[:200],
            "definition": {"name": tool, "description": bad, "inputSchema": {"title": bad}},
        }
        page, inbox = await page_of(w, call)
        for text in (page, inbox):
            check(text)
        assert "approve" in buttons(page)
        assert "all 3 arguments shown" in page


async def test_a_reason_of_a_person_is_shown_and_does_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for bad in STRINGS.values():
            approval = await w.parked({"what": bad})
            bob = await browser(w, "bob")
            done = await bob.pressed(f"/a/{approval['id']}", "deny", reason=bad)
            assert done.status_code == 303
            check((await bob.get(f"/a/{approval['id']}")).text)


async def test_what_is_long_is_there_to_its_end(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        page, _ = await page_of(w, {"tool": "act", "arguments": {"what": LONG}})
        assert f'"{LONG}"' in unescape(page)
        assert "approve" in buttons(page)
        page, _ = await page_of(w, {"tool": "act", "arguments": MANY})
        assert all(f"<dt>{name}</dt>" in page for name in MANY)
        assert "all 200 arguments shown" in page


async def test_a_number_has_every_digit(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        page, _ = await page_of(w, {"tool": "act", "arguments": {"n": 10**18 + 1}})
        assert "<code>1000000000000000001</code>" in page


async def test_a_part_that_is_sent_later_is_one_message_whatever_stands_in_it(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked({"what": STRINGS["event"]})
        bob = await browser(w, "bob")
        headers = {"cookie": f"approvals={bob.session}"}
        path = f"{w.people_url}{bob.base}/a/{approval['id']}/live"
        async with w.http.stream("GET", path, headers=headers) as stream:
            seen = ""
            async for text in stream.aiter_text():
                seen += text
                if seen.endswith("\n\n"):
                    break
        assert all(line.startswith("data: ") or not line for line in seen.splitlines())
        assert seen.count("\n\n") == 1


@pytest.mark.usefixtures("deployment")
async def test_hidden_values_are_revealed_to_one_person_on_record_and_only_then_approved(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked({"what": "x", "password": "hunter2"})
        path = f"/a/{approval['id']}"
        bob, carol = await browser(w, "bob"), await browser(w, "carol")
        page = await bob.get(path)
        assert "hunter2" not in page.text
        assert buttons(page.text) == {"deny", "reveal"}
        fields = {**hidden(page.text, "reveal")}
        assert (await bob.post(f"{path}/approve", fields)).status_code == 403
        revealed = await bob.pressed(path, "reveal")
        assert "hunter2" in revealed.text
        assert "all 2 arguments shown" in revealed.text
        assert buttons(revealed.text) == {"deny", "approve"}
        assert revealed.headers["cache-control"] == "no-store"
        proof = hidden(revealed.text, "approve")["proof"]
        theirs = {**hidden((await carol.get(path)).text, "reveal"), "proof": proof}
        assert (await carol.post(f"{path}/approve", theirs)).status_code == 403
        assert "hunter2" not in (await bob.get(path)).text
        done = await bob.post(f"{path}/approve", hidden(revealed.text, "approve"))
        assert done.status_code == 303, done.text
        assert (await w.status(approval["id"]))["status"] == "approved"
        events = await w.rest("GET", "/v1/audit?type=values_revealed", by="carol")
        [event] = events.json()["events"]
        assert event["actor"] == "person:bob"
        assert event["detail"] == {"approval": approval["id"], "values": 1}
        assert "hunter2" not in events.text


async def test_a_key_never_approves_what_is_hidden_from_it(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked({"what": "x", "password": "hunter2"})
        answer = await w.approve(approval)
        assert (answer.status_code, answer.json()["code"]) == (403, "assurance_too_low")
        item = {"approval_id": approval["id"], "decision": "approve", "digest": approval["digest"]}
        many: httpx2.Response = await w.rest("POST", "/v1/decisions", by="bob", json_body=[item])
        assert many.json()["results"][0]["error"]["code"] == "assurance_too_low"
        card = (await w.rest("GET", f"/v1/approvals/{approval['id']}/card", by="bob")).json()
        assert (card["complete"], card["offer"]["approve"]) == (False, False)
        assert "hunter2" not in str(card)
