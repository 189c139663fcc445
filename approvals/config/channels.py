"""Where people are told: the channels that are declared, and a check of every name of one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from approvals.config.names import SERVER_NAME
from approvals.config.servers import read_url
from approvals.domain.display import visible
from approvals.domain.rulebook import LOG

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from approvals.config.expand import Expansion
    from approvals.domain.policy.reading import Place

MIN_SECRET = 24

_WEBHOOK = re.compile(rf"webhook:{SERVER_NAME.pattern}")
_SLACK = re.compile(r"slack:#[^\s#]{1,80}")


def read_channels(places: Place, expansion: Expansion) -> tuple[str, ...]:
    """The names of all declared channels, also of those with a problem."""
    for name, place in places.members():
        if _WEBHOOK.fullmatch(name):
            _check_webhook(place, expansion)
        elif name == LOG or _SLACK.fullmatch(name):
            if place.value is not None:
                place.only(())
        else:
            place.wrong("is no channel: write log, slack:#NAME or webhook:NAME")
    return tuple(name for name, _ in places.members())


def check_told(approval: Place, declared: Collection[str]) -> list[str]:
    """The channels that the settings at `approval` name; each must be one that can exist."""
    found = []
    for place in _told_in(approval):
        if not isinstance(place.value, str):
            continue
        found.append(place.value)
        problem = _why_nowhere(place.value, declared)
        if problem:
            place.wrong(problem)
    return found


def not_yet(name: str) -> str | None:
    """The sentence about a channel that this version cannot use."""
    if name == LOG:
        return None
    return f"{visible(name)} is a channel that this version cannot tell yet; use {LOG}"


def _why_nowhere(name: str, declared: Collection[str]) -> str | None:
    if name == LOG or name in declared or _SLACK.fullmatch(name):
        return None
    kind, _, which = name.partition(":")
    if kind == "webhook" and which.strip():
        return f"is not declared; add {visible(name)} with its url and secret to `channels`"
    if kind == "slack" and which.strip():
        return "is no Slack channel; write slack:#NAME"
    return None  # no name of a channel at all, and that was said


def _check_webhook(place: Place, expansion: Expansion) -> None:
    place.only(("url", "secret", "allow_private"))
    private = place.child("allow_private").flag()
    url = read_url(place.needs("url", "where it is sent to"), allow_private=bool(private))
    if url is not None and not url.lower().startswith("https:") and not private:
        place.child("url").wrong("must be https, unless `allow_private: true` is beside it")
    secret = expansion.text(place.needs("secret", "the key of its signatures, such as ${NAME}"))
    if secret is not None and len(secret) < MIN_SECRET:
        place.child("secret").wrong(f"must have at least {MIN_SECRET} characters")


def _told_in(approval: Place) -> Iterator[Place]:
    yield from approval.child("channels").items()
    yield from approval.child("escalate").child("channels").items()
