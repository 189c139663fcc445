"""The policy language once more: slow, from the JSON, and from the page, not from the code.

Written from design/POLICY.md and docs/reference/policy.md, without a look at the code. Nothing is
compiled and nothing is remembered; a second opinion is worth something only while it stays that
simple. Where both pages say nothing the line is marked SILENT: there it does as the product was
seen to do, and agreement proves only that the product has not changed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from approvals.domain.call import Call
from approvals.domain.risk import Category, risk_of
from approvals.domain.strictjson import Json, Number, parse

Document = dict[str, Json]
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WINDOWS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}
SMALLEST = Fraction(1, 10**18)


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What one call takes from one counter."""

    counter: str
    seconds: int
    scope: str
    whose: tuple[str, ...]
    amount: Fraction
    max: Fraction
    pointers: frozenset[str]
    start: datetime | None
    end: datetime | None

    @property
    def identity(self) -> tuple[str, int, str, tuple[str, ...]]:
        return self.counter, self.seconds, self.scope, self.whose


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A judgement; `message` is None where no page gives the words."""

    ruling: str
    pointer: str
    message: str | None = None
    asked: tuple[str, ...] = ()
    stages: frozenset[str] = frozenset()
    timeout: timedelta | None = None
    charges: tuple[Charge, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Case:
    """What conditions look at, and a tally of what they met."""

    call: Call
    arguments: Json
    now: datetime
    labels: Mapping[str, str]
    risk: Mapping[str, str]
    met: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, kw_only=True)
class Asking:
    pointer: str
    message: str
    approval: Document


# --- the document ---------------------------------------------------------------------------


def evaluate(
    document: Document,
    call: Call,
    *,
    now: datetime,
    labels: Mapping[str, str],
    met: Counter[str] | None = None,
) -> Answer:
    """hidden → require → deny_if → justification → limits → rules that ask → allow."""
    met = Counter() if met is None else met
    for pattern in texts(document.get("hide", [])):
        if fits(pattern, call.tool):
            return Answer(ruling="hide", pointer="(hidden)")
    name = entry_for(document, call.tool)
    met[f"entry {'none' if name is None else 'glob' if '*' in name else 'exact'}"] += 1
    if name is None and document["default"] == "deny":
        return Answer(ruling="deny", pointer="(default deny)")
    tool = {} if name is None else member(member(document, "tools"), name)
    place = "" if name is None else "/tools/" + name.replace("~", "~0").replace("/", "~1")
    # SILENT: of a tool's rules and those of all_tools, whose pointer is given: the tool's.
    groups = [(place, tool), ("/all_tools", member(document, "all_tools"))]
    case = Case(
        call=call,
        arguments=parse(call.arguments.encode("utf-8")),
        now=now,
        labels=labels,
        risk=risk(tool, call),
        met=met,
    )
    denial = refused_by_rule(groups, case)
    if denial is not None:
        return denial
    if tool.get("justification") == "required" and call.justification is None:
        return Answer(ruling="deny", pointer=place + "/justification")
    charges = charges_of(groups, case)
    if isinstance(charges, Answer):
        return charges
    asking = asking_rules(groups, case)
    if asking:
        return ask(asking, tool=tool, document=document, charges=charges)
    return Answer(ruling="allow", pointer=place or "(default allow)", charges=charges)


def entry_for(document: Document, tool: str) -> str | None:
    """An exact name stands before a glob, a longer glob before a shorter."""
    found: str | None = None
    for name in member(document, "tools"):
        if name == tool:
            return name
        if fits(name, tool) and (found is None or len(name) > len(found)):
            found = name
    return found


def fits(pattern: str, name: str) -> bool:
    """`*` is any characters; every other character is itself."""
    if pattern == "":
        return name == ""
    if pattern[0] == "*":
        return any(fits(pattern[1:], name[skipped:]) for skipped in range(len(name) + 1))
    return name != "" and pattern[0] == name[0] and fits(pattern[1:], name[1:])


def risk(tool: Document, call: Call) -> dict[str, str]:
    """The entry's `risk` first, key by key; a category without a level has its own level."""
    given = member(tool, "risk")
    known = call.classified.risk
    if "category" in given:
        known = risk_of(Category(text(given["category"])))
    return {
        "level": text(given.get("level", known.level.value)),
        "category": known.category.value,
    }


# --- the rules ------------------------------------------------------------------------------


