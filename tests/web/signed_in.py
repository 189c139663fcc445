"""A person with a browser's session, over plain HTTP."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx2

    from tests.e2e.world import World

COOKIE = "approvals"


@dataclass
class Browser:
    """What a browser sends: the cookie it holds, and where a form comes from."""

    http: httpx2.AsyncClient
    url: str
    session: str = ""
    base: str = ""
    """Below which path its pages are."""

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        url = f"{self.url}{self.base}{path}"
        return await self.http.get(url, headers={**self._cookie(), **headers})

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> httpx2.Response:
        """A form of one of our own pages, unless headers say otherwise."""
        sent = {"origin": self.url, "sec-fetch-site": "same-origin", **self._cookie(), **headers}
        sent = {name.replace("_", "-"): value for name, value in sent.items() if value}
        return await self.http.post(f"{self.url}{self.base}{path}", data=fields, headers=sent)

    async def sign_in(self, w: World, person: str) -> None:
        link, _ = await w.services.sign_in.first_link(person)
        response = await self.post("/login", {"link": link})
        assert response.status_code == 303, response.text
        self.session = cookie_of(response)
        self.base = response.headers["location"].removesuffix("/")

    async def pressed(self, path: str, button: str, **fields: str) -> httpx2.Response:
        """Open a page and send its form that ends in `button` (the end of its action)."""
        opened = await self.get(path)
        return await self.post(f"{path}/{button}", {**hidden(opened.text, button), **fields})

    def _cookie(self) -> dict[str, str]:
        return {"cookie": f"{COOKIE}={self.session}"} if self.session else {}


def cookie_of(response: httpx2.Response) -> str:
    found = re.match(rf"{COOKIE}=([^;]*)", response.headers["set-cookie"])
    assert found, response.headers
    return found.group(1)


def hidden(page: str, button: str) -> dict[str, str]:
    """The hidden fields of the form whose action ends so."""
    form = re.search(rf'action="[^"]*/{button}">(.*?)</form>', page, flags=re.DOTALL)
    assert form, f"the page has no {button}"
    fields = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form.group(1))
    return {name: unescape(value) for name, value in fields}


def buttons(page: str) -> set[str]:
    """The actions that a page of a call offers."""
    return set(re.findall(r'action="[^"]*/a/[^"/]*/(\w+)"', page))


async def browser(w: World, person: str | None = None) -> Browser:
    """A browser on the people's replica, signed in as `person`."""
    made = Browser(w.http, w.people_url)
    if person:
        await made.sign_in(w, person)
    return made
