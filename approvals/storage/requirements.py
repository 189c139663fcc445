"""A requirement as it is stored: one JSON text, in which later versions may have more."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from approvals.domain.digest import stage_facts
from approvals.domain.directory import Assurance
from approvals.domain.protected import requirement_facts
from approvals.domain.quorum import Gone, Requirement, Stage
from approvals.domain.strictjson import canonical, parse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Row = Mapping[str, Any]


def requirement_text(requirement: Requirement) -> str:
    """Everything a requirement says, as one text."""
    return _text(requirement, tuple(map(str, requirement.remind_at)))


@lru_cache(maxsize=1024)
def _text(requirement: Requirement, remind_at: tuple[str, ...]) -> str:
    """`remind_at`: its words, since 0.5 and 0.50 are equal and are not written alike."""
    del remind_at
    stages = [stage_facts(stage) for stage in requirement.stages]
    return canonical({**requirement_facts(requirement), "stages": stages})


@lru_cache(maxsize=1024)
def requirement_of(text: str) -> Requirement:
    """The requirement of a text; keys that an older version did not write have their defaults."""
    read = {**requirement_facts(Requirement()), **cast("Row", parse(text.encode("utf-8")))}
    return Requirement(
        stages=tuple(
            Stage(
                name=stage["name"],
                approvers=frozenset(stage["approvers"]),
                required=stage["required"],
                deny_threshold=stage["deny_threshold"],
                assurance=Assurance[stage["assurance"].upper()],
                escalates_to=frozenset(stage.get("escalates_to", ())),
            )
            for stage in read["stages"]
        ),
        ordered=read["ordered"],
        exclude_owner=read["exclude_owner"],
        timeout=_length(read["timeout_us"]),
        use_within=_length(read["use_within_us"]),
        release_delay=_length(read["release_delay_us"]),
        deny_memory=_length(read["deny_memory_us"]),
        remind_at=tuple(Decimal(part) for part in read["remind_at"]),
        escalate_after=None
        if read["escalate_after_us"] is None
        else _length(read["escalate_after_us"]),
        escalate_channels=tuple(read["escalate_channels"]),
        max_timeout=_length(read["max_timeout_us"]),
        on_requester_gone=Gone(read["on_requester_gone"]),
        detached=read["detached"],
        channels=None if read["channels"] is None else tuple(read["channels"]),
        name_approvers=read["name_approvers"],
        allow_input=read["allow_input"],
    )


def _length(microseconds: int) -> timedelta:
    return timedelta(microseconds=microseconds)
