"""The contract of the SessionStore port; see `suite`."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.contracts.suite import now

if TYPE_CHECKING:
    from tests.contracts.suite import Engine

HOUR = timedelta(hours=1)
OVER = timedelta(seconds=-1)


class SessionContract:
    """What every engine keeps of people who are signed in."""

    async def test_a_link_begins_one_session_of_its_person(self, store: Engine) -> None:
        await store.sessions.add_link("l", person="bob", lasts=HOUR)
        begun = await store.sessions.sign_in("l", session="s", lasts=HOUR)
        assert begun is not None
        assert begun.person == "bob"
        assert abs(begun.expires_at - now() - HOUR) < timedelta(minutes=1)
        assert await store.sessions.session("s") == begun

    async def test_a_link_is_used_up_by_its_first_session(self, store: Engine) -> None:
        await store.sessions.add_link("l", person="bob", lasts=HOUR)
        tries = [store.sessions.sign_in("l", session=f"s{i}", lasts=HOUR) for i in range(10)]
        begun = await asyncio.gather(*tries)
        assert sum(one is not None for one in begun) == 1
        kept = [await store.sessions.session(f"s{i}") for i in range(10)]
        assert [one is not None for one in kept] == [one is not None for one in begun]

    async def test_the_same_session_may_begin_again_after_a_lost_answer(
        self, store: Engine
    ) -> None:
        await store.sessions.add_link("l", person="bob", lasts=HOUR)
        assert await store.sessions.sign_in("l", session="s", lasts=HOUR)
        assert await store.sessions.sign_in("l", session="s", lasts=HOUR)
        assert await store.sessions.sign_in("l", session="other", lasts=HOUR) is None

    async def test_a_link_that_is_over_or_was_never_made_begins_nothing(
        self, store: Engine
    ) -> None:
        await store.sessions.add_link("l", person="bob", lasts=OVER)
        assert await store.sessions.sign_in("l", session="s", lasts=HOUR) is None
        assert await store.sessions.sign_in("never", session="s", lasts=HOUR) is None
        assert await store.sessions.session("s") is None

    async def test_a_session_that_is_over_or_was_ended_is_none(self, store: Engine) -> None:
        for link, lasts in (("a", OVER), ("b", HOUR)):
            await store.sessions.add_link(link, person="bob", lasts=HOUR)
            await store.sessions.sign_in(link, session=f"of {link}", lasts=lasts)
        assert await store.sessions.session("of a") is None
        assert await store.sessions.end_session("of b")
        assert not await store.sessions.end_session("of b")
        assert await store.sessions.session("of b") is None

    async def test_an_ended_session_does_not_begin_again_with_its_link(self, store: Engine) -> None:
        await store.sessions.add_link("l", person="bob", lasts=HOUR)
        await store.sessions.sign_in("l", session="s", lasts=HOUR)
        await store.sessions.end_session("s")
        await store.sessions.sign_in("l", session="s", lasts=HOUR)
        assert await store.sessions.session("s") is None