def refused_by_rule(groups: list[tuple[str, Document]], case: Case) -> Answer | None:
    for place, group in groups:
        for index, rule in enumerate(objects(group.get("require", []))):
            if not all_conditions(rule, case, require=True):
                return refusal(f"{place}/require/{index}", rule.get("on_deny", ""))
    for place, group in groups:
        for index, rule in enumerate(objects(group.get("deny_if", []))):
            if not is_published(rule) and all_conditions(rule, case, require=False):
                return refusal(f"{place}/deny_if/{index}", rule.get("on_deny", ""))
        if group.get("action") == "deny":
            return refusal(f"{place}/action", group.get("reason", ""))
    return None


def refusal(pointer: str, message: Json) -> Answer:
    """SILENT: the message of a rule that gives none; it is empty. A denial charges nothing."""
    return Answer(ruling="deny", pointer=pointer, message=text(message))


def asking_rules(groups: list[tuple[str, Document]], case: Case) -> list[Asking]:
    """Every rule that asks. SILENT: in which order; that of the table of rules."""
    found = []
    for place, group in groups:
        for index, rule in enumerate(objects(group.get("deny_if", []))):
            if is_published(rule) and all_conditions(rule, case, require=False):
                case.met["published wording"] += 1
                found.append(Asking(pointer=f"{place}/deny_if/{index}", message="", approval={}))
        for index, rule in enumerate(objects(group.get("require_approval_if", []))):
            if all_conditions(rule, case, require=False):
                found.append(
                    Asking(
                        pointer=f"{place}/require_approval_if/{index}",
                        message=text(rule.get("message", "")),
                        approval=member(rule, "approval"),
                    )
                )
        if group.get("action") == "require_approval":
            reason = text(group.get("reason", ""))
            found.append(Asking(pointer=f"{place}/action", message=reason, approval={}))
    return found


def is_published(rule: Document) -> bool:
    """`Requires human approval.`; case, spaces and the full stop do not matter."""
    words = text(rule.get("on_deny", "")).lower().strip().removesuffix(".").split()
    return words == ["requires", "human", "approval"]


def ask(
    asking: list[Asking], *, tool: Document, document: Document, charges: tuple[Charge, ...]
) -> Answer:
    """Stages are added, the shortest timeout counts; nearer settings win key by key."""
    stages = set()
    timeouts = []
    for rule in asking:
        settings: Document = {"timeout": "15m"}
        settings |= member(document, "approval") | member(tool, "approval") | rule.approval
        timeouts.append(duration(text(settings["timeout"])))
        named = objects(settings.get("stages", []))
        stages |= {text(stage["name"]) for stage in named} or {""}
    return Answer(
        ruling="require_approval",
        pointer=asking[0].pointer,
        message=" ".join(rule.message for rule in asking if rule.message),
        asked=tuple(rule.pointer for rule in asking),
        stages=frozenset(stages),
        timeout=min(timeouts),
        charges=charges,
    )


def duration(written: str) -> timedelta:
    return timedelta(**{UNITS[written[-1]]: int(written[:-1])})


# --- conditions -----------------------------------------------------------------------------


def all_conditions(rule: Document, case: Case, *, require: bool) -> bool:
    outcomes = [
        holds(condition, case, require=require) for condition in objects(rule["conditions"])
    ]
    return all(outcomes)


def holds(condition: Document, case: Case, *, require: bool) -> bool:
    """Every item must hold in `require`, one suffices elsewhere; a doubt is against the call."""
    op = text(condition["op"])
    judged = []
    for there, value in look_up(text(condition["path"]), case):
        outcome = compare(op, there, value, condition["value"])
        judged.append(outcome)
        case.met[f"{op} {'doubt' if isinstance(outcome, str) else outcome}"] += 1
        if isinstance(outcome, str):
            case.met[f"doubt: {outcome}"] += 1
    if len(judged) > 1:
        case.met["several items"] += 1
    if require:
        return all(outcome is True for outcome in judged)
    return any(outcome is True or isinstance(outcome, str) for outcome in judged)


FOUND = "found"
Place = tuple[str, Json]
"""What a path leads to: (FOUND, value), (missing or empty, None), or (a reason to doubt, None)."""


