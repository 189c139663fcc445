"""Policies and calls made to meet: few names, few values, the same ones on both sides.

Left out, because no page says what is right (each is a question to the page):
a label beside one that differs only in case; an empty or blank justification; the published
wording without any space or with two full stops; a `max` finer than 18 decimals; hours in a
time zone that is not a whole number of hours from UTC; a `risk` with a level and no category
(test_agree.py asks that alone); two globs of one length (a load error).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from random import Random
from zoneinfo import ZoneInfo

from approvals.domain.call import Call, Executor
from approvals.domain.strictjson import Json, Number, canonical
from tests.reference.evaluator import WEEKDAYS, Document

EXACT = ["get_price", "get_book", "put_order", "put/all~1", "get_?", "Get_price"]
GLOBS = ["*", "g*", "*e*", "get_*", "put_*", "get_b*", "*_price", "p*t_*der", "get_price*"]
CALLED = ["get_price", "get_price", "get_book", "put_order", "put/all~1", "get_x", "Get_price"]
AGENTS = ["bot", "Bot-2"]
SERVERS = ["exchange", "bank"]
LABELS = ["desk", "night"]
NUMBERS: list[Json] = [
    *(
        0,
        1,
        1,
        2,
        5,
        -1,
        Number("-0"),
        Number("0.0"),
        Number("1.0"),
        Number("1e0"),
        Number("10e-1"),
    ),
    *(Number("0.1"), Number("0.10"), Number("1.5"), Number("15e-1"), Number("-0.5")),
    *(9007199254740993, Number("9007199254740993.0"), Number("9007199254740992.0"), 10**30),
    *(Number("1e30"), Number("0.3"), Number("0.30000000000000000001"), Number("1e-19")),
]
TEXTS: list[Json] = ["", "1", "1.0", "a", "abc", "ABC", "xbc", "b", "bot", "é", "a.c", "true"]
PATTERNS = ["a", "^a", "c$", "^abc$", "[a-c]+", "a.c", r"a\.c", "(?i)abc", "x|1", "^$", "b*", "^é$"]
PUBLISHED = [
    "Requires human approval.",
    "requires human approval",
    "REQUIRES  HUMAN APPROVAL.",
    "  Requires human   approval . ",
]
NEARLY = ["Requires human approval!", "Requires approval.", "It requires human approval."]
ZONES: list[tzinfo] = [UTC, UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")]
DAYS = [
    datetime(2026, 11, 20, tzinfo=UTC),
    datetime(2026, 3, 29, tzinfo=UTC),  # Berlin's day of 23 hours
    datetime(2026, 10, 25, tzinfo=UTC),  # and of 25
    datetime(2026, 12, 31, tzinfo=UTC),
]

ARGUMENT_PATHS: dict[str, list[str]] = {
    "number": ["args.a", "args.o.p", "args.items[*].x", "args.items[0].x", "args.list[1]"],
    "text": ["args.b", "args.o.q", "args.items[*].y", "args.words[*]", "args.words[0]"],
    "list": ["args.list", "args.words", "args.items", "args.grid[*]"],
    "object": ["args.o", "args.items[0]", "args.items[*]"],
    "nested": ["args.grid[*][*]", "args.grid[1][0]", "args.items[*].list[*]", "args.o.r.s"],
    "any": ["args.A", "args.n", "args.a.b", "args.b[*]", "args.o.P", "args.o[0]", "args.none"],
}
ORDERS = ["lt", "lte", "gt", "gte"]
EQUALITIES = ["eq", "neq", "in", "not_in"]
TEXT_OPS = ["regex", "contains", "starts_with", "ends_with"]
USUAL = {
    "number": [*ORDERS, *EQUALITIES],
    "text": [*TEXT_OPS, *EQUALITIES, "len_gt"],
    "list": ["contains", "contains", "len_gt", "eq", "neq"],
    "object": ["len_gt", "eq", "neq", "exists"],
    "nested": [*ORDERS, *EQUALITIES, "contains"],
    "any": ["eq", "gt", "exists"],
}
OPERATORS = [*ORDERS, *EQUALITIES, *TEXT_OPS, "exists", "len_gt"]


# --- values ---------------------------------------------------------------------------------


def scalar(random: Random) -> Json:
    return random.choice([number, number, word, word, flag])(random)


def number(random: Random) -> Json:
    return random.choice(NUMBERS)


def word(random: Random) -> Json:
    return random.choice(TEXTS)


def flag(random: Random) -> Json:
    return random.random() < 0.5


def numbers(random: Random) -> Json:
    return [random.choice(NUMBERS[:10]) for _ in range(random.choice([0, 1, 2, 2, 2, 3]))]


def words(random: Random) -> Json:
    return [word(random) for _ in range(random.choice([0, 1, 2, 2]))]


def grid(random: Random) -> Json:
    return [numbers(random) for _ in range(random.choice([0, 1, 2, 2]))]


def fields(random: Random, /, **makers: Callable[[Random], Json]) -> Document:
    """An object with most of the fields, seldom one of another kind or case."""
    found: Document = {}
    for name, make in makers.items():
        chance = random.random()
        if chance < 0.06:
            continue
        found[name] = anything(random) if chance < 0.12 else make(random)
        if chance > 0.98:
            found[name.swapcase()] = make(random)
    return found


def item(random: Random) -> Json:
    if random.random() < 0.5:
        return {"x": random.choice(NUMBERS[:4])}
    return fields(random, x=number, y=word, list=numbers)


def items(random: Random) -> Json:
    return [item(random) for _ in range(random.choice([0, 1, 1, 1, 2, 3]))]


def inner(random: Random) -> Json:
    return fields(random, s=number)


def record(random: Random) -> Json:
    if random.random() < 0.5:
        return {"x": random.choice(NUMBERS[:4])}
    return fields(random, p=number, q=word, r=inner)


def anything(random: Random) -> Json:
    make = random.choice([number, word, flag, numbers, words, items, record, grid, nothing])
    return make(random)


def nothing(random: Random) -> Json:
    return None


def arguments(random: Random) -> Document:
    found = fields(
        random,
        a=number,
        b=word,
        o=record,
        items=items,
        list=numbers,
        words=words,
        grid=grid,
    )
    if random.random() < 0.1:
        found["n"] = anything(random)
    return found


# --- conditions -----------------------------------------------------------------------------


def condition(random: Random) -> Json:
    if random.random() < 0.25:
        return about_the_call(random)
    group = random.choices(list(ARGUMENT_PATHS), weights=[8, 7, 4, 2, 3, 2])[0]
    path = random.choice(ARGUMENT_PATHS[group])
    usual = random.random() < 0.88
    op = random.choice(USUAL[group] if usual else OPERATORS)
    return {"path": path, "op": op, "value": wanted(random, op, group if usual else "any")}


def wanted(random: Random, op: str, group: str) -> Json:
    """A value that may stand under `op`, mostly of the kind that is usually at the path."""
    makers = {
        "number": number,
        "text": word,
        "list": random.choice([numbers, words]),
        "object": random.choice([record, item]),
        "nested": number,
        "any": anything,
    }
    if op in {"in", "not_in"}:
        make = makers[group] if group in {"number", "text"} else scalar
        mixed = random.random() < 0.2
        return [(scalar if mixed else make)(random) for _ in range(random.randint(1, 3))]
    if op in {"eq", "neq"}:
        return None if random.random() < 0.07 else makers[group](random)
    if op in ORDERS:
        return number(random)
    return fixed_kind(random, op, group)


def fixed_kind(random: Random, op: str, group: str) -> Json:
    if op == "exists":
        return flag(random)
    if op == "len_gt":
        return random.choice([0, 1, 2, 2, 3])
    if op == "regex":
        return random.choice(PATTERNS)
    if op == "contains":
        return {"text": word, "list": scalar, "nested": number}.get(group, scalar)(random)
    return random.choice(TEXTS[1:])  # an empty one is refused when the policy is read


def about_the_call(random: Random) -> Json:
    """Agent, labels, server, tool, risk, time: their kinds are known when the policy is read."""
    path, known = random.choice(
        [
            ("agent.name", AGENTS),
            ("agent.labels.team", LABELS),
            ("agent.labels.site", LABELS),
            ("server", SERVERS),
            ("tool", CALLED),
            ("risk.level", ["low", "medium", "high", "critical"]),
            ("risk.category", ["Read", "Write", "Execute", "Destructive", "Financial"]),
            ("time.weekday", list(WEEKDAYS)),
            ("time.hour", []),
        ]
    )
    if path == "time.hour":
        op = random.choice([*ORDERS, *EQUALITIES, "exists"])
        hours: list[Json] = [random.randrange(24) for _ in range(3)]
        several = hours + list(range(8))
        value: Json = flag(random) if op == "exists" else several if "in" in op else hours[0]
        return {"path": path, "op": op, "value": value}
    op = random.choice([*EQUALITIES, *TEXT_OPS, "exists", "len_gt"])
    one = random.choice(known)
    some: list[Json] = [one, random.choice(known)]
    values: dict[str, Json] = {
        "exists": flag(random),
        "len_gt": random.randrange(8),
        "in": some,
        "not_in": some,
        "regex": random.choice([f"^{one[:2]}", f"{one[-1]}$", "e", "^[a-z]+$"]),
        "contains": one[1:3],
        "starts_with": one[:2],
        "ends_with": one[-2:],
    }
    return {"path": path, "op": op, "value": values.get(op, one)}


def conditions(random: Random) -> Json:
    return [condition(random) for _ in range(random.choice([0, 1, 1, 1, 1, 2, 2, 3]))]


# --- the document ---------------------------------------------------------------------------


def require(random: Random, place: str) -> Json:
    rule: Document = {"conditions": [condition(random)]}
    return rule | maybe(random, 0.6, on_deny=random.choice([f"require-{place}", *PUBLISHED]))


def deny_if(random: Random, place: str) -> Json:
    chosen = random.random()
    rule: Document = {"conditions": conditions(random)}
    if chosen < 0.4:
        return rule | {"on_deny": random.choice(PUBLISHED)}
    rule["conditions"] = [condition(random) for _ in range(random.choice([1, 2, 2, 3]))]
    return rule | maybe(random, 0.7, on_deny=random.choice([f"deny-{place}", *NEARLY]))


def require_approval_if(random: Random, place: str) -> Json:
    rule: Document = {"conditions": conditions(random)}
    rule |= maybe(random, 0.7, message=f"ask-{place}")
    settings: Document = {}
    if random.random() < 0.7:
        named: Document = {"name": f"stage-{place}", "approvers": ["everyone"], "required": 1}
        settings["stages"] = [named]
    settings |= maybe(random, 0.3, timeout=timeout(random))
    return rule | maybe(random, 0.9, approval=settings)


def limit(random: Random, place: str) -> Json:
    found: Document = {
        "counter": random.choice(["calls", "calls", "calls", "spent"]),
        "window": random.choice(["second", "minute", "hour", "day", "day", "day"]),
        "max": random.choice([0, 1, 20, Number("20.0"), Number("0.5"), Number("1e3")]),
        "scope": random.choice([*["agent"] * 4, "grant", "session", "server", "policy"]),
    }
    paths: list[Json] = [1, 1, *["args.a"] * 4, "args.o.p", "args.items[0].x", "args.A", "args.a.b"]
    return found | maybe(random, 0.5, increment=random.choice(paths))


def maybe(random: Random, chance: float, **entry: Json) -> Document:
    return entry if random.random() < chance else {}


def timeout(random: Random) -> Json:
    return random.choice(["30s", "3m", "15m", "1h", "20m"])


def rules(random: Random, place: str) -> Document:
    """The lists that a tool's entry and `all_tools` have in common, mostly short."""
    found: Document = {}
    kinds: list[tuple[str, Callable[[Random, str], Json], float]] = [
        ("require", require, 0.15),
        ("deny_if", deny_if, 0.4),
        ("require_approval_if", require_approval_if, 0.4),
        ("limits", limit, 0.4),
    ]
    for name, make, chance in kinds:
        if random.random() < chance:
            count = random.choice([0, 1, 1, 2, 2, 3] if name == "limits" else [0, 1, 1, 1, 2])
            found[name] = [make(random, f"{place}-{index}") for index in range(count)]
    rate: Document = {
        "max": random.randint(1, 9),
        "window": random.choice([1, 7, 60, 3600, 100000]),
    }
    return found | maybe(random, 0.12, rate_limit=rate)


