"""One channel of Slack, as the outbox tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.channels.slack.api import Refused
from approvals.channels.slack.blocks import (
    Message,
    digest_message,
    escape,
    message,
    reply_blocks,
    sample,
)
from approvals.ports.telling import LOST, NotTold, Receipt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.channels.slack.api import SlackApi
    from approvals.domain.strictjson import Json
    from approvals.ports.telling import Drawn, Notice

_PLAIN: dict[str, Json] = {
    "mrkdwn": False,
    "parse": "none",
    "link_names": False,
    "unfurl_links": False,
    "unfurl_media": False,
}


class SlackChannel:
    """`#name`. Receipts are `C024BE91L/1503435956.000247`: Slack's channel, and its `ts`."""

    def __init__(self, api: SlackApi, name: str) -> None:
        self._api = api
        self._name = name

    async def announce(self, notice: Notice) -> Receipt:
        return await self.post(message(notice))

    async def post(self, said: Message, *, thread: str | None = None) -> Receipt:
        """Post it, in a thread or by itself. Raises NotTold."""
        there: dict[str, Json] = {} if thread is None else {"thread_ts": thread}
        values: dict[str, Json] = {"text": said.text, "blocks": said.blocks, **there, **_PLAIN}
        try:
            answer = await self._api.call("chat.postMessage", channel=self._name, **values)
        except Refused as error:
            plain = self._name.removeprefix("#")
            if error.word != "channel_not_found" or plain == self._name:
                raise
            # Slack names public channels with the sign, and private ones without it.
            answer = await self._api.call("chat.postMessage", channel=plain, **values)
        channel, ts = answer.get("channel"), answer.get("ts")
        if not isinstance(channel, str) or not isinstance(ts, str):
            raise NotTold("Slack did not say where it keeps the message", unclear=LOST)
        return receipt(channel, ts)

    async def update(self, receipt: Receipt, notice: Notice) -> None:
        await show(self._api, receipt, message(notice))

    async def reply(self, receipt: Receipt, text: str) -> None:
        channel, _, ts = receipt.partition("/")
        said = Message(escape(text), reply_blocks(text))
        await SlackChannel(self._api, channel).post(said, thread=ts)

    async def probe(self) -> None:
        await self._api.call("auth.test")

    async def digest(self, waiting: Sequence[Drawn], *, more: int) -> None:
        pages = {one.page.rpartition("/a/")[0] for one in waiting} - {""}
        await self.post(digest_message(waiting, more=more, page=next(iter(pages), "")))

    async def sample(self) -> None:
        lines = (f"posted in {self._name} by the app", "press the button: it decides nothing")
        await self.post(sample(lines, button=True))


async def show(api: SlackApi, receipt: Receipt, said: Message) -> None:
    """Make the message show this. Raises NotTold."""
    channel, _, ts = receipt.partition("/")
    await api.call(
        "chat.update",
        channel=channel,
        ts=ts,
        text=said.text,
        blocks=said.blocks,
        parse="none",
        link_names=False,
    )


def receipt(channel: str, ts: str) -> Receipt:
    """Where Slack keeps a message."""
    return Receipt(f"{channel}/{ts}")
