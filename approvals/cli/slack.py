"""`slack`: the app's manifest, and a sample that says what works."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from approvals.cli.connection import connect
from approvals.cli.say import say, say_lines
from approvals.config.settings import read_settings

if TYPE_CHECKING:
    from approvals.config.settings import Settings


def manifest() -> None:
    """Print the manifest with which Slack makes the app (api.slack.com/apps, "From a manifest")."""
    say_lines(json.dumps(manifest_of(read_settings()), indent=2))


def test(channel: str, *, url: str | None, key: str | None) -> None:
    """Post a sample in a channel."""
    name = channel if channel.startswith("#") else f"#{channel}"
    with connect(url, key) as client:
        client.slack_test(name)
    say(f"Posted in {name}. Press the button there: the message then says what it has passed.")


def manifest_of(settings: Settings) -> dict[str, object]:
    """Clicks come to the public URL where there is one, else over Socket Mode."""
    address = f"{settings.public_url}/slack/interactions" if settings.public_url else None
    interactivity: dict[str, object] = {"is_enabled": True}
    if address is not None:
        interactivity["request_url"] = address
    return {
        "display_information": {
            "name": "approvals",
            "description": "People decide before an AI agent's tool call runs.",
        },
        "features": {"bot_user": {"display_name": "approvals", "always_online": True}},
        "oauth_config": {"scopes": {"bot": ["chat:write", "chat:write.public"]}},
        "settings": {
            "interactivity": interactivity,
            "org_deploy_enabled": False,
            "socket_mode_enabled": address is None,
            "token_rotation_enabled": False,
        },
    }
