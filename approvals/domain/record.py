"""Is the record of a parked call still what was written? Its row, its decisions and its result,
against the last event of its stream and against what can be made again from the row itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.domain.audit import Finding
from approvals.domain.digest import digest, identity_text, sha256
from approvals.domain.protected import decision_facts, protected_hash
from approvals.domain.redact import replaced, values_at
from approvals.domain.states import ERASED_ARGUMENTS, MAX_STORED_RESULT, Released
from approvals.domain.strictjson import canonical, parse
from approvals.errors import InvalidJson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from approvals.domain.audit import Stream
    from approvals.domain.seal import Keys
    from approvals.domain.states import Approval, Decision, Outcome
    from approvals.domain.strictjson import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredDecision:
    """A decision's row; as in StoredApproval."""

    seq: int
    decision: Decision | None
    odd: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredResult:
    """What can be told of a stored result text without keeping it."""

    hash: str
    size: int


def stored_result(text: str) -> StoredResult:
    """Its hash, and its size in bytes."""
    return StoredResult(hash=sha256(text), size=len(text.encode("utf-8")))


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredApproval:
    """An approval's row with those of its decisions. `approval` is None when it cannot be read;
    `odd` are columns that hold something else than the service writes for this approval."""

    id: str
    approval: Approval | None
    decisions: tuple[StoredDecision, ...]
    odd: tuple[str, ...] = ()


def record_findings(
    stored: StoredApproval, stream: Stream, *, result: StoredResult | None, keys: Keys
) -> list[Finding]:
    """What is wrong with an approval, whose events are `stream` and whose result is `result`.

    What is wrong with the events themselves is not said again.
    """
    at = stored.approval.created_at if stored.approval else None
    said = [
        *(("decisions", f"{stored.id} {seq}", what) for seq, what in _decisions(stored, stream)),
        *(("approvals", stored.id, what) for what in _row(stored, stream)),
    ]
    if stored.approval is not None:
        said += [("approvals", stored.id, what) for what in _asked(stored.approval, stream, keys)]
        said += [("results", stored.id, what) for what in _result(stored.approval, result)]
    return [
        Finding(table=table, row=row, what=what, stream=stored.id, seq=stream.seq, at=at)
        for table, row, what in said
    ]


def _decisions(stored: StoredApproval, stream: Stream) -> Iterator[tuple[int, str]]:
    told = dict(enumerate(stream.decisions, start=1))
    for row in stored.decisions:
        said = told.pop(row.seq, None)
        if row.decision is None:
            yield row.seq, "cannot be read"
        elif said is None:
            yield row.seq, "is in no event"
        elif decision_facts(row.decision) != said or row.odd:
            yield row.seq, "is not what its event says"
    for seq in told:
        yield seq, "is missing; its event is there"


def _row(stored: StoredApproval, stream: Stream) -> Iterator[str]:
    approval = stored.approval
    if approval is None:
        yield "cannot be read"
        return
    if approval.head != stream.head:
        yield f"names event {approval.head.seq} as its last; its stream ends with {stream.seq}"
    elif approval.version != stream.seq:
        yield f"has version {approval.version} after {stream.seq} events"
    if stored.odd:
        yield f"was altered in {', '.join(stored.odd)}"
    if stream.protected is not None and protected_hash(approval) != stream.protected:
        yield "was altered: its last event has the hash of another content"


def _asked(approval: Approval, stream: Stream, keys: Keys) -> Iterator[str]:
    """Whether the arguments are those that were decided on."""
    call = approval.call
    if approval.erased is not None:
        if call.arguments != ERASED_ARGUMENTS:
            yield "has arguments, and they were erased"
        return
    try:
        arguments = _object(parse(call.arguments.encode("utf-8")))
        values = values_at(arguments, list(stream.hidden))
    except (InvalidJson, LookupError, TypeError, ValueError):
        yield "has arguments that cannot be read"
        return
    if not all(keys.knows(claimed) for claimed in stream.hidden.values()):
        yield "hides a value under a key that is not here"
    elif not _is_shown(values, stream, keys) or not _is_digest(approval, arguments, stream):
        yield "has other arguments than were decided on: its digest is not theirs"
    elif keys.knows(approval.identity) and not _is_identity(approval, keys):
        yield "has the identity of another call"


def _object(arguments: Json) -> dict[str, Json]:
    if not isinstance(arguments, dict):
        raise TypeError
    return arguments


def _is_shown(values: Mapping[str, Json], stream: Stream, keys: Keys) -> bool:
    """Whether the hidden values are those whose keyed hashes the digest holds."""
    return all(
        keys.verify("hidden", canonical(value), stream.hidden[at]) for at, value in values.items()
    )


def _is_digest(approval: Approval, arguments: dict[str, Json], stream: Stream) -> bool:
    made = digest(
        approval.call,
        approval.requirement,
        revision=approval.revision,
        arguments=canonical(replaced(arguments, stream.hidden)),
    )
    return made == approval.digest and canonical(arguments) == approval.call.arguments


def _is_identity(approval: Approval, keys: Keys) -> bool:
    call = approval.call
    if approval.idempotency_key is not None:
        text = canonical([call.agent, approval.idempotency_key])
        return keys.verify("idempotency", text, approval.identity)
    return keys.verify("identity", identity_text(call), approval.identity)


def _result(approval: Approval, result: StoredResult | None) -> Iterator[str]:
    outcome = _outcome(approval)
    if result is None:
        if outcome and approval.erased is None and _is_kept(outcome):
            yield "is missing"
    elif approval.erased is not None:
        yield "is there, and it was erased"
    elif outcome is None or (outcome.result_hash, outcome.result_size) != (
        result.hash,
        result.size,
    ):
        yield "is not what the tool answered"


def _is_kept(outcome: Outcome) -> bool:
    return outcome.result_size is not None and outcome.result_size <= MAX_STORED_RESULT


def _outcome(approval: Approval) -> Outcome | None:
    return approval.state.outcome if isinstance(approval.state, Released) else None