def entry(random: Random, place: str) -> Document:
    found = rules(random, place)
    if random.random() < 0.15:
        found["action"] = random.choice(["allow", "deny", "require_approval", "require_approval"])
        found |= maybe(random, 0.7, reason=f"reason-{place}")
    if random.random() < 0.2:
        given: Document = {"category": random.choice(["Read", "Write", "Financial"])}
        given |= maybe(random, 0.6, level=random.choice(["low", "high", "critical"]))
        found["risk"] = given
    found |= maybe(random, 0.12, justification="required")
    return found | maybe(random, 0.1, approval={"timeout": timeout(random)})


def policy(random: Random) -> Document:
    named = random.sample(EXACT, random.randint(0, 3)) + random.sample(GLOBS, random.randint(1, 4))
    random.shuffle(named)
    found: Document = {
        "version": "1",
        "default": random.choice(["allow", "deny"]),
        "tools": {name: entry(random, str(index)) for index, name in enumerate(named)},
    }
    hidden: list[Json] = [random.choice([*EXACT, *EXACT, *GLOBS[4:]]), "nobody_*"]
    found |= maybe(random, 0.3, hide=hidden)
    found |= maybe(random, 0.35, all_tools=rules(random, "all"))
    return found | maybe(random, 0.2, approval={"timeout": timeout(random)})


# --- the call -------------------------------------------------------------------------------


def call(random: Random) -> Call:
    return Call(
        executor=Executor.GATEWAY,
        server=random.choice(SERVERS),
        tool=random.choice(CALLED),
        arguments=canonical(arguments(random)),
        agent=random.choice(AGENTS),
        owner="alice",
        session=random.choice([None, "s1", "s2"]),
        justification=random.choice([None, "It fires every minute."]),
    )


def moment(random: Random) -> datetime:
    passed = timedelta(seconds=random.randrange(86400), microseconds=random.randrange(10**6))
    return (random.choice(DAYS) + passed).astimezone(random.choice(ZONES))


def labels(random: Random) -> dict[str, str]:
    return {name: random.choice(LABELS) for name in ("team", "site") if random.random() < 0.8}
