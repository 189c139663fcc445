"""`policy check`: how each rule is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from approvals.config.load import load_policy
from approvals.domain.card import span
from approvals.domain.directory import approver_title
from approvals.domain.display import visible
from approvals.domain.policy.document import near_misses

if TYPE_CHECKING:
    from pathlib import Path

    from approvals.domain.policy.model import Policy, Rule, ToolPolicy


def check(file: Path) -> None:
    """Print what the policy means; a policy that does not load prints every problem and fails."""
    policy, document = load_policy(file)
    typer.echo(f"{file}: loads. {len(policy.tools)} tools listed; the rest: {policy.default}.")
    for pattern in policy.hide:
        typer.echo(f"  hidden   {visible(pattern)}")
    for name, tool in policy.tools.items():
        for line in _lines(policy, tool):
            typer.echo(f"  {line[0]:<8} {visible(name)}{line[1]}")
    assert isinstance(document.value, dict)  # noqa: S101 (it loaded)
    for pointer in near_misses(document.value):
        typer.echo(
            f'  warning  {pointer} speaks of approval and only denies; write "Requires human '
            'approval." to ask a person'
        )


def _lines(policy: Policy, tool: ToolPolicy) -> list[tuple[str, str]]:
    if tool.deny_if:
        return [("denied", f": {visible(r.message)} ({r.pointer})") for r in tool.deny_if]
    if tool.require_approval_if:
        return [("asks", f" → {_asks(policy, tool, r)}") for r in tool.require_approval_if]
    return [("runs", "")]


def _asks(policy: Policy, tool: ToolPolicy, rule: Rule) -> str:
    requirement = policy.settings(tool, rule).requirement()
    [stage] = requirement.stages
    people = " or ".join(sorted(map(approver_title, stage.approvers)))
    return f"{stage.required} of {people}, {span(requirement.timeout)} ({rule.pointer})"
