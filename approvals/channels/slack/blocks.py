"""A card as Slack's blocks, within Slack's limits by construction; pure.

Text that agents, servers or people wrote stands only in plain text and in preformatted text, where
nothing of it is markup. What does not fit whole is not approved here: then every argument is named
with its size, and Review leads to the page (promise 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    ContextBlock,
    HeaderBlock,
    PlainTextObject,
    RichTextBlock,
    RichTextElementParts,
    RichTextPreformattedElement,
    SectionBlock,
)

from approvals.domain.display import shortened
from approvals.domain.risk import Level
from approvals.domain.states import Pending

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from approvals.domain.card import ArgumentLine, Card
    from approvals.domain.strictjson import Json
    from approvals.ports.telling import Drawn

MAX_CHARACTERS = 12_000
MAX_HEADER = 150
MAX_FIELD = 300
MAX_NOTE = 600
MAX_NOTES = 10
MAX_CONFIRM = 300
MAX_TEXT = 150
MAX_KEYS = 3_000
"""Characters for the names of arguments that do not fit whole."""
WIDEST_NAME = 24

APPROVE, DENY, DETAILS, REVIEW = "approve", "deny", "details", "review"
"""`action_id` of the buttons. What they are about is in `value`."""
TRY = "try"
"""The button of a sample."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is posted: the text of the lock screen, and the blocks."""

    text: str
    blocks: list[Json]

    @property
    def approves(self) -> bool:
        """Whether it has the button."""
        return any(
            isinstance(element, dict) and element.get("action_id") == APPROVE
            for block in self.blocks
            if isinstance(block, dict) and block.get("type") == "actions"
            for element in _list(block["elements"])
        )


def message(drawn: Drawn) -> Message:
    """The card as it stands. Approve is there only when every byte of the arguments is."""
    if _fits(drawn.card):
        whole = _message(drawn, argument_text(drawn.card.arguments), complete=drawn.approvable)
        if size_of(whole.blocks) <= MAX_CHARACTERS:
            return whole
    return _message(drawn, _sizes(drawn.card.arguments), complete=False)


def digest_message(waiting: Sequence[Drawn], *, more: int, page: str) -> Message:
    """One message for many calls that wait; their cards follow."""
    count = len(waiting) + more
    head = f"{count} more calls wait for a decision"
    lines = [f"{n.card.risk}  {n.card.question}  {_who(n)}  {_by(n)}" for n in waiting]
    if more:
        lines.append(f"and {more} more")
    where = f" All of them: {page}" if page else ""
    blocks = _written(
        HeaderBlock(text=_plain(head)),
        _code("\n".join(shortened(line, MAX_FIELD) for line in lines)),
        ContextBlock(elements=[_plain(f"Their cards follow, ten a minute.{where}")]),
    )
    return Message(escape(head), blocks)


def reply_blocks(text: str) -> list[Json]:
    """A sentence in the thread."""
    return _written(ContextBlock(elements=[_plain(shortened(text, MAX_NOTE))]))


def sample(lines: Sequence[str], *, button: bool) -> Message:
    """What `approvals slack test` posts: a button that decides nothing."""
    head = "This is a test of approvals"
    press = ButtonElement(text=_plain("Press me"), action_id=TRY, value="try")
    blocks = _written(
        HeaderBlock(text=_plain(head)),
        _code("\n".join(lines)),
        *([ActionsBlock(elements=[press])] if button else []),
    )
    return Message(head, blocks)


