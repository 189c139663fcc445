"""A part of a page that stays true while it is looked at (server-sent events).

The hints only say when to look; what is sent is read anew. A page that is looked at ends with the
session of who looks.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from approvals.errors import ApprovalsError
from approvals.web.page import HEADERS
from approvals.wire import services

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from starlette.requests import Request

    from approvals.service.news import Watch
    from approvals.web.guard import SignedIn

MOST = 20
"""Pages of one session that are kept true at once."""
AT_MOST_EVERY = 1.0
"""Seconds between two looks, however much changes."""
LOOK_EVERY = 10.0
"""Seconds after which the part is read again without a hint: it also says how much time is left."""


def stream(
    request: Request,
    who: SignedIn,
    render: Callable[[], Awaitable[str]],
    *,
    about: str | None = None,
) -> Response:
    """Send what `render` makes when it is another text than before; `about` is the one approval
    whose hints count."""
    if request.method != "GET":
        return Response(media_type="text/event-stream", headers=HEADERS)
    return StreamingResponse(
        _counted(request, who, _messages(request, who, render, about)),
        media_type="text/event-stream",
        headers=HEADERS,
    )


async def _counted(
    request: Request, who: SignedIn, messages: AsyncGenerator[str]
) -> AsyncGenerator[str]:
    """Of one session only so many pages stay true at once; the others show what they showed."""
    open_ = request.app.state.live
    if open_[who.session] >= MOST:
        return
    open_[who.session] += 1
    try:
        async with aclosing(messages):
            async for message in messages:
                yield message
    finally:
        open_[who.session] -= 1
        if not open_[who.session]:
            del open_[who.session]


async def _messages(
    request: Request, who: SignedIn, render: Callable[[], Awaitable[str]], about: str | None
) -> AsyncGenerator[str]:
    use = services(request)
    sent = None
    with use.news.watching() as watch:
        while not use.waiting.stopping:
            try:
                await use.sign_in.person(who.session)
                text = await render()
            except ApprovalsError:
                return  # signed out, or the database does not answer; the page connects again
            if text != sent:
                sent = text
                yield _message(text)
            await asyncio.wait({use.waiting.stopped}, timeout=AT_MOST_EVERY)
            await _something(watch, about)


async def _something(watch: Watch, about: str | None) -> None:
    """Wait for a hint that counts, or for so long."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LOOK_EVERY
    while (left := deadline - loop.time()) > 0:
        anew, changed = await watch.next(within=left)
        if anew or about in changed or (about is None and changed):
            return


def _message(text: str) -> str:
    """One unnamed event: the extension puts it into the page."""
    lines = "\n".join(f"data: {line}" for line in text.splitlines())
    return f"{lines}\n\n"
