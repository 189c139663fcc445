"""Debian's Chromium, driven by Playwright; what it says on its console is kept."""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.async_api import async_playwright

from tests.npm import package

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import BrowserContext, Page

    from tests.e2e.world import World

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE = {"width": 390, "height": 700}
LAPTOP = {"width": 1280, "height": 800}
SERIOUS = {"serious", "critical"}


@dataclass
class Window:
    """A page, and everything that went wrong in it."""

    page: Page
    context: BrowserContext
    errors: list[str] = field(default_factory=list)
    inbox: str = ""
    """Where the session's pages begin."""

    async def sign_in(self, w: World, person: str) -> None:
        link, _ = await w.services.sign_in.first_link(person)
        await self.page.goto(f"{w.people_url}/login?link={link}")
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.get_by_role("heading", name="Waiting for people").wait_for()
        self.inbox = self.page.url

    async def serious(self) -> list[str]:
        """What axe-core finds serious."""
        script = (package("axe-core") / "axe.min.js").read_text()
        await self.page.evaluate(script)
        found: dict[str, Any] = await self.page.evaluate("axe.run()")
        return [
            f"{one['id']}: {one['help']} {[node['html'][:80] for node in one['nodes'][:3]]}"
            for one in found["violations"]
            if one["impact"] in SERIOUS
        ]


@asynccontextmanager
async def window(
    *, size: dict[str, int] = LAPTOP, dark: bool = False, scripts: bool = True
) -> AsyncIterator[Window]:
    """A fresh browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=_executable(), headless=True, args=ARGUMENTS
        )
        context = await browser.new_context(
            viewport={"width": size["width"], "height": size["height"]},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        page = await context.new_page()
        page.set_default_timeout(15_000)
        made = Window(page, context)
        page.on("console", lambda said: _note(made, said.type, said.text))
        page.on("pageerror", lambda error: made.errors.append(str(error)))
        yield made
        await browser.close()


def _note(made: Window, kind: str, text: str) -> None:
    if kind in {"error", "warning"}:
        made.errors.append(f"{kind}: {text}")


def _executable() -> str:
    found = shutil.which("chromium")
    if found is None:
        raise RuntimeError("Chromium is not there; on Debian: apt install chromium")
    return str(Path(found))
