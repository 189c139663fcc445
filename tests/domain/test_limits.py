"""Limits: exact amounts, windows of the clock, and whose calls one counter adds up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.domain.limits import DAY, Charge, scaled, window_of
from approvals.domain.policy.model import Ruling, Verdict
from approvals.domain.strictjson import Json, Number, parse
from tests.domain.builders import NOON
from tests.domain.policies import judged, policy

BERLIN = ZoneInfo("Europe/Berlin")
ONE = 10**18
SCOPES = ["grant", "agent", "session", "server", "policy"]


def limit(**changes: Json) -> dict[str, Json]:
    return {"counter": "orders", "window": "hour", "max": 20, "scope": "agent", **changes}


def limited(*limits: Json, arguments: dict[str, Json] | None = None, **changes: object) -> Verdict:
    return judged(policy({"limits": list(limits)}), arguments, **changes)  # type: ignore[arg-type]


def charge(*limits: Json, arguments: dict[str, Json] | None = None, **changes: object) -> Charge:
    (found,) = limited(*limits, arguments=arguments, **changes).charges
    return found


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        (0, 0),
        (1, ONE),
        (10**18 + 1, (10**18 + 1) * ONE),
        (Number("0.000000000000000001"), 1),
        (Number("1.000000000000000001"), ONE + 1),
        (Number("-0"), 0),
        (Number("0.1"), ONE // 10),
        (Number("1.10"), 11 * ONE // 10),
        (Number("1e300"), 10**318),
        (10**300, 10**318),
        (10**999 + 1, (10**999 + 1) * ONE),
        (Number("1e-18"), 1),
        (Number("1e-19"), 1),
        (Number("1e-400"), 1),
        (Number("0.0000000000000000011"), 2),
        (Number("9" * 30 + "." + "9" * 19), 10**48),
    ],
)
def test_eighteen_places_are_exact_and_what_is_beyond_is_rounded_up(
    amount: int | Decimal, units: int
) -> None:
    assert scaled(amount) == units


@settings(deadline=None, database=None)
@given(st.decimals(min_value=0, max_value=10**30, allow_nan=False, allow_infinity=False))
def test_an_amount_is_never_counted_as_less_than_it_is(amount: Decimal) -> None:
    exact = Fraction(amount)
    assert exact <= Fraction(scaled(amount), ONE) < exact + Fraction(1, ONE)


def test_a_call_counts_as_one() -> None:
    found = charge(limit())
    assert (found.pointer, found.amount, found.max_) == ("/tools/t/limits/0", ONE, 20 * ONE)
    assert charge(limit(increment=1)).amount == ONE


def test_a_spend_limit_adds_the_amount_that_the_call_names() -> None:
    found = charge(limit(increment="args.order.amount"), arguments={"order": {"amount": 7}})
    assert found.amount == 7 * ONE


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "args.amount is missing"),
        ({"amount": -1}, "args.amount is no amount"),
        ({"amount": Number("-0.1")}, "args.amount is no amount"),
        ({"amount": "5"}, "args.amount is no amount"),
        ({"amount": True}, "args.amount is no amount"),
        ({"amount": None}, "args.amount is no amount"),
        ({"amount": [5]}, "args.amount is no amount"),
        ({"Amount": 5}, "args.amount stands beside a name that differs only in case"),
    ],
)
def test_what_cannot_be_counted_is_denied(arguments: dict[str, Json], why: str) -> None:
    verdict = limited(limit(), limit(increment="args.amount", counter="x"), arguments=arguments)
    assert (verdict.ruling, verdict.rule) == (Ruling.DENY, "/tools/t/limits/1")
    assert verdict.message == f"{why}, and it is limited"
    assert verdict.doubts == (why,)
    assert verdict.charges == ()


def test_an_amount_of_nothing_counts_as_nothing() -> None:
    assert charge(limit(increment="args.a"), arguments={"a": 0}).amount == 0


def test_an_amount_that_never_fits_is_hopeless() -> None:
    over: Json = parse(b"20.000000000000000001")
    assert charge(limit(increment="args.a"), arguments={"a": over}).hopeless
    assert not charge(limit(increment="args.a"), arguments={"a": 20}).hopeless


@pytest.mark.parametrize(
    ("window", "start", "end"),
    [
        ("second", "12:34:56", "12:34:57"),
        ("minute", "12:34:00", "12:35:00"),
        ("hour", "12:00:00", "13:00:00"),
    ],
)
def test_a_window_begins_and_ends_on_the_clock(window: str, start: str, end: str) -> None:
    now = datetime(2026, 11, 20, 12, 34, 56, 789, tzinfo=UTC)
    for zone in (UTC, BERLIN, ZoneInfo("Asia/Kathmandu")):
        found = charge(limit(window=window), now=now.astimezone(zone))
        assert f"{found.start:%H:%M:%S}" == start
        assert f"{found.end:%H:%M:%S}" == end


def test_the_last_moment_of_a_window_is_in_it_and_its_end_is_not() -> None:
    end = NOON + timedelta(hours=1)
    assert window_of(end - timedelta(microseconds=1), timedelta(hours=1)) == (NOON, end)
    assert window_of(end, timedelta(hours=1)) == (end, end + timedelta(hours=1))


@pytest.mark.parametrize(
    ("now", "start", "hours"),
    [
        (datetime(2026, 11, 20, 12, tzinfo=BERLIN), datetime(2026, 11, 19, 23, tzinfo=UTC), 24),
        (datetime(2026, 3, 29, 12, tzinfo=BERLIN), datetime(2026, 3, 28, 23, tzinfo=UTC), 23),
        (datetime(2026, 10, 25, 12, tzinfo=BERLIN), datetime(2026, 10, 24, 22, tzinfo=UTC), 25),
        (
            datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=BERLIN),
            datetime(2026, 10, 24, 22, tzinfo=UTC),
            25,
        ),
        (datetime(2026, 3, 29, 0, 0, tzinfo=BERLIN), datetime(2026, 3, 28, 23, tzinfo=UTC), 23),
        (datetime(2026, 11, 20, 12, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC), 24),
        (  # in Havana that day has two midnights; it begins with the first
            datetime(2026, 11, 1, 0, 30, fold=1, tzinfo=ZoneInfo("America/Havana")),
            datetime(2026, 11, 1, 4, tzinfo=UTC),
            25,
        ),
    ],
)
def test_a_day_is_a_day_of_the_zone_also_when_the_clock_changes(
    now: datetime, start: datetime, hours: int
) -> None:
    assert window_of(now, DAY) == (start, start + timedelta(hours=hours))


def test_days_follow_each_other_without_a_gap() -> None:
    now = datetime(2026, 3, 25, 12, tzinfo=BERLIN)
    for _ in range(250):
        _, end = window_of(now, DAY)
        following = window_of(end.astimezone(BERLIN), DAY)
        assert following[0] == end
        now = end.astimezone(BERLIN)


def test_rate_limit_has_a_window_of_its_own_length() -> None:
    rules = policy({"rate_limit": {"max": 10, "window": 90}})
    (found,) = judged(rules, now=NOON + timedelta(seconds=100)).charges
    assert found.end - found.start == timedelta(seconds=90)
    assert found.start <= NOON + timedelta(seconds=100) < found.end
    assert found.max_ == 10 * ONE


def key(scope: str, **changes: object) -> str:
    return charge(limit(scope=scope), arguments=None, **changes).key


@pytest.mark.parametrize(
    ("change", "kept_apart"),
    [
        ({"agent": "other-bot"}, {"grant", "agent", "session"}),
        ({"server": "backup"}, {"grant", "server"}),
        ({"session": "s-2"}, {"session"}),
    ],
    ids=["agent", "server", "session"],
)
def test_a_scope_says_whose_calls_are_added_up(
    change: dict[str, object], kept_apart: set[str]
) -> None:
    base: dict[str, object] = {"session": "s-1"}
    apart = {scope for scope in SCOPES if key(scope, **base) != key(scope, **base | change)}
    assert apart == kept_apart


def test_all_sessions_of_one_agent_share_the_scope_agent() -> None:
    assert len({key("agent", session=session) for session in (None, "s-1", "s-2")}) == 1


def test_where_there_is_no_session_it_is_the_agent() -> None:
    assert key("session", session=None) == key("session", session=None, server="backup")
    assert key("session", session=None) != key("session", session=None, agent="other-bot")


def test_policies_are_told_apart_by_their_name_and_agents_of_no_two_names_meet() -> None:
    assert len({key(scope) for scope in SCOPES}) == len(SCOPES)
    assert key("grant", agent="a", server="b c") != key("grant", agent="a b", server="c")


@pytest.mark.parametrize("change", [{"counter": "spend"}, {"window": "day"}, {"scope": "grant"}])
def test_two_counters_are_told_apart_by_name_window_and_scope(change: dict[str, Json]) -> None:
    found = limited(limit(), limit(**change)).charges
    assert len({one.key for one in found}) == 2


def test_one_counter_is_charged_once_by_the_largest_amount_against_the_smallest_maximum() -> None:
    limits = (limit(max=50, increment="args.a"), limit(max=20), limit(max=30, increment="args.b"))
    swapped = charge(*limits, arguments={"a": 9, "b": 5})
    found = charge(*limits, arguments={"a": 5, "b": 9})
    assert found == swapped
    assert (found.amount, found.max_, found.pointer) == (9 * ONE, 20 * ONE, "/tools/t/limits/1")


def test_a_counter_of_all_tools_is_shared_by_every_tool() -> None:
    rules = policy(None, all_tools={"limits": [limit()]}, tools={"a": {}, "b": {}})
    keys = {judged(rules, tool=tool).charges[0].key for tool in ("a", "b")}
    assert len(keys) == 1


def test_a_rate_limit_is_of_its_entry_alone_and_of_each_agent() -> None:
    entry: Json = {"rate_limit": {"max": 10, "window": 60}}
    rules = policy(None, tools={"a": entry, "b": entry, "get_*": entry})
    assert judged(rules, tool="a").charges[0].key != judged(rules, tool="b").charges[0].key
    assert judged(rules, tool="get_x").charges[0].key == judged(rules, tool="get_y").charges[0].key
    other = judged(rules, tool="a", agent="other-bot")
    assert other.charges[0].key != judged(rules, tool="a").charges[0].key


def test_a_rate_limit_of_all_tools_and_one_of_the_lone_star_are_two_counters() -> None:
    entry: Json = {"rate_limit": {"max": 5, "window": 60}}
    rules = policy(None, all_tools=entry, tools={"*": entry, "a": {}})
    (everywhere,) = judged(rules, tool="a").charges
    found = judged(rules, tool="b").charges
    assert [charge.pointer for charge in found] == ["/tools/*/rate_limit", "/all_tools/rate_limit"]
    assert [charge.key == everywhere.key for charge in found] == [False, True]
