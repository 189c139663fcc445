"""The card in a terminal. Its words come from the service; `say` makes them safe to print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME_WIDTH = 12


def lines(card: Mapping[str, Any]) -> list[str]:
    """The whole card: what, how bad, who asks, which arguments, what else, until when."""
    return list(_lines(card))


def sha(digest: str) -> str:
    """The beginning of a digest, as every surface shows it."""
    return digest.rpartition(":")[2][:6]


def _lines(card: Mapping[str, Any]) -> Iterator[str]:
    yield card["question"]
    yield f"  {card['risk']}"
    for fact in card["facts"]:
        yield f"  {fact['name']:<8} {fact['value']}"
    for argument in card["arguments"]:
        flags = "".join(f"  [{flag}]" for flag in argument["flags"])
        yield f"    {argument['name']:<{NAME_WIDTH}} {argument['value']}{flags}"
    yield f"    {_completeness(card)}"
    for note in card["notes"]:
        yield f"  {note}"
    ending = card["outcome"] or card["deadline"] or card["status"]
    yield f"  {ending} · {card['id']} · sha {sha(card['digest'])}"


def _completeness(card: Mapping[str, Any]) -> str:
    if not card["complete"]:
        return "(not everything is shown here; this call cannot be approved here)"
    count = len(card["arguments"])
    return f"(all {count} arguments shown)" if count != 1 else "(the one argument is shown)"
