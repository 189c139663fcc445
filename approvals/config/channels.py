"""Where people are told: the channels that are declared, and a check of every name of one."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

from approvals.channels.registry import plug_ins
from approvals.config.names import SERVER_NAME
from approvals.config.servers import read_url
from approvals.domain.display import visible
from approvals.domain.rulebook import LOG, Webhook

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from approvals.config.expand import Expansion
    from approvals.config.settings import Settings
    from approvals.domain.policy.reading import Place
    from approvals.domain.rulebook import Rulebook

SECRET_BYTES = range(24, 65)
"""As the Standard Webhooks specification has it."""
MAX_SECRETS = 2
"""The one in use and the one before it, while they are changed."""

_WEBHOOK = re.compile(rf"webhook:{SERVER_NAME.pattern}")
_SLACK = re.compile(r"slack:#[^\s#]{1,80}")


def read_channels(
    places: Place, expansion: Expansion
) -> tuple[tuple[str, ...], dict[str, Webhook]]:
    """The names of all declared channels, also of those with a problem, and the webhooks."""
    webhooks = {}
    for name, place in places.members():
        if _WEBHOOK.fullmatch(name):
            webhook = _read_webhook(place, expansion)
            if webhook is not None:
                webhooks[name] = webhook
        elif name == LOG or _SLACK.fullmatch(name) or name.partition(":")[0] in plug_ins():
            if place.value is not None:
                place.only(())
        else:
            place.wrong(
                "is no channel: write log, slack:#NAME or webhook:NAME, or install the plug-in"
            )
    return tuple(name for name, _ in places.members()), webhooks


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


def lacks(rulebook: Rulebook, settings: Settings) -> list[str]:
    """What the environment does not say and the channels of the file need, in sentences."""
    through_slack = [name for name in rulebook.channels if _SLACK.fullmatch(name)]
    if not through_slack or settings.slack_bot_token is not None:
        return []
    names = visible(", ".join(through_slack))
    needed = "APPROVALS_SLACK_BOT_TOKEN and what belongs to it (docs/how-to/slack.md)"
    return [f"{names}: people are told through Slack; set {needed}"]


def _why_nowhere(name: str, declared: Collection[str]) -> str | None:
    if name == LOG or name in declared or _SLACK.fullmatch(name):
        return None
    kind, _, which = name.partition(":")
    if not which.strip() or kind in plug_ins():
        return None  # no name of a channel at all, and that was said
    if kind == "webhook":
        return f"is not declared; add {visible(name)} with its url and secret to `channels`"
    if kind == "slack":
        return "is no Slack channel; write slack:#NAME"
    return f"is of a kind that nothing here knows; install the plug-in for {visible(kind)}"


def _read_webhook(place: Place, expansion: Expansion) -> Webhook | None:
    place.only(("url", "secret", "allow_private"))
    private = bool(place.child("allow_private").flag())
    url = read_url(place.needs("url", "where it is sent to"), allow_private=private)
    if url is not None and not url.lower().startswith("https:") and not private:
        place.child("url").wrong("must be https, unless `allow_private: true` is beside it")
    secrets = _secrets(
        place.needs("secret", "the key of its signatures, such as ${NAME}"), expansion
    )
    if url is None or not secrets:
        return None
    return Webhook(url=url, secrets=secrets, allow_private=private)


def _secrets(place: Place, expansion: Expansion) -> tuple[str, ...]:
    """One secret, or a list of the new one and the old one while it is changed."""
    if not isinstance(place.value, list):
        secret = _secret(place, expansion)
        return () if secret is None else (secret,)
    items = list(place.items())
    if not 1 <= len(items) <= MAX_SECRETS:
        place.wrong("must be one secret, or two while it is changed: the new one, then the old")
    found = [_secret(item, expansion) for item in items]
    return tuple(secret for secret in found if secret is not None)


def _secret(place: Place, expansion: Expansion) -> str | None:
    text = expansion.text(place)
    if text is None:
        return None
    try:
        size = len(base64.b64decode(text.removeprefix("whsec_"), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if size not in SECRET_BYTES:
        place.wrong("must be whsec_ and 24 to 64 random bytes in base64 (openssl rand -base64 32)")
        return None
    return text


def _told_in(approval: Place) -> Iterator[Place]:
    yield from approval.child("channels").items()
    yield from approval.child("escalate").child("channels").items()
