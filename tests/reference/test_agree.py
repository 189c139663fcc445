"""The policy evaluator and a second one, written from the page alone, answer alike."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache
from random import Random

import pytest

from approvals.domain.call import Call, Executor
from approvals.domain.policy.document import read_policy
from approvals.domain.policy.evaluate import judge
from approvals.domain.policy.model import Verdict
from approvals.domain.strictjson import Json, canonical
from tests.reference import generate
from tests.reference.evaluator import Answer, Charge, Document, evaluate

CHUNKS = [range(start, start + 1250) for start in range(0, 5000, 1250)]
CALLS = 20
"""By the policy of every seed: together 100,000 judgements."""

OUTCOMES = ["True", "False", "doubt"]
DOUBTS = ["missing", "empty list", "another kind", "through another kind", "differs in case"]
PLACES = ["require", "deny_if", "require_approval_if", "limits"]
AT_LEAST = {
    "ruling allow": 20_000,
    "ruling deny": 20_000,
    "ruling require_approval": 10_000,
    "ruling hide": 2_000,
    "(default deny)": 5_000,
    "(default allow)": 5_000,
    "entry exact": 10_000,
    "entry glob": 20_000,
    "charges": 15_000,
    "rate limits": 2_000,
    "no amount": 2_000,
    "one counter, several limits": 700,
    "one counter, other amounts": 150,
    "several items": 5_000,
    "several rules asked": 2_000,
    "published wording": 3_000,
    "tools justification": 1_500,
    "tools action": 2_000,
    **{f"tools {rules}": 2_000 for rules in PLACES},
    **{f"all_tools {rules}": 700 for rules in PLACES},
    **{f"doubt: {reason}": 2_000 for reason in DOUBTS},
    **{f"{op} {outcome}": 500 for op in generate.OPERATORS for outcome in OUTCOMES},
}


@pytest.mark.parametrize("seeds", CHUNKS, ids=str)
def test_both_evaluators_give_the_same_answer(seeds: range) -> None:
    assert compared(seeds)["ruling allow"]


def test_the_sample_holds_much_of_everything_that_the_language_has() -> None:
    met: Counter[str] = Counter()
    for seeds in CHUNKS:
        met.update(compared(seeds))
    scarce = {what: met[what] for what, least in AT_LEAST.items() if met[what] < least}
    assert not scarce


def test_a_level_alone_leaves_the_category_that_is_known() -> None:
    """Risk, "strongest first": the entry says nothing of the category, so the classifier does."""
    ask: Json = {"conditions": [{"path": "risk.category", "op": "eq", "value": "Financial"}]}
    document: Document = {
        "version": "1",
        "default": "deny",
        "tools": {"transfer_funds": {"risk": {"level": "critical"}, "require_approval_if": [ask]}},
    }
    call = Call(
        executor=Executor.GATEWAY,
        server="bank",
        tool="transfer_funds",
        arguments="{}",
        agent="bot",
        owner="alice",
    )
    now = datetime(2026, 11, 20, tzinfo=UTC)
    real = judge(read_policy(document, source="one"), call, now=now, labels={})
    assert real.ruling.value == evaluate(document, call, now=now, labels={}).ruling


@cache
def compared(seeds: range) -> Counter[str]:
    """Judge CALLS calls by the policy of every seed; the tally of what was met."""
    met: Counter[str] = Counter()
    for seed in seeds:
        random = Random(seed)
        document = generate.policy(random)
        compare_calls(random, document, seed=seed, met=met)
    return met


def compare_calls(random: Random, document: Document, *, seed: int, met: Counter[str]) -> None:
    policy = read_policy(document, source="random")
    keys: dict[str, object] = {}
    for _ in range(CALLS):
        call, now, labels = generate.call(random), generate.moment(random), generate.labels(random)
        real = judge(policy, call, now=now, labels=labels)
        answer = evaluate(document, call, now=now, labels=labels, met=met)
        wrong = differences(real, answer) + wrong_charges(real, answer, keys, now=now)
        if wrong:
            pytest.fail(
                f"seed {seed}: the two differ in {', '.join(wrong)}\n"
                f"document {canonical(document)}\ncall {call}\n"
                f"at {now.isoformat()} with the labels {labels}\nreal {real}\nreference {answer}"
            )
        tally(answer, met)


def differences(real: Verdict, answer: Answer) -> list[str]:
    asked = real.requirement
    stages = {stage.name for stage in asked.stages} if asked else set()
    pairs = {
        "ruling": (real.ruling.value, answer.ruling),
        "pointer": (real.rule, answer.pointer),
        "message": (real.message, real.message if answer.message is None else answer.message),
        "stages": (stages, answer.stages),
        "timeout": (asked.timeout if asked else None, answer.timeout),
        "number of charges": (len(real.charges), len(answer.charges)),
    }
    return [name for name, (one, other) in pairs.items() if one != other]


def wrong_charges(
    real: Verdict, answer: Answer, keys: dict[str, object], *, now: datetime
) -> list[str]:
    """Compare without regard to order; `keys` knows which key each counter had before."""
    wrong = []
    left = list(answer.charges)
    for charge in real.charges:
        mine = next((other for other in left if charge.pointer in other.pointers), None)
        if mine is None:
            wrong.append(f"charge of {charge.pointer}")
            continue
        left.remove(mine)
        if (scaled(charge.amount), scaled(charge.max_)) != (mine.amount, mine.max):
            wrong.append(f"amount or max of {charge.pointer}")
        if not is_window(charge.start, charge.end, mine, now=now):
            wrong.append(f"window of {charge.pointer}")
        if keys.setdefault(charge.key, mine.identity) != mine.identity:
            wrong.append(f"one key for two counters: {charge.key}")
        if list(keys.values()).count(mine.identity) != 1:
            wrong.append(f"two keys for one counter: {charge.key}")
    return wrong


def scaled(units: int) -> Fraction:
    return Fraction(units, 10**18)


def is_window(start: datetime, end: datetime, mine: Charge, *, now: datetime) -> bool:
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    if not start <= now < end:
        return False
    if mine.start is None:
        return end - start == timedelta(seconds=mine.seconds)
    return (start, end) == (mine.start, mine.end)


def tally(answer: Answer, met: Counter[str]) -> None:
    met[f"ruling {answer.ruling}"] += 1
    met["several rules asked"] += len(answer.asked) > 1
    met["charges"] += len(answer.charges)
    met["rate limits"] += sum(charge.start is None for charge in answer.charges)
    if answer.pointer.startswith("/"):
        parts = answer.pointer.split("/")
        rules = parts[2:3] if parts[1] == "all_tools" else parts[3:4]
        met[" ".join([parts[1], *rules])] += 1
    else:
        met[answer.pointer] += 1
