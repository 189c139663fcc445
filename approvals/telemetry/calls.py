"""What became of calls, counted from the operations that were committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram

from approvals.domain.call import Executor
from approvals.domain.policy.model import Ruling
from approvals.domain.states import (
    Answer,
    Approved,
    Denied,
    Outcome,
    Overdue,
    Parking,
    Pending,
    Released,
    ReleaseStatus,
    Status,
    Transition,
)
from approvals.ports import Record
from approvals.telemetry.labels import HOUR, LAGS, MINUTE, NETWORK, OTHER, bound, seconds

if TYPE_CHECKING:
    from datetime import datetime

    from prometheus_client import CollectorRegistry

    from approvals.domain.states import Decision
    from approvals.ports import Operation

SURFACES = ("rest", "web", "slack", OTHER)
"""Where people decide: the part of a decision's channel before the colon."""
ENDS = (Status.APPROVED, Status.DENIED, Status.EXPIRED, Status.CANCELLED, Status.LAPSED)
ANSWERED = (ReleaseStatus.SUCCEEDED, ReleaseStatus.FAILED)
OUTCOMES = (*ANSWERED, ReleaseStatus.NOT_SENT, ReleaseStatus.OUTCOME_UNKNOWN)
REFUSALS = {
    "call_definition_changed": "definition_changed",
    "call_frozen": "frozen",
    "call_limited": "limit_reached",
    "call_too_many_pending": "too_many_pending",
    "call_unknown_tool": "unknown_tool",
}
"""Events of calls that something else than the verdict stopped."""
WAITS = (
    *(1, 2, 5, 10, 20, 30),
    *(n * MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * HOUR for n in (1, 2, 4, 8, 24)),
)


class Calls:
    """Counts each fact where it is true: in the database."""

    def __init__(self, registry: CollectorRegistry) -> None:
        verdicts = Counter(
            "approvals_verdicts",
            "Calls by what the policy said of them. An identical call that joins a pending one is"
            " not counted again.",
            ["verdict"],
            registry=registry,
        )
        refusals = Counter(
            "approvals_refusals",
            "Calls stopped by something else than the verdict: a freeze, a limit, too many pending"
            " calls of the agent, a tool that does not exist for it or is not what was accepted.",
            ["reason"],
            registry=registry,
        )
        decisions = Counter(
            "approvals_decisions",
            "Answers of people, by where they were given.",
            ["decision", "channel"],
            registry=registry,
        )
        ended = Counter(
            "approvals_ended",
            "How asking ended: approved, denied, expired, cancelled. An approved call that is"
            " withdrawn or not used in time counts once more, as cancelled or lapsed.",
            ["status"],
            registry=registry,
        )
        released = Counter(
            "approvals_released",
            "How releases ended. A late result counts again, after its outcome_unknown.",
            ["outcome"],
            registry=registry,
        )
        self._parked = Counter(
            "approvals_parked", "Calls that were put into the queue.", registry=registry
        )
        self._missed = Counter(
            "approvals_nobody_notified",
            "Calls of which no channel could tell anybody within a minute.",
            registry=registry,
        )
        self._waits = Histogram(
            "approvals_wait_seconds",
            "From parking until people approved or denied.",
            registry=registry,
            buckets=WAITS,
        )
        self._until_sent = Histogram(
            "approvals_decide_to_release_seconds",
            "From when an approved call may be sent (approved, release delay over) until it is.",
            registry=registry,
            buckets=NETWORK,
        )
        self._upstream = Histogram(
            "approvals_upstream_seconds",
            "From sending an approved call until its server answered.",
            registry=registry,
            buckets=NETWORK,
        )
        self._expiry_lag = Histogram(
            "approvals_expiry_lag_seconds",
            "From a deadline until it is recorded that nobody answered.",
            registry=registry,
            buckets=LAGS,
        )
        self._recorded = {
            **{f"call_{ruling}": verdicts.labels(ruling) for ruling in Ruling},
            **{event: refusals.labels(reason) for event, reason in REFUSALS.items()},
        }
        self._asked = verdicts.labels(Ruling.REQUIRE_APPROVAL)
        self._decisions = {
            (answer, surface): decisions.labels(answer, surface)
            for answer in Answer
            for surface in SURFACES
        }
        self._ended = bound(ended, ENDS)
        self._released = bound(released, OUTCOMES)

    def committed(self, operation: Operation, *, at: datetime) -> None:
        match operation:
            case Parking():
                self._parked.inc()
                self._asked.inc()
            case Transition():
                self._moved(operation, at)
            case Record(fact=fact) if counter := self._recorded.get(fact.type):
                counter.inc()

    def _moved(self, step: Transition, at: datetime) -> None:
        before, after = step.before.state, step.after.state
        if step.after.unnoticed and not step.before.unnoticed:
            self._missed.inc()
        if step.decision is not None:
            self._decided(step.decision)
        if isinstance(after, Released):
            self._sent(step, after)
        elif not isinstance(after, Pending):
            self._ended[after.status].inc()
        if isinstance(after, Overdue):
            self._expiry_lag.observe(seconds(step.before.expires_at, at))
        if isinstance(before, Pending) and isinstance(after, Approved | Denied):
            decided = after.decided_at if isinstance(after, Approved) else after.at
            self._waits.observe(seconds(step.before.created_at, decided))

    def _decided(self, decision: Decision) -> None:
        surface = decision.channel.partition(":")[0]
        counter = self._decisions.get((decision.answer, surface))
        (counter or self._decisions[decision.answer, OTHER]).inc()

    def _sent(self, step: Transition, now: Released) -> None:
        """A release begins, ends, or what was unknown of it becomes known; handing the outcome to
        a client is nothing of these."""
        match step.before.state, now.outcome:
            case Approved(use_from=use_from), _:
                self._until_sent.observe(seconds(use_from, now.sent_at))
            case Released() as earlier, Outcome(status=status, at=at):
                if status is earlier.release_status:
                    return
                self._released[status].inc()
                if status in ANSWERED and step.after.call.executor is Executor.GATEWAY:
                    self._upstream.observe(seconds(now.sent_at, at))
