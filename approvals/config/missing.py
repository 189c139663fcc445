"""What the file asks for and this version cannot do yet, in sentences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from approvals.domain.pointers import below

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.domain.strictjson import Json


@dataclass(slots=True)
class Missing:
    """Sentences with the JSON pointer of what each is about."""

    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, pointer: str, sentence: str) -> None:
        self.found.append((pointer, sentence))

    def in_file_order(self, value: Json) -> tuple[str, ...]:
        """Each sentence once, in the order of the document `value`."""
        order = {pointer: at for at, pointer in enumerate(_pointers(value, ""))}
        found = sorted(self.found, key=lambda one: order.get(one[0], len(order)))
        return tuple(dict.fromkeys(sentence for _, sentence in found))


def _pointers(value: Json, pointer: str) -> Iterator[str]:
    yield pointer
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _pointers(member, below(pointer, name))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _pointers(item, below(pointer, at))
