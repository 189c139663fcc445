"""Webhooks: events as signed letters, as Standard Webhooks has it (CHANNELS.md, "Webhooks")."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from standardwebhooks.webhooks import Webhook as Signer

from approvals.channels.letter import written
from approvals.channels.retrying import retry_after
from approvals.outbound import Blocked, Broken, Unreached
from approvals.ports.telling import LATE, LOST, NotTold

if TYPE_CHECKING:
    from approvals.domain.rulebook import Webhook
    from approvals.outbound import Answer, Outbound
    from approvals.ports import Clock
    from approvals.ports.telling import Delivery, Notice

TIMEOUT = 9.0
"""Seconds for the whole of one attempt."""
GONE, TOO_MANY, SERVER_ERROR = 410, 429, 500
OK = range(200, 300)


class WebhookChannel:
    """One address that is told every event."""

    def __init__(self, webhook: Webhook, outbound: Outbound, clock: Clock) -> None:
        self._webhook = webhook
        self._outbound = outbound
        self._clock = clock

    @property
    def address(self) -> str:
        return self._webhook.url

    def written(self, notice: Notice) -> str | None:
        return written(notice)

    async def send(self, delivery: Delivery, body: str) -> None:
        try:
            async with (
                asyncio.timeout(TIMEOUT),
                self._outbound.request(
                    "POST",
                    self._webhook.url,
                    headers=self._headers(delivery, body),
                    body=body.encode(),
                ) as answer,
            ):
                self._judge(answer)  # by its status; what it says more is not read
        except Blocked as error:
            raise NotTold(f"the address may not be reached: {error}") from error
        except Unreached as error:
            raise NotTold(f"the address cannot be reached ({error})") from error
        except Broken as error:
            raise NotTold(f"no answer came ({error})", unclear=LOST) from error
        except TimeoutError as error:
            raise NotTold(f"no answer came in {TIMEOUT:.0f} s", unclear=LATE) from error

    def _headers(self, delivery: Delivery, body: str) -> list[tuple[bytes, bytes]]:
        now = self._clock.now()
        signed = [
            Signer(secret).sign(msg_id=delivery.id, timestamp=now, data=body)
            for secret in self._webhook.secrets
        ]
        return [
            (b"content-type", b"application/json"),
            (b"user-agent", b"approvals"),
            (b"webhook-id", delivery.id.encode()),
            (b"webhook-timestamp", str(int(now.timestamp())).encode()),
            (b"webhook-signature", " ".join(signed).encode()),
        ]

    def _judge(self, answer: Answer) -> None:
        if answer.status in OK:
            return
        if answer.status == GONE:
            raise NotTold("it answered 410: it wants to be told nothing more", closed=True)
        said = answer.header(b"retry-after")
        pause = retry_after(said.decode("latin-1") if said else None, now=self._clock.now())
        raise NotTold(f"it answered {answer.status}", retry_after=pause)