def look_up(path: str, case: Case) -> list[Place]:
    head, _, rest = path.partition(".")
    if head == "args":
        return follow(case.arguments, steps_of(rest))
    if path.startswith("agent.labels."):
        label = path.removeprefix("agent.labels.")
        return [(FOUND, case.labels[label]) if label in case.labels else ("missing", None)]
    fixed: dict[str, Json] = {
        "agent.name": case.call.agent,
        "server": case.call.server,
        "tool": case.call.tool,
        "risk.level": case.risk["level"],
        "risk.category": case.risk["category"],
        "time.weekday": WEEKDAYS[case.now.weekday()],
        "time.hour": case.now.hour,
    }
    return [(FOUND, fixed[path])]


def steps_of(path: str) -> list[str]:
    """`items[*].x[0]` is the steps `items`, `[*]`, `x`, `[0]`."""
    return re.findall(r"\[[^]]*\]|[^.\[\]]+", path)


def follow(value: Json, steps: list[str]) -> list[Place]:
    if not steps:
        return [(FOUND, value)]
    step, rest = steps[0], steps[1:]
    if step == "[*]":
        if not isinstance(value, list):
            return [("through another kind", None)]
        if not value:
            return [("empty list", None)]
        return [place for item in value for place in follow(item, rest)]
    if step.startswith("["):
        if not isinstance(value, list):
            return [("through another kind", None)]
        index = int(step[1:-1])
        return follow(value[index], rest) if index < len(value) else [("missing", None)]
    if not isinstance(value, dict):
        return [("through another kind", None)]
    # SILENT: of "a name that stands beside one that differs only in case", which name; read as
    # the one that the path asks for, whether or not it is there itself.
    if any(name != step and name.lower() == step.lower() for name in value):
        return [("differs in case", None)]
    return follow(value[step], rest) if step in value else [("missing", None)]


Outcome = bool | str
"""True, False, or why it is in doubt."""


def compare(op: str, there: str, value: Json, wanted: Json) -> Outcome:
    if op == "exists" and there in {FOUND, "missing", "empty list"}:
        return (there == FOUND) is wanted
    if there != FOUND:
        return there
    if op in {"eq", "neq", "in", "not_in"}:
        return equality(op, value, wanted)
    if op in {"lt", "lte", "gt", "gte"}:
        return order(op, value, wanted)
    if op == "len_gt":
        if not isinstance(value, str | list | dict):
            return "another kind"
        return len(value) > exact(wanted)
    if op == "contains" and isinstance(value, list):
        return among(wanted, value) if value else False
    return text_operator(op, value, wanted)


def equality(op: str, value: Json, wanted: Json) -> Outcome:
    if op in {"in", "not_in"}:
        assert isinstance(wanted, list)
        found = among(value, wanted)
        return found if isinstance(found, str) else found is (op == "in")
    if wanted is not None and kind(value) != kind(wanted):
        return "another kind"
    return same(value, wanted) is (op == "eq")


def among(value: Json, items: list[Json]) -> Outcome:
    if all(kind(item) != kind(value) for item in items):
        return "another kind"
    return any(same(item, value) for item in items)


def order(op: str, value: Json, wanted: Json) -> Outcome:
    if kind(value) != "number":
        return "another kind"
    left, right = exact(value), exact(wanted)
    return {"lt": left < right, "lte": left <= right, "gt": left > right, "gte": left >= right}[op]


def text_operator(op: str, value: Json, wanted: Json) -> Outcome:
    if not isinstance(value, str) or not isinstance(wanted, str):
        return "another kind"
    if op == "regex":
        return re.search(wanted, value) is not None
    return {
        "contains": wanted in value,
        "starts_with": value[: len(wanted)] == wanted,
        "ends_with": value[len(value) - len(wanted) :] == wanted and len(wanted) <= len(value),
    }[op]


def kind(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | Number):
        return "number"
    return "text" if isinstance(value, str) else "list" if isinstance(value, list) else "object"


def same(left: Json, right: Json) -> bool:
    if kind(left) != kind(right):
        return False
    if kind(left) == "number":
        return exact(left) == exact(right)
    if isinstance(left, list) and isinstance(right, list):
        pairs = zip(left, right, strict=False)
        return len(left) == len(right) and all(same(one, other) for one, other in pairs)
    if isinstance(left, dict) and isinstance(right, dict):
        return set(left) == set(right) and all(same(left[name], right[name]) for name in left)
    return left == right


def exact(value: Json) -> Fraction:
    assert isinstance(value, int | Number)
    return Fraction(value)


# --- limits ---------------------------------------------------------------------------------


