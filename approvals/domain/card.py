"""The card: what a person sees of a call, the same facts in the same order on every surface.

what → how bad → who asks → exactly which arguments → what is unusual → what if I do nothing
(CHANNELS.md, "The card").
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain.call import Executor
from approvals.domain.directory import EVERYONE, Directory, approver_title, title
from approvals.domain.display import flags_of, shortened, visible
from approvals.domain.pointers import steps
from approvals.domain.rights import owner_line
from approvals.domain.states import (
    Answer,
    Approval,
    Approved,
    CancelReason,
    Denied,
    EarlierRun,
    Lapsed,
    Outcome,
    Overdue,
    Pending,
    Released,
    ReleaseStatus,
    Withdrawn,
)
from approvals.domain.summary import json_shown

if TYPE_CHECKING:
    from datetime import datetime, timedelta, tzinfo

    from approvals.domain.quorum import Stage
    from approvals.domain.strictjson import Json

MAX_DESCRIPTION = 300
MAX_LOCK_SCREEN = 120
MAX_AGENT = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class ArgumentLine:
    """One argument, whole: its name and its value as exact, visible JSON."""

    name: str
    value: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """Every line of text on it is already safe to print; `complete` says nothing is left out."""

    question: str
    risk: str
    facts: tuple[tuple[str, str], ...]
    needs: str
    so_far: str
    arguments: tuple[ArgumentLine, ...]
    notes: tuple[str, ...]
    outcome: str
    deadline: str
    confirm: str
    lock_screen: str
    complete: bool = True


def card(
    approval: Approval, *, directory: Directory, now: datetime, revealed: bool = False
) -> Card:
    """The card of `approval` as it stands at `now`, its times in the time zone of `now`.

    `revealed`: also what is hidden elsewhere, for the one person who has asked to see it.
    """
    call = approval.call
    needed, said = needs(approval, directory), so_far(approval)
    return Card(
        question=f"{approval.summary}?",
        risk=_risk(approval),
        facts=(
            ("Agent", _agent(approval)),
            ("Server", visible(call.server)),
            ("Tool", visible(call.tool)),
            ("Needs", needed),
            ("So far", said),
        ),
        needs=needed,
        so_far=said,
        arguments=_lines(approval, revealed=revealed),
        notes=tuple(_notes(approval, directory, now, revealed=revealed)),
        outcome=outcome_line(approval, now),
        deadline=deadline_line(approval, now),
        confirm=_confirm(approval),
        lock_screen=_lock_screen(approval, now),
        complete=(revealed or not approval.hidden) and approval.erased is None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What a list says of a call, and what of its card changes while it is looked at."""

    question: str
    risk: str
    who: str
    needs: str
    so_far: str
    outcome: str
    deadline: str


def standing(approval: Approval, *, directory: Directory, now: datetime) -> Standing:
    """How a call stands, without its arguments: those may be long, and are on the card."""
    call = approval.call
    return Standing(
        question=f"{approval.summary}?",
        risk=_risk(approval),
        who=f"{_agent(approval)} on {visible(call.server)}",
        needs=needs(approval, directory),
        so_far=so_far(approval),
        outcome=outcome_line(approval, now),
        deadline=deadline_line(approval, now),
    )


def _risk(approval: Approval) -> str:
    return f"{approval.risk.level.upper()} · {approval.risk.category}"


def _agent(approval: Approval) -> str:
    return f"{approval.call.agent} (owner {title(approval.call.owner)})"


def needs(approval: Approval, directory: Directory) -> str:
    """`1 of 2 people in trading`, stage after stage; the owner is not counted."""
    joint = ", then " if approval.requirement.ordered else ", and "
    return joint.join(_stage_needs(stage, approval, directory) for stage in approval.stages)