def escape(text: str) -> str:
    """Text where Slack reads markup: without any of it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> Json:
    """A block of preformatted text."""
    [block] = _written(_code(text))
    return block


def argument_text(lines: Sequence[ArgumentLine]) -> str:
    """Every argument, name and exact value, one below the other."""
    width = min(WIDEST_NAME, max((len(line.name) for line in lines), default=0))
    shown = [f"{line.name.ljust(width)}  {line.value}{_flags(line)}" for line in lines]
    count = len(lines)
    if not count:
        return "(no arguments)"
    return "\n".join([*shown, f"(all {count} argument{'s' if count > 1 else ''} shown)"])


def size_of(blocks: Iterable[Json]) -> int:
    """Characters of all text in it, as Slack may count them: escaped, and in UTF-16."""
    total = 0
    for block in blocks:
        match block:
            case str():
                total += len(escape(block).encode("utf-16-le")) // 2
            case dict():
                total += size_of(block.values())
            case list():
                total += size_of(block)
    return total


def _message(drawn: Drawn, arguments: str, *, complete: bool) -> Message:
    card, waits = drawn.card, isinstance(drawn.approval.state, Pending)
    blocks = [
        HeaderBlock(text=_plain(shortened(card.question, MAX_HEADER))),
        SectionBlock(fields=[_plain(f"{n}\n{shortened(v, MAX_FIELD)}") for n, v in _facts(card)]),
        _code(arguments),
        ContextBlock(elements=[_plain(shortened(n, MAX_NOTE)) for n in card.notes[:MAX_NOTES]]),
        ContextBlock(elements=[_plain(_last_line(drawn))]),
    ]
    if waits:
        blocks.append(ActionsBlock(elements=_buttons(drawn, complete=complete)))
    text = card.lock_screen if waits else f"{card.outcome}: {card.question}"
    return Message(escape(shortened(text, MAX_TEXT)), _written(*blocks))


def _facts(card: Card) -> list[tuple[str, str]]:
    """In the order of the card, with the risk where the eye looks for it."""
    facts = list(card.facts)
    return [*facts[:3], ("Risk", card.risk), *facts[3:]]


def _last_line(drawn: Drawn) -> str:
    approval, card = drawn.approval, drawn.card
    short = approval.digest.rpartition(":")[2][:6]
    how = shortened(card.outcome or card.deadline, MAX_NOTE)
    return f"{how} · {approval.id} · sha {short}"


def _buttons(drawn: Drawn, *, complete: bool) -> list[ButtonElement]:
    value = f"{drawn.approval.id}:{drawn.approval.digest}"
    critical = drawn.approval.risk.level is Level.CRITICAL
    buttons = []
    if complete:
        buttons.append(
            ButtonElement(
                text=_plain("Approve"),
                action_id=APPROVE,
                value=value,
                style=None if critical else "primary",
                confirm=ConfirmObject(
                    title=_plain("Run this call?"),
                    text=_plain(shortened(drawn.card.confirm, MAX_CONFIRM)),
                    confirm=_plain("Approve"),
                    deny=_plain("Back"),
                ),
            )
        )
    elif drawn.page:
        buttons.append(
            ButtonElement(text=_plain("Review"), action_id=REVIEW, url=drawn.page, value=value)
        )
    buttons.append(ButtonElement(text=_plain("Deny…"), action_id=DENY, value=value))
    buttons.append(ButtonElement(text=_plain("Details"), action_id=DETAILS, value=value))
    return buttons


def _fits(card: Card) -> bool:
    """Whether there is any use in trying: a mebibyte is not laid out to be thrown away."""
    return sum(len(line.name) + len(line.value) for line in card.arguments) <= MAX_CHARACTERS


def _sizes(lines: Sequence[ArgumentLine]) -> str:
    """Every argument with its size, as far as there is room for their names."""
    shown, left = [], MAX_KEYS
    for line in lines:
        text = f"{shortened(line.name, 80)}  ({len(line.value)} characters){_flags(line)}"
        left -= len(text) + 1
        if left < 0:
            break
        shown.append(text)
    rest = len(lines) - len(shown)
    if rest:
        shown.append(f"… and {rest} more")
    return "\n".join([*shown, f"({len(lines)} arguments, too much to show here: Review them)"])


def _flags(line: ArgumentLine) -> str:
    return f"   ! {', '.join(line.flags)}" if line.flags else ""


def _who(drawn: Drawn) -> str:
    return f"{drawn.approval.call.agent} on {drawn.approval.call.server}"


def _by(drawn: Drawn) -> str:
    return drawn.card.deadline.removeprefix("If nobody answers: ")


def _plain(text: str) -> PlainTextObject:
    return PlainTextObject(text=text or " ", emoji=False)


def _code(text: str) -> RichTextBlock:
    part = RichTextElementParts.Text(text=text or " ")
    return RichTextBlock(elements=[RichTextPreformattedElement(elements=[part])])


def _written(*blocks: Block) -> list[Json]:
    """As JSON. The library's validators raise where a limit is not kept."""
    return [block.to_dict() for block in blocks]


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
