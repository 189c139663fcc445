"""What the file asks for and this version cannot do yet, in sentences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from approvals.domain.display import visible
from approvals.domain.pointers import below

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.config.policies import Source
    from approvals.domain.policy.reading import Place
    from approvals.domain.policy.settings import ApprovalSettings
    from approvals.domain.quorum import Requirement
    from approvals.domain.strictjson import Json

_SETTINGS = ("detached",)


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

    def approval(self, place: Place, settings: ApprovalSettings) -> None:
        for key in _asked(settings):
            self.add(
                place.child(key).pointer,
                f"approval asks for {key}, which this version cannot do yet",
            )

    def policy(self, pointer: str, source: Source, fallback: ApprovalSettings) -> None:
        """Settings of rules; what `approval` of approvals.yaml asks for is said there once."""
        said = set(_asked(fallback))
        for rule, requirement in source.asking():
            for key in _asked(requirement):
                if key not in said:
                    place = visible(f"{source.label} {source.at(rule).pointer}".strip())
                    self.add(pointer, f"{place} asks for {key}, which this version cannot do yet")


def _asked(settings: ApprovalSettings | Requirement) -> list[str]:
    return [key for key in _SETTINGS if getattr(settings, key)]


def _pointers(value: Json, pointer: str) -> Iterator[str]:
    yield pointer
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _pointers(member, below(pointer, name))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _pointers(item, below(pointer, at))
