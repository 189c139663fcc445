"""A channel of your own: `ntfy:TOPIC` pushes a line to a phone. See docs/how-to/channel.md."""

import os

import httpx2

from approvals.ports.telling import Notice, NotTold


class Ntfy:
    def __init__(self, topic: str) -> None:
        self._url = f"{os.environ['NTFY_URL']}/{topic}"

    async def announce(self, notice: Notice) -> None:
        said = f"{notice.card.question} {notice.card.outcome or notice.card.lock_screen}"
        async with httpx2.AsyncClient(timeout=8, trust_env=False) as http:
            answer = await http.post(self._url, content=said, headers={"Click": notice.page})
        if not answer.is_success:
            raise NotTold(f"ntfy answered {answer.status_code}")
