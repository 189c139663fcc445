"""People and groups of approvals.yaml."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from approvals.config.names import NAME, check_name
from approvals.domain.directory import Person, Role
from approvals.domain.display import visible

if TYPE_CHECKING:
    from collections.abc import Collection

    from approvals.domain.policy.reading import Place

_PERSON = ("roles", "slack", "email")
_SLACK = re.compile(r"[UW][A-Z0-9]{5,20}")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")


def read_people(places: Place) -> dict[str, Person]:
    """Everybody; a Slack id or an e-mail address belongs to one person only."""
    people = {}
    owners: dict[tuple[str, str], str] = {}
    for name, place in places.members():
        check_name(name, place, NAME)
        if place.value is None:
            people[name] = Person(name=name)
            continue
        place.only(_PERSON)
        people[name] = Person(
            name=name, roles=_roles(place.child("roles")), slack=_slack(place.child("slack"))
        )
        _check_email(place.child("email"))
        for key in ("slack", "email"):
            _check_own(place.child(key), key, name, owners)
    return people


def read_groups(places: Place, people: Collection[str]) -> dict[str, frozenset[str]]:
    """Every group with its members, who must exist."""
    groups = {}
    for name, place in places.members():
        check_name(name, place, NAME)
        for member in place.items():
            if (who := member.text()) is not None and who not in people:
                member.wrong("is not one of `people`")
        if place.value == []:
            place.wrong("has no members; name somebody, or leave the group out")
        groups[name] = frozenset(place.texts())
    return groups


def _roles(place: Place) -> frozenset[Role]:
    if not place.exists:
        return frozenset({Role.APPROVER})
    return frozenset(Role(r) for item in place.items() if (r := item.one_of(tuple(Role))))


def _slack(place: Place) -> str | None:
    text = place.text()
    if text is not None and not _SLACK.fullmatch(text):
        place.wrong("must be a Slack member id such as U024BE7LH (in the profile: Copy member ID)")
    return text


def _check_email(place: Place) -> None:
    text = place.text()
    if text is not None and not _EMAIL.fullmatch(text):
        place.wrong("must be an e-mail address such as bob@example.com")


def _check_own(place: Place, key: str, name: str, owners: dict[tuple[str, str], str]) -> None:
    if not isinstance(place.value, str):
        return
    owner = owners.setdefault((key, place.value.casefold()), name)
    if owner != name:
        place.wrong(f"is also that of {visible(owner)}; each person has one of their own")
