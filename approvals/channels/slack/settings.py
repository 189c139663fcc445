"""How this service is known to Slack."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class SlackSettings:
    """How this service is known to Slack. Clicks come signed (`signing_secret`), over Socket Mode
    (`app_token`), or both ways."""

    bot_token: str = field(repr=False)
    app_id: str
    signing_secret: str | None = field(default=None, repr=False)
    app_token: str | None = field(default=None, repr=False)
    base_url: str = "https://slack.com/api/"