def charges_of(groups: list[tuple[str, Document]], case: Case) -> tuple[Charge, ...] | Answer:
    """One charge per counter: by the largest amount, against the smallest max."""
    single = []
    for place, group in groups:
        for index, limit in enumerate(objects(group.get("limits", []))):
            pointer = f"{place}/limits/{index}"
            amount = amount_of(limit.get("increment", 1), case)
            if amount is None:
                case.met["no amount"] += 1
                return Answer(ruling="deny", pointer=pointer)
            single.append(limit_charge(limit, pointer=pointer, amount=amount, case=case))
        if "rate_limit" in group:
            single.append(rate_charge(member(group, "rate_limit"), place=place, case=case))
    merged = []
    for identity in dict.fromkeys(charge.identity for charge in single):
        alike = [charge for charge in single if charge.identity == identity]
        case.met["one counter, several limits"] += len(alike) > 1
        case.met["one counter, other amounts"] += len({charge.amount for charge in alike}) > 1
        smallest = min(charge.max for charge in alike)
        merged.append(
            Charge(
                counter=alike[0].counter,
                seconds=alike[0].seconds,
                scope=alike[0].scope,
                whose=alike[0].whose,
                amount=max(charge.amount for charge in alike),
                max=smallest,
                # SILENT: of equal ones, which is named
                pointers=frozenset().union(
                    *(charge.pointers for charge in alike if charge.max == smallest)
                ),
                start=alike[0].start,
                end=alike[0].end,
            )
        )
    return tuple(merged)


def amount_of(increment: Json, case: Case) -> Fraction | None:
    """Exact to 18 decimals, what is smaller counts as the smallest; None: no amount, denied.

    SILENT: what 1.0000000000000000001 is; the rest counts as one smallest unit.
    """
    if increment == 1:
        return Fraction(1)
    [(there, value)] = look_up(text(increment), case)
    if there != FOUND or kind(value) != "number" or exact(value) < 0:
        return None
    units = exact(value) / SMALLEST
    return -(-units.numerator // units.denominator) * SMALLEST


def limit_charge(limit: Document, *, pointer: str, amount: Fraction, case: Case) -> Charge:
    window, scope = text(limit["window"]), text(limit["scope"])
    start, end = window_of(window, case.now)
    return Charge(
        counter="limits " + text(limit["counter"]),
        seconds=WINDOWS[window],
        scope=scope,
        whose=whose(scope, case.call),
        amount=amount,
        max=exact(limit["max"]),
        pointers=frozenset({pointer}),
        start=start,
        end=end,
    )


def rate_charge(limit: Document, *, place: str, case: Case) -> Charge:
    """For one agent on one server; every `rate_limit` counts for itself."""
    seconds = limit["window"]
    assert isinstance(seconds, int)
    return Charge(
        counter=f"rate_limit of {place}",
        seconds=seconds,
        scope="grant",
        whose=whose("grant", case.call),
        amount=Fraction(1),
        max=exact(limit["max"]),
        pointers=frozenset({f"{place}/rate_limit"}),
        start=None,  # SILENT: where on the clock a window of, say, 7 seconds begins
        end=None,
    )


def whose(scope: str, call: Call) -> tuple[str, ...]:
    """Whose calls are added up; the agent's where there is no session.

    SILENT: whether those are the same counter as scope `agent`; they are kept apart.
    """
    return {
        "grant": (call.agent, call.server),
        "agent": (call.agent,),
        "session": (call.agent, *([] if call.session is None else [call.session])),
        "server": (call.server,),
        "policy": (),
    }[scope]


def window_of(window: str, now: datetime) -> tuple[datetime, datetime]:
    """It begins and ends on the clock, a day at midnight in the time zone of `now`."""
    if window == "day":
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        return midnight.astimezone(UTC), (midnight + timedelta(days=1)).astimezone(UTC)
    start = now.astimezone(UTC).replace(microsecond=0)
    if window != "second":
        start = start.replace(second=0)
    if window == "hour":
        start = start.replace(minute=0)
    return start, start + timedelta(seconds=WINDOWS[window])


# --- reading JSON ---------------------------------------------------------------------------


def member(value: Document, name: str) -> Document:
    """The object under `name`, empty when there is none."""
    found = value.get(name, {})
    assert isinstance(found, dict)
    return found


def objects(value: Json) -> list[Document]:
    assert isinstance(value, list)
    return [item for item in value if isinstance(item, dict)]


def texts(value: Json) -> list[str]:
    assert isinstance(value, list)
    return [item for item in value if isinstance(item, str)]


def text(value: Json) -> str:
    assert isinstance(value, str)
    return value
