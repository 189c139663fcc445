"""P12: one call judged by a policy of 1000 rules."""

from __future__ import annotations

import statistics
import timeit
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from approvals.domain.call import Call, Executor
from approvals.domain.policy.document import read_policy
from approvals.domain.policy.evaluate import judge
from bench.row import Row

if TYPE_CHECKING:
    from approvals.domain.policy.model import Policy

ROUNDS = 7
CALLS = 2000
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MICROSECOND = 1e6


def rows() -> list[Row]:
    """Rules that other tools have cost a look-up; rules of the tool itself are all looked at."""
    spread = _policy({f"tool_{n}": _rules(5) for n in range(199)} | {"place_order": _rules(5)})
    globs = _policy({f"tool_{n}_*": _rules(5) for n in range(199)} | {"place_*": _rules(5)})
    one = _policy({"place_order": _rules(1000)})
    return [
        _row("1000 rules on 200 tools, one call", spread, must="<= 50 us"),
        _row("1000 rules on 200 globs, one call", globs, must="<= 50 us"),
        _row("1000 rules on the one tool that is called, none matching", one, must="-"),
    ]


def _row(workload: str, policy: Policy, *, must: str) -> Row:
    call = Call(
        executor=Executor.GATEWAY,
        server="exchange",
        tool="place_order",
        arguments='{"quantity":0.25,"side":"buy","symbol":"BTCUSD"}',
        agent="bot",
        owner="alice",
    )
    judge(policy, call, now=NOW)
    number = CALLS if must != "-" else CALLS // 20
    times = [
        timeit.timeit(lambda: judge(policy, call, now=NOW), number=number) / number
        for _ in range(ROUNDS)
    ]
    median = statistics.median(times) * MICROSECOND
    return Row(name="P12", workload=workload, measured=f"{median:.1f} us", must=must)


def _policy(tools: dict[str, Any]) -> Policy:
    document = {"version": "1", "default": "deny", "tools": tools}
    return read_policy(document, source="bench")  # type: ignore[arg-type]


def _rules(count: int) -> dict[str, Any]:
    """Rules of several kinds, of which none matches the call."""
    kinds = (
        {"path": "args.quantity", "op": "gt", "value": 5},
        {"path": "args.symbol", "op": "in", "value": ["XRPUSD", "ADAUSD"]},
        {"path": "args.symbol", "op": "regex", "value": "^DOGE"},
        {"path": "args.side", "op": "eq", "value": "sell"},
        {"path": "agent.name", "op": "eq", "value": "other"},
    )
    return {"deny_if": [{"conditions": [kinds[n % len(kinds)]]} for n in range(count)]}
