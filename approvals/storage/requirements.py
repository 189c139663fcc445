"""A requirement as it is stored: one JSON text, in which later versions may have more."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from approvals.domain.digest import stage_facts
from approvals.domain.directory import Assurance
from approvals.domain.protected import remembered, requirement_facts
from approvals.domain.quorum import Gone, Requirement, Stage
from approvals.domain.strictjson import canonical, parse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Row = Mapping[str, Any]


@remembered
def requirement_text(requirement: Requirement) -> str:
    """Everything a requirement says, as one text."""
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
                required=_count(stage["required"]),
                deny_threshold=_count(stage["deny_threshold"]),
                assurance=Assurance[stage["assurance"].upper()],
                escalates_to=frozenset(stage.get("escalates_to", ())),
            )
            for stage in read["stages"]
        ),
        ordered=_flag(read["ordered"]),
        exclude_owner=_flag(read["exclude_owner"]),
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
        detached=_flag(read["detached"]),
        channels=None if read["channels"] is None else tuple(read["channels"]),
        name_approvers=_flag(read["name_approvers"]),
        allow_input=_flag(read["allow_input"]),
    )


def _length(microseconds: object) -> timedelta:
    return timedelta(microseconds=_count(microseconds))


def _count(value: object) -> int:
    """An integer. 1.0 and true are equal to 1 and are not written like it: who wrote that here
    altered the row."""
    if type(value) is not int:
        raise TypeError("a number")
    return value


def _flag(value: object) -> bool:
    if type(value) is not bool:
        raise TypeError("a flag")
    return value
