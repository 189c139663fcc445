"""What is legal in a policy and probably not meant."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from approvals.domain.policy.conditions import Op
from approvals.domain.policy.document import NEEDS_APPROVAL
from approvals.domain.policy.globs import matches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from approvals.domain.policy.model import Policy, Rule, ToolPolicy

ALIKE = 0.8


def warnings_of(policy: Policy) -> list[str]:
    """One sentence for each, with its pointer."""
    found = [
        *_near_misses(policy),
        *_dropped(policy),
        *_hidden_entries(policy),
        *_weak_requirements(policy),
        *_late_escalations(policy),
        *_unapprovable(policy),
    ]
    return list(dict.fromkeys(found))


def _entries(policy: Policy) -> list[ToolPolicy]:
    return [*policy.tools.values(), policy.unlisted]


def _unapprovable(policy: Policy) -> Iterator[str]:
    for entry in _entries(policy):
        if entry.redact and entry.require_approval_if:
            hidden = ", ".join(path.text for path in entry.redact)
            yield (
                f"{entry.pointer}/redact: a call with {hidden} can be denied, and in this version "
                "not approved"
            )


def _late_escalations(policy: Policy) -> Iterator[str]:
    for entry in _entries(policy):
        for rule in entry.require_approval_if:
            after = rule.requirement.escalate_after
            if after is not None and after >= rule.requirement.timeout:
                yield f"{rule.pointer} is denied by its timeout before it would be escalated"


def _near_misses(policy: Policy) -> Iterator[str]:
    for entry in _entries(policy):
        for rule in entry.deny_if:
            if _sounds_like_asking(rule.message):
                place = f"{rule.pointer}/on_deny"
                if rule.pointer.endswith("/action"):
                    place = f"{rule.pointer.removesuffix('action')}reason"
                yield (
                    f"{place} speaks of approval and only denies; write "
                    '"Requires human approval." to ask a person'
                )


def _sounds_like_asking(on_deny: str) -> bool:
    """Speaks of approval, or nearly is the published wording; and still only denies."""
    text = on_deny.casefold()
    return "approv" in text or SequenceMatcher(None, text, NEEDS_APPROVAL).ratio() > ALIKE


def _dropped(policy: Policy) -> Iterator[str]:
    """An entry counts alone: what a less exact one asks for is gone where it does not repeat it."""
    for name, entry in policy.tools.items():
        if "*" in name:
            continue
        for glob, wider in policy.tools.items():
            if "*" in glob and matches(glob, name) and (lost := _lost(entry, wider)):
                yield (
                    f"{entry.pointer} stands before {glob} and drops its {lost}; repeat the rules "
                    "of the glob where they are meant to hold"
                )


def _lost(entry: ToolPolicy, wider: ToolPolicy) -> str:
    lost = []
    if _own(wider.deny_if) and not _own(entry.deny_if):
        lost.append("denials")
    if _own(wider.require_approval_if) and not _own(entry.require_approval_if):
        lost.append("approvals")
    return " and ".join(lost)


def _own(rules: Sequence[Rule]) -> list[Rule]:
    """Those of the entry itself; what `all_tools` says holds for every entry."""
    return [rule for rule in rules if not rule.pointer.startswith("/all_tools/")]


def _hidden_entries(policy: Policy) -> Iterator[str]:
    for name, entry in policy.tools.items():
        if "*" not in name and policy.hides(name):
            yield f"{entry.pointer} is hidden by `hide`, so what it says has no effect"


def _weak_requirements(policy: Policy) -> Iterator[str]:
    for entry in _entries(policy):
        for rule in entry.require:
            if not rule.conditions:
                yield f"{rule.pointer} has no conditions, so it holds always and requires nothing"
            yield from _unanchored(rule)


def _unanchored(rule: Rule) -> Iterator[str]:
    for index, condition in enumerate(rule.conditions):
        pattern = condition.value
        if condition.op is not Op.REGEX or not isinstance(pattern, str):
            continue
        if not (pattern.startswith(("^", "\\A")) and pattern.endswith(("$", "\\z"))):
            yield (
                f"{rule.pointer}/conditions/{index} requires a match anywhere in the text; put ^ "
                "and $ around the expression to require it of the whole"
            )
