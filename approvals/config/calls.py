"""Calls written down in files: to explain one, and to test a policy against many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from approvals.config.files import read_file
from approvals.config.policies import placed
from approvals.domain.call import Call, Executor, canonical_arguments, read_definition
from approvals.domain.policy.model import Ruling
from approvals.domain.policy.reading import Place, Problems
from approvals.errors import ApprovalsError, ConfigurationInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from approvals.config.files import Document
    from approvals.domain.call import ToolDefinition

_CALL = (
    "server",
    "tool",
    "arguments",
    "agent",
    "owner",
    "labels",
    "session",
    "justification",
    "definition",
    "at",
)
_EXPECTED = (*_CALL, "expect", "rule", "name")


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenCall:
    """A call, the labels of its agent, and the moment it is judged at (None: now)."""

    call: Call
    labels: dict[str, str]
    at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """One row of a table of tests: what a policy must say of a call."""

    name: str
    written: WrittenCall
    ruling: Ruling
    rule: str | None


def read_call(path: Path) -> WrittenCall:
    """A file with one call. Raises ConfigurationInvalid with every problem."""
    document = read_file(path)
    problems = Problems()
    place = Place(document.value, "", problems)
    place.only(_CALL)
    found = _written(place)
    _raise(document, problems)
    return found


def read_expectations(path: Path) -> Sequence[Expectation]:
    """A file with a list of calls, each with `expect`. Raises ConfigurationInvalid."""
    document = read_file(path)
    problems = Problems()
    top = Place(document.value, "", problems)
    if top.value == []:
        top.wrong("has no call; a table without rows would test nothing")
    found = [_expectation(item, index) for index, item in enumerate(top.items(), start=1)]
    _raise(document, problems)
    return found


def _expectation(place: Place, number: int) -> Expectation:
    place.only(_EXPECTED)
    expect = place.child("expect").one_of(tuple(Ruling), required=True)
    written = _written(place)
    return Expectation(
        name=place.child("name").text() or f"{number} {written.call.tool}",
        written=written,
        ruling=Ruling(expect or Ruling.DENY),
        rule=place.child("rule").text(),
    )


def _written(place: Place) -> WrittenCall:
    arguments = place.child("arguments")
    text = "{}"
    if arguments.exists:
        try:
            text = canonical_arguments(arguments.value)
        except ApprovalsError as error:
            arguments.wrong(str(error))
    justification = place.child("justification").text()
    call = Call(
        executor=Executor.CALLER,
        server=place.child("server").text() or "server",
        tool=place.needs("tool", "the tool's name").text() or "",
        arguments=text,
        agent=place.child("agent").text() or "agent",
        owner=place.child("owner").text() or "owner",
        session=place.child("session").text(),
        definition=_definition(place.child("definition")),
        justification=justification,
    )
    labels = {
        name: label
        for name, item in place.child("labels").members()
        if (label := item.text()) is not None
    }
    return WrittenCall(call=call, labels=labels, at=_moment(place.child("at")))


def _definition(place: Place) -> ToolDefinition | None:
    if not place.exists:
        return None
    if not isinstance(place.value, dict):
        place.wrong("must be the tool's entry of tools/list, an object")
        return None
    try:
        return read_definition(place.value)
    except ApprovalsError as error:
        place.wrong(str(error))
        return None


def _moment(place: Place) -> datetime | None:
    text = place.text()
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is None:
            raise ValueError
    except ValueError:
        place.wrong("must be a time with its zone, such as 2026-11-20T15:00:00Z")
        return None
    return moment.astimezone(UTC)


def _raise(document: Document, problems: Problems) -> None:
    if problems.found:
        raise ConfigurationInvalid(document.source, placed(problems, document))
