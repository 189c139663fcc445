"""What a webhook is sent: the event and the approval as it stands, at most 20 kB; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from approvals.domain.display import shortened
from approvals.domain.strictjson import Json, canonical
from approvals.resource import approval_resource, time_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from approvals.domain.states import Approval
    from approvals.ports.telling import Delivery, Notice

MAX_BYTES = 20_000
MAX_NAMES = 100
MAX_NAME = 60
MAX_SAID = 20
MAX_TEXT = 200
_TYPES = {
    "parked": "approval.requested",
    "approval_counted": "approval.decided",
    "denial_counted": "approval.decided",
    "approved": "approval.approved",
    "denied": "approval.denied",
    "expired": "approval.expired",
    "lapsed": "approval.lapsed",
    "cancelled": "approval.cancelled",
    "reminded": "approval.reminder",
    "escalated": "approval.escalated",
    "succeeded": "release.succeeded",
    "failed": "release.failed",
    "not_sent": "release.not_sent",
    "outcome_unknown": "release.outcome_unknown",
}
"""Type of the event → of the letter; of other events no letter is sent."""


def written(notice: Notice) -> str | None:
    """The letter, or None where there is none to send."""
    kind = _TYPES.get(notice.delivery.event)
    if kind is None:
        return None
    approval = notice.approval
    shown = {
        **approval_resource(approval, names_people=True),
        "arguments_complete": not approval.hidden and approval.erased is None,
        "links": {"self": f"/v1/approvals/{approval.id}", "page": notice.page or None},
    }
    sizes = _sizes(approval)
    cut = dict(list(sizes.items())[:MAX_NAMES])
    for one in (
        shown,
        _without_values(shown, sizes),
        _shortened(_without_values(shown, cut), len(sizes)),
        _least(approval, notice.page),
    ):
        letter = _letter(kind, notice.delivery, one)
        if len(letter.encode()) <= MAX_BYTES:
            return letter
    raise AssertionError("the least letter is too long")


def _letter(kind: str, delivery: Delivery, approval: Mapping[str, object]) -> str:
    return canonical(
        {"type": kind, "timestamp": time_text(delivery.at), "data": {"approval": approval}}
    )


def _sizes(approval: Approval) -> dict[str, Json]:
    """Of each argument how many bytes it has."""
    return {
        name: {"bytes": len(canonical(value).encode())}
        for name, value in approval.shown_arguments.items()
    }


def _without_values(shown: Mapping[str, object], sizes: Mapping[str, Json]) -> dict[str, object]:
    return {
        **shown,
        "arguments": dict(sizes),
        "arguments_count": len(sizes),
        "arguments_complete": False,
    }


def _shortened(shown: Mapping[str, object], count: int) -> dict[str, object]:
    """The same with long texts cut short: names of arguments, what people and the agent said."""
    arguments = cast("Mapping[str, Json]", shown["arguments"])
    decisions = cast("Sequence[Mapping[str, object]]", shown["decisions"])
    named: dict[str, Json] = {}
    for name, size in arguments.items():
        short = shortened(name, MAX_NAME)
        while short in named:  # two names that begin alike stay two
            short += "…"
        named[short] = size
    return {
        **{name: _cut(value) for name, value in shown.items()},
        "arguments": named,
        "arguments_count": count,
        "decisions": [{k: _cut(v) for k, v in one.items()} for one in decisions[-MAX_SAID:]],
    }


def _cut(value: object) -> object:
    return shortened(value, MAX_TEXT) if isinstance(value, str) else value


def _least(approval: Approval, page: str) -> Mapping[str, object]:
    """What a receiver needs to ask for the rest."""
    return {
        "id": approval.id,
        "status": str(approval.status),
        "version": approval.version,
        "digest": approval.digest,
        "server": shortened(approval.call.server, 200),
        "tool": shortened(approval.call.tool, 200),
        "summary": shortened(approval.summary, 1000),
        "risk": {"level": str(approval.risk.level), "category": str(approval.risk.category)},
        "agent": {"name": approval.call.agent, "owner": approval.call.owner},
        "expires_at": time_text(approval.expires_at),
        "arguments": None,
        "arguments_count": len(approval.shown_arguments),
        "arguments_complete": False,
        "links": {"self": f"/v1/approvals/{approval.id}", "page": page or None},
    }
