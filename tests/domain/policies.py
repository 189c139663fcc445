"""Policies for tests of the domain, written as documents, and what they say of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from approvals.domain.policy.document import NO_SETTINGS, read_policy
from approvals.domain.policy.evaluate import judge
from approvals.domain.policy.paths import Facts
from approvals.domain.risk import UNKNOWN
from approvals.domain.strictjson import parse
from approvals.errors import ConfigurationInvalid
from tests.domain.builders import NOON, call

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from approvals.domain.policy.model import Policy, Verdict
    from approvals.domain.policy.settings import ApprovalSettings
    from approvals.domain.quorum import Requirement
    from approvals.domain.strictjson import Json

HEAD = '"version": "1", "default": "deny"'
ALWAYS: dict[str, Json] = {"conditions": []}
ASKS: dict[str, Json] = {"conditions": [], "on_deny": "Requires human approval."}
NO_LABELS: Mapping[str, str] = {}


def document(tool: Json = None, **top: Json) -> dict[str, Json]:
    """A document for tool `t` that denies by default."""
    tools: dict[str, Json] = {} if tool is None else {"t": tool}
    return {"version": "1", "default": "deny", "tools": tools, **top}


def policy(tool: Json = None, *, fallback: ApprovalSettings = NO_SETTINGS, **top: Json) -> Policy:
    """That document, read."""
    return read_policy(document(tool, **top), source="test", fallback=fallback)


def read(text: str, *, fallback: ApprovalSettings = NO_SETTINGS) -> Policy:
    """A policy as it stands in a file."""
    return read_policy(parse(text.encode()), source="policy.json", fallback=fallback)


def judged(
    rules: Policy,
    arguments: dict[str, Json] | None = None,
    *,
    tool: str = "t",
    now: datetime = NOON,
    labels: Mapping[str, str] = NO_LABELS,
    **changes: object,
) -> Verdict:
    """What the policy says of a call of `tool`."""
    return judge(rules, call(arguments, tool=tool, **changes), now=now, labels=labels)


def asked(rules: Policy) -> Requirement:
    """Whom the policy asks about a call of `t`."""
    requirement = judged(rules).requirement
    assert requirement is not None
    return requirement


def problems(found: Json, *, fallback: ApprovalSettings = NO_SETTINGS) -> tuple[str, ...]:
    """Everything that is wrong with a document."""
    with pytest.raises(ConfigurationInvalid) as refused:
        read_policy(found, source="test", fallback=fallback)
    return refused.value.problems


def pointers(found: Json) -> list[str]:
    """Where a document is wrong."""
    return [problem.partition(": ")[0] for problem in problems(found)]


def facts(arguments: Json = None, *, now: datetime = NOON, **changes: object) -> Facts:
    """What a condition may look at: these arguments at this time."""
    given = arguments if isinstance(arguments, dict) else {}
    asked_call = call(given, **changes)
    return Facts(asked_call, risk=UNKNOWN, labels={"desk": "spot"}, now=now)