def _stage_needs(stage: Stage, approval: Approval, directory: Directory) -> str:
    people = directory.eligible(stage.approvers)
    if approval.requirement.exclude_owner and not directory.solo:
        people -= {approval.call.owner}
    noun = "person" if len(people) == 1 else "people"
    named = " or ".join(sorted(map(approver_title, stage.approvers - {EVERYONE})))
    group = f" in {named}" if named and EVERYONE not in stage.approvers else ""
    name = f" ({visible(stage.name)})" if stage.name else ""
    return f"{stage.required} of {len(people)} {noun}{group}{name}"


def so_far(approval: Approval) -> str:
    """Who has answered, in the words of the product."""
    if not approval.standing:
        return "nobody"
    return ", ".join(
        f"{'Approved' if d.answer is Answer.APPROVE else 'Denied'} by {title(d.person)}"
        for d in approval.standing
    )


def outcome_line(approval: Approval, now: datetime) -> str:
    """What became of the call, in one line; empty while it is pending."""
    who = so_far(approval)
    match approval.state:
        case Pending():
            return ""
        case Denied():
            reason = denial_reason(approval)
            return f"{who}: {visible(reason)}" if reason else who
        case Overdue(at=at):
            return f"Expired {clock_time(at, now.tzinfo)}, denied"
        case Withdrawn(reason=reason):
            return _WITHDRAWN[reason]
        case Lapsed():
            return f"{who} · not used in time, not run"
        case Released(outcome=Outcome() as outcome):
            return f"{who} · {_RAN[outcome.status]} {clock_time(outcome.at, now.tzinfo)}"
        case Released():
            return f"{who} · sent, waiting for the answer"
        case Approved(use_from=use_from) if use_from > now:
            return f"{who} · not sent before {clock_time(use_from, now.tzinfo)}"
    return f"{who} · not sent yet"


def deadline_line(approval: Approval, now: datetime) -> str:
    """Absolute time first, then how long that is."""
    if not isinstance(approval.state, Pending):
        return ""
    left = span(approval.expires_at - now)
    return f"If nobody answers: denied {clock_time(approval.expires_at, now.tzinfo)} (in {left})"


def clock_time(moment: datetime, zone: tzinfo | None, *, seconds: bool = True) -> str:
    """`14:27:03 CET`, as the configuration's time zone has it."""
    local = moment.astimezone(zone)
    return f"{local:%H:%M:%S %Z}" if seconds else f"{local:%H:%M %Z}"


def span(length: timedelta) -> str:
    """A duration as people say it: `40 s`, `15 min`, `2 h`."""
    seconds = max(0, round(length.total_seconds()))
    if seconds < 2 * 60:
        return f"{seconds} s"
    if seconds < 2 * 3600:
        return f"{round(seconds / 60)} min"
    return f"{round(seconds / 3600)} h"


def span_in_words(length: timedelta) -> str:
    """The same for a sentence: `40 seconds`, `15 minutes`, `2 hours`."""
    number, unit = span(length).split(" ")
    word = {"s": "second", "min": "minute", "h": "hour"}[unit]
    return f"{number} {word}" if number == "1" else f"{number} {word}s"


def denial_reason(approval: Approval) -> str | None:
    """The last reason that a standing denial gives."""
    given = [d.reason for d in approval.standing if d.answer is Answer.DENY and d.reason]
    return given[-1] if given else None


_WITHDRAWN = {
    CancelReason.CANCELLED: "Cancelled",
    CancelReason.REVOKED: "Revoked before it was sent",
    CancelReason.POLICY_CHANGED: "Cancelled: the policy changed",
    CancelReason.DEFINITION_CHANGED: "Cancelled: the tool changed",
    CancelReason.RESTORED: "Cancelled: the database was restored; it may have run since the backup",
}
_RAN = {
    ReleaseStatus.SENT: "sent",
    ReleaseStatus.SUCCEEDED: "ran at",
    ReleaseStatus.FAILED: "the tool reported an error; it may have acted,",
    ReleaseStatus.NOT_SENT: "could not be sent, not run,",
    ReleaseStatus.OUTCOME_UNKNOWN: (
        "outcome unknown: check the system behind it before anything else,"
    ),
}


