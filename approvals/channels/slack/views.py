"""The dialogs: why a call is denied, and all there is to know of it; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slack_sdk.models.blocks import (
    InputBlock,
    Option,
    PlainTextInputElement,
    PlainTextObject,
    StaticSelectElement,
)
from slack_sdk.models.views import View

from approvals.channels.slack.blocks import (
    MAX_CHARACTERS,
    argument_text,
    code,
    escape,
    reply_blocks,
)
from approvals.channels.slack.interactions import DENIAL, MAX_REASON, PRESET, WORDS, metadata
from approvals.domain.directory import title
from approvals.domain.display import shortened, visible

if TYPE_CHECKING:
    from datetime import tzinfo

    from approvals.channels.slack.interactions import Place
    from approvals.domain.strictjson import Json
    from approvals.ports.telling import Drawn

PRESETS = ("Not expected", "Wrong target", "Wrong amount", "Ask me first")
MAX_WORDS = MAX_REASON - max(map(len, PRESETS)) - 2


def denial(value: str, place: Place) -> dict[str, Json]:
    """The dialog in which a denial gets its reason."""
    choose = StaticSelectElement(
        action_id=PRESET,
        options=[Option(text=_plain(preset), value=preset) for preset in PRESETS],
    )
    write = PlainTextInputElement(action_id=WORDS, multiline=True, max_length=MAX_WORDS)
    view: dict[str, Json] = View(
        type="modal",
        callback_id=DENIAL,
        private_metadata=metadata(value, place),
        title=_plain("Deny this call"),
        submit=_plain("Deny"),
        close=_plain("Back"),
        blocks=[
            InputBlock(block_id=PRESET, label=_plain("Reason"), element=choose, optional=True),
            InputBlock(block_id=WORDS, label=_plain("In words"), element=write, optional=True),
        ],
    ).to_dict()
    return view


def details(drawn: Drawn, zone: tzinfo) -> dict[str, Json]:
    """Everything about a call that has room in a dialog."""
    approval = drawn.approval
    said = [
        f"{d.at.astimezone(zone):%H:%M:%S %Z}  {d.answer} by {title(d.person)} ({d.channel}, "
        f"{d.assurance.word}){': ' + visible(d.reason) if d.reason else ''}"
        for d in approval.decisions
    ]
    facts = [
        ("Approval", approval.id),
        ("Digest", approval.digest),
        ("Status", f"{approval.status}, version {approval.version}"),
        ("Rule", visible(approval.rule)),
        ("Policy", approval.policy_hash),
        ("Session", visible(approval.call.session or "none")),
        ("Asked at", f"{approval.created_at.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"),
    ]
    lines = [f"{name.ljust(9)}  {shortened(value, 300)}" for name, value in facts]
    text = argument_text(drawn.card.arguments)
    if len(escape(text).encode("utf-16-le")) // 2 > MAX_CHARACTERS // 2:
        text = "The arguments do not fit here."
    blocks = [
        code("\n".join(lines)),
        code(text),
        code("\n".join(shortened(line, 300) for line in said[-15:]) or "Nobody has answered."),
        *(reply_blocks(f"All of it: {drawn.page}") if drawn.page else []),
    ]
    return {
        "type": "modal",
        "title": {"type": "plain_text", "text": "Details", "emoji": False},
        "close": {"type": "plain_text", "text": "Close", "emoji": False},
        "blocks": blocks,
    }


def _plain(text: str) -> PlainTextObject:
    return PlainTextObject(text=text, emoji=False)
