"""Agents of approvals.yaml: who answers for each, and which servers it may use."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from approvals.domain.directory import HOLD, MAX_PENDING, Agent

if TYPE_CHECKING:
    from collections.abc import Collection

    from approvals.domain.policy.reading import Place

MAX_HOLD = timedelta(minutes=10)
MOST_PENDING = 1_000_000

_KEYS = ("servers", "owner", "labels", "hold", "max_pending", "gateway_tools")


def read_agent(
    name: str,
    place: Place,
    *,
    people: Collection[str],
    starting_person: str | None,
    servers: Collection[str],
) -> Agent:
    """One agent; `servers` are the names of all there are, also of those with a problem."""
    place.only(_KEYS)
    labels = place.child("labels").members()
    return Agent(
        name=name,
        owner=_owner(place.child("owner"), people, starting_person),
        servers=frozenset(own_policies(place, servers)),
        labels={label: text for label, at in labels if (text := at.text()) is not None},
        hold=_hold(place.child("hold")),
        max_pending=_max_pending(place.child("max_pending")),
        gateway_tools=bool(place.child("gateway_tools").flag()),
    )


def own_policies(agent: Place, servers: Collection[str]) -> dict[str, Place]:
    """The agent's servers, each with the place of a policy of its own, where there may be none."""
    place = agent.child("servers")
    if not place.exists:
        return {}
    found = _mapping(place) if isinstance(place.value, dict) else _names(place)
    for name, entry in found.items():
        if name not in servers:
            entry.wrong("is not one of `servers`")
    return {name: entry.child("policy") for name, entry in found.items()}


def _names(place: Place) -> dict[str, Place]:
    if not isinstance(place.value, list):
        place.wrong("must be a list of servers, or an object such as {NAME: {policy: FILE}}")
        return {}
    return {name: item for item in place.items() if (name := item.text()) is not None}


def _mapping(place: Place) -> dict[str, Place]:
    for _, entry in place.members():
        if entry.value is not None:
            entry.only(("policy",))
    return dict(place.members())


def _owner(place: Place, people: Collection[str], starting_person: str | None) -> str:
    owner = place.text()
    if not place.exists and list(people) == [starting_person]:
        return starting_person or ""
    if not place.exists and people:
        place.wrong("is missing: the person answerable for this agent")
    elif owner is not None and owner not in people:
        place.wrong("is not one of `people`")
    return owner or ""


def _hold(place: Place) -> timedelta:
    hold = place.duration()
    if hold is not None and hold > MAX_HOLD:
        place.wrong("must be between 1s and 10m")
    return hold or HOLD


def _max_pending(place: Place) -> int:
    count = place.count()
    if count is not None and count > MOST_PENDING:
        place.wrong(f"must be at most {MOST_PENDING}")
    return count or MAX_PENDING
