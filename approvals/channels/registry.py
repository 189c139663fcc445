"""The channels of the configuration as it is now, and those that plug-ins bring."""

from __future__ import annotations

import logging
from functools import lru_cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from approvals.channels.log import LogChannel
from approvals.channels.webhook import WebhookChannel
from approvals.domain.rulebook import LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from approvals.channels.slack.connection import Slack
    from approvals.outbound import Outbound
    from approvals.ports import Clock
    from approvals.ports.telling import Channel, Letters, Paced
    from approvals.service.rules import Rules

logger = logging.getLogger(__name__)

GROUP = "approvals.channels"
OURS = frozenset({LOG, "slack", "webhook"})


@lru_cache(maxsize=1)
def plug_ins() -> Mapping[str, Callable[[str], Channel]]:
    """What makes a channel of each kind that is installed: `teams:ops` is `teams` called with
    `ops`. Our own kinds cannot be replaced."""
    made = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        if point.name in OURS:
            continue
        try:
            made[point.name] = cast("Callable[[str], Channel]", point.load())
        except Exception:
            logger.exception("the plug-in for %s channels does not load", point.name)
    return made


class Registry:
    """Finds channels by name. `public` reaches only the internet, `private` also this network."""

    def __init__(
        self,
        *,
        rules: Rules,
        clock: Clock,
        slack: Slack | None,
        public: Outbound,
        private: Outbound,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._slack = slack
        self._public = public
        self._private = private
        self._log = LogChannel()
        self._made: dict[str, Channel] = {}

    def find(self, name: str) -> Channel | Paced | Letters | None:
        kind, _, which = name.partition(":")
        if name == LOG:
            return self._log
        if kind == "slack":
            return self._slack.channel(which) if self._slack else None
        if kind == "webhook":
            webhook = self._rules.current.webhooks.get(name)
            if webhook is None:
                return None
            outbound = self._private if webhook.allow_private else self._public
            return WebhookChannel(webhook, outbound, self._clock)
        if name not in self._made and kind in plug_ins():
            try:
                self._made[name] = plug_ins()[kind](which)
            except Exception:
                logger.exception("%s could not be made by its plug-in", name)
        return self._made.get(name)
