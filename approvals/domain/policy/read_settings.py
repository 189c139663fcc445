"""Read `approval` settings at any of the places that may say them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from approvals.domain.directory import EVERYONE, Assurance
from approvals.domain.policy.conditions import is_number
from approvals.domain.policy.settings import ApprovalSettings, Escalation
from approvals.domain.quorum import Gone, Stage

if TYPE_CHECKING:
    from approvals.domain.policy.reading import Place

_KEYS = (
    "approvers",
    "required",
    "stages",
    "ordered",
    "exclude_owner",
    "timeout",
    "use_within",
    "release_delay",
    "deny_memory",
    "remind_at",
    "escalate",
    "max_timeout",
    "on_requester_gone",
    "detached",
    "channels",
    "name_approvers",
    "allow_input",
)
_STAGE = ("name", "approvers", "required", "deny_threshold", "min_assurance")
MAX_REMINDERS = 10


def read_approval(place: Place) -> ApprovalSettings:
    """The settings at `place`; nothing when it is missing."""
    if not place.exists:
        return ApprovalSettings()
    place.only(_KEYS)
    stages = place.child("stages")
    if stages.exists and (place.child("approvers").exists or place.child("required").exists):
        stages.wrong("stands beside `approvers` or `required`; say one or the other")
    gone = place.child("on_requester_gone").one_of(tuple(Gone))
    timeout, escalate = place.child("timeout").duration(), _escalate(place.child("escalate"))
    if timeout and escalate and escalate.after >= timeout:
        place.child("escalate").wrong("comes after the timeout, so never; make `after` shorter")
    return ApprovalSettings(
        approvers=read_approvers(place.child("approvers")),
        required=place.child("required").count(),
        stages=_stages(stages),
        ordered=place.child("ordered").flag(),
        exclude_owner=place.child("exclude_owner").flag(),
        timeout=timeout,
        use_within=place.child("use_within").duration(),
        release_delay=place.child("release_delay").duration(zero=True),
        deny_memory=place.child("deny_memory").duration(zero=True),
        remind_at=_remind_at(place.child("remind_at")),
        escalate=escalate,
        max_timeout=place.child("max_timeout").duration(),
        on_requester_gone=Gone(gone) if gone else None,
        detached=place.child("detached").flag(),
        channels=_channels(place.child("channels")),
        name_approvers=place.child("name_approvers").flag(),
        allow_input=place.child("allow_input").flag(),
    )


def read_approvers(place: Place) -> frozenset[str] | None:
    """`person:NAME`, `group:NAME` or `everyone`; None when the list is missing."""
    if not place.exists:
        return None
    names = []
    for item in place.items():
        name = item.text()
        if name is None:
            continue
        kind, _, who = name.partition(":")
        if name != EVERYONE and not (kind in {"person", "group"} and who):
            item.wrong("must be person:NAME, group:NAME or everyone")
        names.append(name)
    if not names and place.value == []:
        place.wrong("names nobody; leave it out for everyone")
    return frozenset(names) or None


def _stages(place: Place) -> tuple[Stage, ...] | None:
    if not place.exists:
        return None
    stages = tuple(_stage(item) for item in place.items())
    if not stages and place.value == []:
        place.wrong("has no stage; leave it out, or say at least one")
    names = [stage.name for stage in stages if stage.name]
    for item, stage in zip(place.items(), stages, strict=True):
        if stage.name and names.count(stage.name) > 1:
            item.child("name").wrong("is the name of two stages; give each its own")
    return stages or None


def _stage(place: Place) -> Stage:
    place.only(_STAGE)
    default = Stage()
    words = [level.word for level in Assurance]
    assurance = place.child("min_assurance").one_of(words)
    return Stage(
        name=place.child("name").text() or default.name,
        approvers=read_approvers(place.needs("approvers", "whom this stage asks"))
        or default.approvers,
        required=place.child("required").count() or default.required,
        deny_threshold=place.child("deny_threshold").count() or default.deny_threshold,
        assurance=Assurance[assurance.upper()] if assurance else default.assurance,
    )


def _remind_at(place: Place) -> tuple[Decimal, ...] | None:
    if not place.exists:
        return None
    found = [part for item in place.items() if (part := _part(item)) is not None]
    if len(found) > MAX_REMINDERS:
        place.wrong(f"has more than {MAX_REMINDERS} reminders")
    return tuple(sorted(set(found)))


def _part(place: Place) -> Decimal | None:
    value = place.value
    if not is_number(value) or not 0 < value < 1:
        place.wrong("must be a number between 0 and 1, such as 0.5 for half of the time")
        return None
    return Decimal(value)


def _escalate(place: Place) -> Escalation | None:
    if not place.exists:
        return None
    place.only(("after", "approvers", "channels"))
    after = place.needs("after", "how long to wait before, such as 10m").duration()
    approvers = read_approvers(place.needs("approvers", "who is asked then as well"))
    if after is None or approvers is None:
        return None
    channels = _channels(place.child("channels")) or ()
    return Escalation(after=after, approvers=approvers, channels=channels)


def _channels(place: Place) -> tuple[str, ...] | None:
    if not place.exists:
        return None
    names = []
    for item in place.items():
        name = item.text()
        if name is not None and not is_channel(name):
            item.wrong("must be log, slack:#NAME, webhook:NAME or KIND:NAME of a plug-in")
        names.append(name or "")
    if not names and place.value == []:
        place.wrong("names no channel; leave it out for all of them")
    return tuple(dict.fromkeys(names)) or None


def is_channel(name: str) -> bool:
    """Whether this can be the name of a channel; the kinds there are, are not known here."""
    kind, _, which = name.partition(":")
    return name == "log" or (_KIND.fullmatch(kind) is not None and bool(which.strip()))


_KIND = re.compile(r"[a-z][a-z0-9-]{0,30}")
