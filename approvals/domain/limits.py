"""Limits: how often, or how much, within a window of the clock (POLICY.md, "Limits").

Amounts are whole numbers of 10^-18, so that sums are exact. A window is a second, a minute, an
hour, a day of the configuration's time zone, or `rate_limit`'s own length; it begins and ends on
the clock, and its counter starts at nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Context, Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from approvals.domain.call import Executor
from approvals.domain.policy.conditions import is_number
from approvals.domain.policy.paths import Absent, Facts, Path, values
from approvals.domain.strictjson import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from approvals.domain.call import Call

PLACES = 18
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Up to 1000 digits and an exponent of 400 are carried exactly (strictjson), and 18 places more.
_EXACT = Context(prec=3000, rounding=ROUND_CEILING)


class Scope(StrEnum):
    """Whose calls a counter adds up; `grant` is one agent on one server."""

    GRANT = "grant"
    AGENT = "agent"
    SESSION = "session"
    SERVER = "server"
    POLICY = "policy"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """At most `max_` (in units of 10^-18) in one window; adds 1, or the amount at `increment`."""

    pointer: str
    counter: str
    window: timedelta
    max_: int
    scope: Scope
    increment: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Charge:
    """What one call adds to one counter, and the most that may stand there afterwards."""

    pointer: str
    key: str
    amount: int
    max_: int
    start: datetime
    end: datetime

    @property
    def hopeless(self) -> bool:
        """Even an empty counter has no room for it."""
        return self.amount > self.max_


@dataclass(frozen=True, kw_only=True, slots=True)
class Uncountable:
    """The call names no amount that could be counted, so it is denied."""

    pointer: str
    why: str


def scaled(amount: Decimal | int, *, rounding: str = ROUND_CEILING) -> int:
    """In units of 10^-18; what is smaller still is rounded up, so that it counts."""
    exact = _EXACT.scaleb(Decimal(amount), PLACES)
    return int(exact.to_integral_value(rounding, context=_EXACT))


def charges(
    limits: Sequence[Limit], facts: Facts, *, policy: str
) -> tuple[Charge, ...] | Uncountable:
    """What a call adds to which counters; one counter is charged once, by the largest amount."""
    found: dict[str, Charge] = {}
    for limit in limits:
        amount = _amount(limit, facts)
        if isinstance(amount, Uncountable):
            return amount
        charge = _charge(limit, amount, facts, policy)
        known = found.get(charge.key)
        found[charge.key] = charge if known is None else _stricter(known, charge)
    return tuple(found.values())


def window_of(now: datetime, length: timedelta) -> tuple[datetime, datetime]:
    """The window around `now`: a day begins at midnight where `now` is, the rest on the clock."""
    if length == DAY:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        next_day = midnight + DAY  # on the wall clock, so 23 or 25 hours long twice a year
        return midnight.astimezone(UTC), next_day.astimezone(UTC)
    start = EPOCH + (now - EPOCH) // length * length
    return start, start + length


def _amount(limit: Limit, facts: Facts) -> int | Uncountable:
    if limit.increment is None:
        return scaled(1)
    path = limit.increment
    (found,) = values(path, facts)  # a path without [*] has one end
    if isinstance(found, Absent):
        return Uncountable(pointer=limit.pointer, why=f"{path.text} {found.why}")
    if not is_number(found) or found < 0:
        return Uncountable(pointer=limit.pointer, why=f"{path.text} is no amount")
    return scaled(found)


def _charge(limit: Limit, amount: int, facts: Facts, policy: str) -> Charge:
    start, end = window_of(facts.now, limit.window)
    whose = _whose(limit.scope, facts.call, policy)
    length = limit.window // timedelta(seconds=1)
    return Charge(
        pointer=limit.pointer,
        key=canonical([limit.counter, length, str(limit.scope), *whose]),
        amount=amount,
        max_=limit.max_,
        start=start,
        end=end,
    )


def _whose(scope: Scope, call: Call, policy: str) -> Iterable[str]:
    match scope:
        case Scope.GRANT:
            return (call.agent, call.server)
        case Scope.AGENT:
            return (call.agent,)
        case Scope.SESSION:
            if call.session is None or call.executor is Executor.CALLER:  # it names its own
                return (call.agent,)
            return (call.agent, call.session)
        case Scope.SERVER:
            return (call.server,)
    return (policy,)


def _stricter(one: Charge, other: Charge) -> Charge:
    least = one if one.max_ <= other.max_ else other
    return Charge(
        pointer=least.pointer,
        key=one.key,
        amount=max(one.amount, other.amount),
        max_=least.max_,
        start=one.start,
        end=one.end,
    )
