"""What a browser must not be made to do: decide by a GET, from elsewhere, with what was stolen."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from pathlib import Path

import pytest

from approvals.web.page import STATIC
from approvals.wire import Place
from tests.e2e.world import World, world
from tests.web.signed_in import Browser, browser, cookie_of, hidden

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent


async def opened(w: World) -> tuple[Browser, str, dict[str, str]]:
    """bob with a call before him, and the fields of Approve."""
    approval = await w.parked()
    bob = await browser(w, "bob")
    page = await bob.get(f"/a/{approval['id']}")
    return bob, approval["id"], hidden(page.text, "approve")


async def test_a_get_decides_nothing_whatever_its_query_says(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        bob, id_, fields = await opened(w)
        query = "&".join(f"{name}={value}" for name, value in fields.items())
        for path in (f"/a/{id_}/approve?{query}", f"/a/{id_}/deny?{query}"):
            assert (await bob.get(path)).status_code == 405
        assert (await bob.get(f"/a/{id_}?decision=approve&{query}")).status_code == 200
        assert (await w.status(id_))["status"] == "pending"


@pytest.mark.parametrize(
    "sent",
    [
        {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
        {"origin": "https://evil.example", "sec-fetch-site": ""},
        {"origin": "null"},
        {"origin": "", "sec-fetch-site": ""},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
    ],
)
async def test_a_form_from_elsewhere_is_refused(tmp_path: Path, sent: dict[str, str]) -> None:
    async with world(tmp_path) as w:
        bob, id_, fields = await opened(w)
        for button in ("approve", "deny", "reveal"):
            answer = await bob.post(f"/a/{id_}/{button}", fields, **sent)
            assert answer.status_code == 403
        assert (await bob.post("/logout", fields, **sent)).status_code == 403
        assert (await w.status(id_))["status"] == "pending"
        assert (await bob.get("/")).status_code == 200


async def test_a_form_without_the_token_of_this_session_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        bob, id_, fields = await opened(w)
        carol = await browser(w, "carol")
        for token in ("", "0" * 64, fields["form_token"][:-1]):
            said = await bob.post(f"/a/{id_}/approve", {**fields, "form_token": token})
            assert said.status_code == 403
        assert (await carol.post(f"/a/{id_}/approve", fields)).status_code == 403
        assert (await w.status(id_))["status"] == "pending"


async def test_no_page_may_be_framed_or_run_scripts_of_others(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        bob, id_, _ = await opened(w)
        for path in ("/", f"/a/{id_}", "/login", "/a/apr_nothing", "/static/style.css"):
            headers = (await bob.get(path)).headers
            said = headers["content-security-policy"]
            assert "frame-ancestors 'none'" in said
            assert "default-src 'none'" in said
            assert "unsafe" not in said
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.usefixtures("deployment")
async def test_a_stolen_cookie_is_worth_nothing_after_signing_out(tmp_path: Path) -> None:
    """On either replica; the thief uses the other one."""
    async with world(tmp_path) as w:
        bob, id_, fields = await opened(w)
        thief = Browser(w.http, w.url, bob.session, bob.base)
        assert (await thief.get("/")).status_code == 200
        page = await bob.get("/")
        done = await bob.post("/logout", hidden(page.text, "logout"))
        assert done.headers["location"] == "/login"
        assert (await thief.get("/")).headers["location"] == "/login"
        answer = await thief.post(f"/a/{id_}/approve", fields, origin=w.url)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login"
        assert (await w.status(id_))["status"] == "pending"


async def test_signing_in_never_takes_a_session_that_the_browser_was_given(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        victim = await browser(w)
        victim.session = "chosen-by-an-attacker"
        link, _ = await w.services.sign_in.first_link("bob")
        response = await victim.post("/login", {"link": link})
        assert cookie_of(response) != "chosen-by-an-attacker"
        attacker = Browser(w.http, w.people_url, "chosen-by-an-attacker")
        assert (await attacker.get("/")).headers["location"] == "/login"


@pytest.mark.usefixtures("deployment")
async def test_a_link_works_once_and_looking_at_it_does_not_use_it_up(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        link, _ = await w.services.sign_in.first_link("bob")
        someone = await browser(w)
        for _ in range(3):
            assert "Sign in</button>" in (await someone.get(f"/login?link={link}")).text
        assert (await someone.post("/login", {"link": link})).status_code == 303
        again = await someone.post("/login", {"link": link})
        assert again.status_code == 401
        assert "was used before" in again.text
        assert "set-cookie" not in again.headers


async def test_signing_in_from_another_site_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        link, _ = await w.services.sign_in.first_link("bob")
        someone = await browser(w)
        elsewhere = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        assert (await someone.post("/login", {"link": link}, **elsewhere)).status_code == 403
        assert (await someone.post("/login", {"link": link})).status_code == 303


async def test_who_fails_too_often_has_to_wait(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        link, _ = await w.services.sign_in.first_link("bob")
        someone = await browser(w)
        tries = [someone.post("/login", {"link": f"guess{n}"}) for n in range(12)]
        answers = await asyncio.gather(*tries)
        assert sorted(one.status_code for one in answers) == [401] * 10 + [429] * 2
        assert all("retry-after" in one.headers for one in answers if one.status_code == 429)
        assert (await someone.post("/login", {"link": link})).status_code == 303  # nobody is out


async def test_the_cookie_cannot_be_read_by_scripts_nor_sent_from_elsewhere(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        link, _ = await w.services.sign_in.first_link("bob")
        said = (await (await browser(w)).post("/login", {"link": link})).headers["set-cookie"]
        assert "HttpOnly" in said
        assert "SameSite=lax" in said
        assert re.search(r"Path=/s/[0-9a-f]{64};", said)
        assert "Domain" not in said


@pytest.mark.parametrize(
    "place", ["//evil.example/a/", "https://evil.example/a/", "/a//evil", "/v1"]
)
async def test_signing_in_leads_nowhere_else(tmp_path: Path, place: str) -> None:
    async with world(tmp_path) as w:
        link, _ = await w.services.sign_in.first_link("bob")
        someone = await browser(w)
        done = await someone.post("/login", {"link": link, "next": place})
        assert re.fullmatch(r"/s/[0-9a-f]{64}/", done.headers["location"])


async def test_who_is_signed_out_is_sent_to_sign_in_and_told_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        approval = await w.parked({"what": "secret plan"})
        nobody = await browser(w)
        for path in ("/", "/live", f"/a/{approval['id']}", f"/a/{approval['id']}/live"):
            answer = await nobody.get(path)
            assert answer.status_code == 303
            assert answer.headers["location"].startswith("/login")
            assert "secret plan" not in answer.text
        there = await nobody.get(f"/a/{approval['id']}")
        assert there.headers["location"] == f"/login?next=/a/{approval['id']}"


async def test_the_cookie_alone_opens_nothing(tmp_path: Path) -> None:
    """Nor can the path of its pages, or the token of their forms, be made from it."""
    async with world(tmp_path) as w:
        bob, id_, fields = await opened(w)
        held = {"cookie": f"approvals={bob.session}"}
        made = hmac.new(bob.session.encode(), b"path", hashlib.sha256).hexdigest()
        for path in ("/", f"/a/{id_}", f"/s/{made}/a/{id_}", f"/s/{bob.session}/a/{id_}"):
            answer = await w.http.get(f"{w.people_url}{path}", headers=held)
            assert answer.headers["location"].startswith("/login")
        url = f"{w.people_url}/a/{id_}/approve"
        ours = {**held, "origin": w.people_url, "sec-fetch-site": "same-origin"}
        answer = await w.http.post(url, data=fields, headers=ours)
        assert answer.headers["location"] == "/login"
        assert (await w.status(id_))["status"] == "pending"


async def test_of_two_cookies_none_counts(tmp_path: Path) -> None:
    """Another port may set one for our host."""
    async with world(tmp_path) as w:
        bob, dan = await browser(w, "bob"), await browser(w, "dan")
        for first, second in ((bob, dan), (dan, bob)):
            both = f"approvals={first.session}; approvals={second.session}"
            answer = await w.http.get(f"{w.people_url}{bob.base}/", headers={"cookie": both})
            assert answer.headers["location"] == "/login"


async def test_behind_tls_the_cookie_is_secure_and_pages_have_plain_addresses(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        secure = w.url.replace("http:", "https:")
        w.app.state.place = Place(secure)
        link, _ = await w.services.sign_in.first_link("bob")
        someone = await browser(w)
        assert (await someone.post("/login", {"link": link}, origin=w.url)).status_code == 403
        done = await someone.post("/login", {"link": link}, origin=secure)
        assert done.headers["location"] == "/"
        said = done.headers["set-cookie"]
        assert said.startswith("__Host-approvals=")
        assert "Secure" in said
        assert "Path=/;" in said


async def test_a_session_only_reads_over_rest(tmp_path: Path) -> None:
    """Behind TLS: elsewhere its cookie is not sent there at all."""
    async with world(tmp_path) as w:
        bob, id_, fields = await opened(w)
        w.app.state.place = Place("https://approvals.example")
        held = {"cookie": f"__Host-approvals={bob.session}"}
        read = await w.http.get(f"{w.people_url}/v1/approvals/{id_}", headers=held)
        assert read.json()["viewer"]["can_decide"]
        for path, body in ((f"/v1/approvals/{id_}/approve", {"digest": fields["digest"]}),):
            answer = await w.http.post(f"{w.people_url}{path}", headers=held, json=body)
            assert answer.status_code == 401
        assert (await w.status(id_))["status"] == "pending"


async def test_a_person_who_left_the_file_is_signed_out(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        bob = await browser(w, "bob")
        config = tmp_path / "approvals.yaml"
        config.write_text(config.read_text().replace('"bob": {}, ', ""))
        await w.services.liveness.reload()
        assert (await bob.get("/")).headers["location"] == "/login"


async def test_a_page_that_is_open_ends_with_its_session(tmp_path: Path) -> None:
    """Whoever stole the cookie sees nothing more either, from the next change on."""
    async with world(tmp_path) as w:
        approval = await w.parked()
        bob = await browser(w, "bob")
        headers = {"cookie": f"approvals={bob.session}"}
        path = f"{w.people_url}{bob.base}/a/{approval['id']}/live"
        page = await bob.get("/")
        async with asyncio.timeout(20), w.http.stream("GET", path, headers=headers) as stream:
            parts = stream.aiter_text()
            assert "nobody" in await anext(parts)
            await bob.post("/logout", hidden(page.text, "logout"))
            await w.deny(approval, by="carol", reason="a secret reason")
            assert "a secret reason" not in "".join([part async for part in parts])


def test_the_scripts_are_the_published_ones() -> None:
    """The checksums in the documentation are those of the files, and nothing else is served."""
    said = dict(
        reversed(line.split())
        for line in re.findall(
            r"^[0-9a-f]{64}  \S+$", (ROOT / "docs/reference/web.md").read_text(), re.MULTILINE
        )
    )
    folder = ROOT / "approvals/web/static"
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.js")
    }
    assert found == said
    assert {path.name for path in folder.iterdir()} == set(STATIC)
