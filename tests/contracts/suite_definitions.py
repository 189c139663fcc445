"""The contract of the Store port for definitions of tools; see `suite`."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from approvals.domain.definitions import Accepted, Definition
from approvals.ports import Accepting, Applied, Conflict, Sighting
from tests.contracts.suite import do, now
from tests.contracts.suite_counters import fact, freeze, run

if TYPE_CHECKING:
    from approvals.ports import Operation
    from tests.contracts.suite import Engine

PLACE = "up (0123456789abcdef)"


def seen(tool: str = "act", hash_: str = "sha256:1", *, place: str = PLACE) -> Definition:
    """A definition that waits."""
    return Definition(
        place=place, server="up", tool=tool, hash=hash_, entry='{"name":"act"}', seen_at=now()
    )


def first(tool: str = "act", hash_: str = "sha256:1", *, place: str = PLACE) -> Definition:
    """A definition at first sight."""
    found = seen(tool, hash_, place=place)
    return replace(found, accepted=Accepted(at=found.seen_at))


def sighting(*definitions: Definition) -> Sighting:
    return Sighting(definitions=definitions, stream="prc_1", fact=fact("definitions_seen"))


def accepting(tool: str = "act", hash_: str = "sha256:2", *, place: str = PLACE) -> Accepting:
    return Accepting(
        place=place,
        tool=tool,
        hash=hash_,
        accepted=Accepted(at=now(), by="carol"),
        stream="prc_1",
        fact=fact("definition_accepted"),
    )


async def pins(store: Engine, place: str = PLACE) -> set[tuple[str, str, bool]]:
    return {(pin.tool, pin.hash, pin.is_accepted) for pin in await store.pins(place)}


class DefinitionContract:
    """What every engine keeps of definitions."""

    pytestmark = pytest.mark.anyio

    async def test_what_is_seen_first_is_accepted_with_its_event(self, store: Engine) -> None:
        operation = sighting(first(), first("look", "sha256:9"))
        assert await do(store, operation) == Applied()
        assert await pins(store) == {("act", "sha256:1", True), ("look", "sha256:9", True)}
        assert await pins(store, "elsewhere") == set()
        [found] = await store.definitions(PLACE, ["act"])
        assert found == operation.definitions[0]
        assert [e.fact.type for e in await store.events("prc_1")] == ["definitions_seen"]

    async def test_done_again_it_is_the_same(self, store: Engine) -> None:
        for operation in (sighting(first()), sighting(seen("act", "sha256:2")), accepting()):
            assert await do(store, operation) == Applied()
            assert await do(store, operation) == Applied()
        assert len(await store.events("prc_1")) == 3

    async def test_only_one_definition_of_a_tool_is_the_first(self, store: Engine) -> None:
        answers = await asyncio.gather(
            *(do(store, sighting(first("act", f"sha256:{n}"))) for n in range(20))
        )
        assert Counter(map(type, answers)) == {Applied: 1, Conflict: 19}
        assert len(await pins(store)) == 1
        assert len(await store.events("prc_1")) == 1

    async def test_where_one_of_several_is_known_nothing_is_written(self, store: Engine) -> None:
        await do(store, sighting(first()))
        both = sighting(first("look", "sha256:9"), first("act", "sha256:2"))
        assert await do(store, both) == Conflict()
        assert await pins(store) == {("act", "sha256:1", True)}
        assert len(await store.events("prc_1")) == 1

    async def test_the_newest_that_waits_takes_the_place_of_the_one_before(
        self, store: Engine
    ) -> None:
        await do(store, sighting(first()))
        for hash_ in ("sha256:2", "sha256:3"):
            assert await do(store, sighting(seen("act", hash_))) == Applied()
        assert await pins(store) == {("act", "sha256:1", True), ("act", "sha256:3", False)}
        assert await do(store, sighting(seen("act", "sha256:3"))) == Conflict()
        assert await do(store, sighting(seen("act", "sha256:1"))) == Conflict()
        assert await do(store, accepting(hash_="sha256:2")) == Conflict()

    async def test_what_is_accepted_stays_so_beside_what_waits(self, store: Engine) -> None:
        await do(store, sighting(first(), first(place="other")))
        await do(store, sighting(seen("act", "sha256:2"), seen("act", "sha256:2", place="other")))
        accept = accepting()
        assert await do(store, accept) == Applied()
        assert await do(store, accepting()) == Conflict()
        await do(store, sighting(seen("act", "sha256:3")))
        assert await pins(store) == {
            ("act", "sha256:1", True),
            ("act", "sha256:2", True),
            ("act", "sha256:3", False),
        }
        assert await pins(store, "other") == {
            ("act", "sha256:1", True),
            ("act", "sha256:2", False),
        }
        found = {d.hash: d.accepted for d in await store.definitions(PLACE, ["act", "look"])}
        assert found["sha256:2"] == accept.accepted
        assert found["sha256:3"] is None

    async def test_the_youngest_of_a_tool_is_first(self, store: Engine) -> None:
        young = replace(seen("act", "sha256:0"), seen_at=now() + timedelta(seconds=1))
        await do(store, sighting(first("act", "sha256:5"), first("zoo", "sha256:7")))
        await do(store, sighting(young))
        found = await store.definitions(PLACE, ["zoo", "act"])
        assert [d.hash for d in found] == ["sha256:0", "sha256:5", "sha256:7"]

    async def test_only_what_waits_is_accepted(self, store: Engine) -> None:
        assert await do(store, accepting()) == Conflict()
        assert await store.events("prc_1") == []

    async def test_a_freeze_and_a_sighting_at_once_link_one_stream(self, store: Engine) -> None:
        operations: list[Operation] = [
            *(sighting(first(f"tool{n}")) for n in range(10)),
            *(run() for _ in range(10)),
            *(freeze(server=f"s{n}") for n in range(10)),
        ]
        answers = await asyncio.gather(*(do(store, operation) for operation in operations))
        assert {type(answer) for answer in answers} == {Applied}
        events = await store.events("prc_1")
        assert [event.seq for event in events] == list(range(1, 31))
        assert all(a.hash == b.previous for a, b in pairwise(events))
