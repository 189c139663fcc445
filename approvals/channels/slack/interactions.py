"""What Slack says of a click, read out of its JSON; pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.channels.slack.send import receipt

if TYPE_CHECKING:
    from approvals.domain.strictjson import Json
    from approvals.ports.telling import Receipt

DENIAL = "denial"
"""`callback_id` of the dialog in which a denial gets its reason."""
PRESET, WORDS = "preset", "words"
MAX_REASON = 1000


class Malformed(Exception):
    """No click that Slack could have sent for this app."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The message on which somebody clicked."""

    channel: str
    name: str
    ts: str

    @property
    def receipt(self) -> Receipt:
        return receipt(self.channel, self.ts)


@dataclass(frozen=True, kw_only=True, slots=True)
class Interaction:
    """A click, or a dialog that was sent. `value` is `apr_…:digest`; `trigger` lets a dialog be
    opened within three seconds."""

    team: str
    app: str
    member: str
    action: str
    value: str
    trigger: str
    place: Place | None
    reason: str | None = None

    @property
    def about(self) -> tuple[str, str]:
        """Which approval, and the digest of what was read."""
        approval_id, _, digest = self.value.partition(":")
        return approval_id, digest


def read(payload: Json) -> Interaction | None:
    """The click; None for what Slack says of other things. Raises Malformed."""
    try:
        match _text(payload, "type"):
            case "block_actions":
                return _click(payload)
            case "view_submission":
                return _submission(payload)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise Malformed from error
    return None


def metadata(value: str, place: Place) -> str:
    """What a dialog carries along: what it is about and on which message it was opened."""
    return json.dumps(
        {"value": value, "channel": place.channel, "name": place.name, "ts": place.ts}
    )


def _click(payload: Json) -> Interaction:
    action = _member(payload, "actions")
    if not isinstance(action, list) or not action:
        raise Malformed
    return Interaction(
        action=_text(action[0], "action_id"),
        value=_optional(action[0], "value"),
        place=_place(payload),
        trigger=_optional(payload, "trigger_id"),
        team=_team(payload),
        app=_text(payload, "api_app_id"),
        member=_text(_member(payload, "user"), "id"),
    )


def _submission(payload: Json) -> Interaction:
    view = _member(payload, "view")
    carried: Json = json.loads(_text(view, "private_metadata"))
    return Interaction(
        action=_text(view, "callback_id"),
        value=_text(carried, "value"),
        place=Place(
            channel=_text(carried, "channel"),
            name=_text(carried, "name"),
            ts=_text(carried, "ts"),
        ),
        trigger="",
        team=_team(payload),
        app=_text(payload, "api_app_id"),
        member=_text(_member(payload, "user"), "id"),
        reason=_reason(_member(_member(view, "state"), "values")),
    )


def _team(payload: Json) -> str:
    """The workspace; where the app is installed for a whole organisation, the person's."""
    team = _member(payload, "team")
    return _text(_member(payload, "user"), "team_id") if team is None else _text(team, "id")


def _place(payload: Json) -> Place | None:
    container = _member(payload, "container")
    if _text(container, "type") != "message":
        return None
    return Place(
        channel=_text(container, "channel_id"),
        name=_optional(_member(payload, "channel"), "name"),
        ts=_text(container, "message_ts"),
    )


def _reason(values: Json) -> str | None:
    """The chosen sentence, the typed words, or both."""
    preset = _member(_member(values, PRESET), PRESET)
    chosen = _member(preset, "selected_option") if isinstance(preset, dict) else None
    said = _member(_member(values, WORDS), WORDS)
    words = _member(said, "value") if isinstance(said, dict) else None
    parts = [_text(chosen, "value")] if isinstance(chosen, dict) else []
    if isinstance(words, str) and words.strip():
        parts.append(words.strip())
    return ": ".join(parts)[:MAX_REASON] or None


def _member(value: Json, name: str) -> Json:
    if not isinstance(value, dict):
        raise Malformed
    return value[name]


def _text(value: Json, name: str) -> str:
    found = _member(value, name)
    if not isinstance(found, str):
        raise Malformed
    return found


def _optional(value: Json, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
