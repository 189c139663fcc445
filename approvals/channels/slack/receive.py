"""`POST /slack/interactions`: a click, signed by Slack over the bytes as they came."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from slack_sdk.signature import Clock as SlackClock
from slack_sdk.signature import SignatureVerifier

from approvals.channels.slack.clicks import NotOurs
from approvals.channels.slack.interactions import Malformed
from approvals.domain.strictjson import parse
from approvals.errors import BodyTooLarge, InvalidInput
from approvals.ports.telling import NotTold
from approvals.wire import read_body, respond, text_header

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from approvals.channels.slack.clicks import Clicks
    from approvals.domain.strictjson import Json
    from approvals.ports import Clock

logger = logging.getLogger(__name__)

TEXT = b"text/plain; charset=utf-8"


class Refused(Exception):
    """Not what Slack sends to this app."""


class Interactions:
    """An ASGI endpoint. What is not signed, not fresh or not for us is answered 401, and changes
    nothing."""

    def __init__(self, clicks: Clicks, signing_secret: str, clock: Clock) -> None:
        self._clicks = clicks
        self._verifier = SignatureVerifier(signing_secret, _Now(clock))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await read_body(scope, receive)
            payload = self._verified(scope, body)
            await self._clicks.take(payload, over="over HTTP, and its signature is right")
        except BodyTooLarge as error:
            await respond(send, 413, str(error).encode(), content_type=TEXT)
        except (Refused, Malformed, NotOurs, InvalidInput):
            logger.warning("a request to /slack/interactions was refused")
            await respond(send, 401, b"not signed by Slack for this app", content_type=TEXT)
        except (NotTold, TimeoutError):
            await respond(send, 503, b"Slack cannot be asked who this is", content_type=TEXT)
        else:
            await respond(send, 200, b"", content_type=TEXT)

    def _verified(self, scope: Scope, body: bytes) -> Json:
        """The payload. Raises Refused."""
        timestamp = text_header(scope, b"x-slack-request-timestamp")
        signature = text_header(scope, b"x-slack-signature")
        try:
            # The library raises on hostile headers and bodies (FACTS.md, "slack-sdk").
            if not self._verifier.is_valid(body, timestamp, signature):
                raise Refused
            fields = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=10)
            [text] = fields["payload"]
            return parse(text.encode("utf-8"))
        except Refused:
            raise
        except Exception as error:
            raise Refused from error


class _Now(SlackClock):
    """The time of the database, as the library wants it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now().timestamp()