def _lines(approval: Approval, *, revealed: bool) -> tuple[ArgumentLine, ...]:
    arguments = approval.call.shown_arguments if revealed else approval.shown_arguments
    folded = Counter(name.casefold() for name in arguments)
    hiding = set() if revealed else {steps(pointer)[0] for pointer in approval.hidden}
    return tuple(
        _line(
            name,
            value,
            twin=folded[name.casefold()] > 1,
            hides=name in hiding,
        )
        for name, value in arguments.items()
    )


def _line(name: str, value: Json, *, twin: bool, hides: bool) -> ArgumentLine:
    shown = json_shown(value)
    flags = [*flags_of(name, name=True), *value_flags(shown)]
    if hides:
        flags.append("a value is hidden here")
    if twin:  # a tool that reads names without regard to case takes one of the two
        flags.append("another name differs only in case")
    return ArgumentLine(name=visible(name), value=shown, flags=tuple(dict.fromkeys(flags)))


def value_flags(shown: str) -> list[str]:
    """Flags of a value already written as visible JSON: escapes in it were hidden characters."""
    found = flags_of(shown)
    if "\\u" in shown.replace("\\\\", ""):
        found.insert(0, "hidden characters")
    return found


def _notes(approval: Approval, directory: Directory, now: datetime, *, revealed: bool) -> list[str]:
    notes = []
    if approval.earlier_run:
        notes.append(_earlier(approval.earlier_run, now))
    if approval.erased is not None:
        notes.append("The arguments are no longer kept.")
    elif approval.hidden and not revealed:
        notes.append("Some values are hidden here, so this call cannot be approved here.")
    if approval.unnoticed:
        notes.append("Nobody was notified of this call within a minute of its asking.")
    notes.append(f"Why it matters: {visible(approval.risk.why)}")
    if approval.message:
        notes.append(f"The policy says: {visible(approval.message)}")
    if owner := owner_line(approval, directory):
        notes.append(owner)
    definition = approval.call.definition
    if definition and definition.description:
        said = shortened(visible(" ".join(definition.description.split())), MAX_DESCRIPTION)
        who = "server" if approval.call.executor is Executor.GATEWAY else "calling program"
        notes.append(f'The {who} says: "{said}"')
    if approval.call.justification and approval.hidden and not revealed:
        notes.append("The agent says why in words that may repeat what is hidden; not shown here.")
    elif approval.call.justification:
        said = visible(approval.call.justification)
        notes.append(f'The agent says (its own words): "{said}"')
    return notes


def _earlier(run: EarlierRun, now: datetime) -> str:
    word = str(run.status).replace("_", " ")
    return f"The same call ran {span(now - run.at)} ago: {word}"


def _confirm(approval: Approval) -> str:
    text = f"{approval.summary}, for {approval.call.agent}. It runs exactly as shown, one time."
    if not approval.risk.undoable:
        text += " It cannot be undone."
    counted = zip(approval.stages, approval.tally.approved, strict=True)
    more = sum(max(0, stage.required - count) for stage, count in counted) - 1
    if more > 0:
        text += f" {'One more person' if more == 1 else f'{more} more people'} must approve."
    return text


def _lock_screen(approval: Approval, now: datetime) -> str:
    agent = shortened(approval.call.agent, MAX_AGENT)
    head = f"{approval.risk.level.upper()}: {agent} wants to "
    deadline = clock_time(approval.expires_at, now.tzinfo, seconds=False)
    tail = f". Answer by {deadline} or it is denied."
    summary = approval.summary
    if summary[:1].isupper() and summary[1:2].islower():  # a word, not a name like BTCUSD
        summary = summary[:1].lower() + summary[1:]
    return head + shortened(summary, MAX_LOCK_SCREEN - len(head) - len(tail)) + tail
