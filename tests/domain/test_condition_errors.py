"""A condition that cannot be answered denies or parks, and never allows."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from approvals.domain.policy.conditions import Op
from approvals.domain.policy.model import Ruling
from approvals.domain.strictjson import Json
from tests.domain.policies import judged, policy


@dataclass(frozen=True)
class Broken:
    """A condition and arguments to which it has no answer."""

    path: str
    op: Op
    value: Json
    arguments: dict[str, Json]

    @property
    def condition(self) -> dict[str, Json]:
        return {"path": self.path, "op": str(self.op), "value": self.value}


FITTING: dict[Op, Json] = {
    Op.EQ: "x",
    Op.NEQ: "x",
    Op.LT: 5,
    Op.LTE: 5,
    Op.GT: 5,
    Op.GTE: 5,
    Op.IN: ["x"],
    Op.NOT_IN: ["x"],
    Op.EXISTS: True,
    Op.REGEX: "x",
    Op.CONTAINS: "x",
    Op.STARTS_WITH: "x",
    Op.ENDS_WITH: "x",
    Op.LEN_GT: 1,
}
# For every operator values that it says nothing about; `exists` answers whatever is there.
WRONG_KINDS: dict[Op, list[Json]] = {
    Op.EQ: [5, True, None, ["x"], {"x": 1}],
    Op.NEQ: [5, True, None, ["x"], {"x": 1}],
    Op.LT: ["1", True, None, [1], {"n": 1}],
    Op.LTE: ["1", True, None, [1], {"n": 1}],
    Op.GT: ["9", True, None, [9], {"n": 9}],
    Op.GTE: ["9", True, None, [9], {"n": 9}],
    Op.IN: [5, True, None, ["x"], {"x": 1}],
    Op.NOT_IN: [5, True, None, ["x"], {"x": 1}],
    Op.EXISTS: [],
    Op.REGEX: [5, True, None, ["x"], {"x": 1}],
    Op.CONTAINS: [5, True, None, [5], {"x": 1}],
    Op.STARTS_WITH: [5, True, None, ["x"], {"x": 1}],
    Op.ENDS_WITH: [5, True, None, ["x"], {"x": 1}],
    Op.LEN_GT: [5, True, None],
}
# For every operator arguments in which the path leads nowhere, and the sentence that says so.
NOWHERE: dict[str, tuple[str, dict[str, Json]]] = {
    "missing path": ("args.a", {}),
    "missing below": ("args.a.b", {"a": {}}),
    "missing item": ("args.a[1]", {"a": [1]}),
    "empty list": ("args.a[*]", {"a": []}),
    "empty list below": ("args.a[*].b", {"a": []}),
    "item without it": ("args.a[*].b", {"a": [{}]}),
}
IMPASSABLE: dict[str, tuple[str, dict[str, Json]]] = {
    "through a text": ("args.a.b", {"a": "b"}),
    "through null": ("args.a.b", {"a": None}),
    "through a list": ("args.a.b", {"a": [{"b": 1}]}),
    "item of an object": ("args.a[0]", {"a": {"0": 1}}),
    "each of an object": ("args.a[*]", {"a": {"0": 1}}),
    "each of a text": ("args.a[*]", {"a": "xx"}),
    "other case": ("args.a", {"A": 1}),
    "twin": ("args.a", {"a": 1, "A": 2}),
    "twin below": ("args.a.b", {"a": {"b": 1, "B": 2}}),
}

BROKEN = {
    **{
        f"{op}: {name}": Broken(path, op, FITTING[op], arguments)
        for op in Op
        for name, (path, arguments) in {**NOWHERE, **IMPASSABLE}.items()
        if not (op is Op.EXISTS and name in NOWHERE)
    },
    **{
        f"{op}: of {value!r}": Broken("args.a", op, FITTING[op], {"a": value})
        for op, kinds in WRONG_KINDS.items()
        for value in kinds
    },
    **{f"{op}: no label": Broken("agent.labels.team", op, "x", {}) for op in (Op.EQ, Op.NEQ)},
}


def test_every_operator_is_broken_in_every_way() -> None:
    assert set(FITTING) == set(WRONG_KINDS) == set(Op)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_in_deny_if_it_denies(broken: Broken) -> None:
    rules = policy({"deny_if": [{"conditions": [broken.condition], "on_deny": "No."}]})
    verdict = judged(rules, broken.arguments)
    assert (verdict.ruling, verdict.rule) == (Ruling.DENY, "/tools/t/deny_if/0")
    assert verdict.doubts


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_in_require_approval_if_it_parks(broken: Broken) -> None:
    for rule in (
        {"require_approval_if": [{"conditions": [broken.condition]}]},
        {"deny_if": [{"conditions": [broken.condition], "on_deny": "Requires human approval."}]},
    ):
        verdict = judged(policy(rule), broken.arguments)  # type: ignore[arg-type]
        assert verdict.ruling is Ruling.REQUIRE_APPROVAL
        assert verdict.requirement is not None
        assert verdict.doubts


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_in_require_it_denies(broken: Broken) -> None:
    rules = policy({"require": [{"conditions": [broken.condition], "on_deny": "No."}]})
    verdict = judged(rules, broken.arguments)
    assert (verdict.ruling, verdict.rule) == (Ruling.DENY, "/tools/t/require/0")
    assert verdict.doubts


@pytest.mark.parametrize(("path", "arguments"), NOWHERE.values(), ids=NOWHERE)
@pytest.mark.parametrize("wanted", [True, False])
def test_exists_answers_for_a_missing_path(
    path: str, arguments: dict[str, Json], wanted: bool
) -> None:
    condition: Json = {"path": path, "op": "exists", "value": wanted}
    denial = judged(policy({"deny_if": [{"conditions": [condition]}]}), arguments)
    required = judged(policy({"require": [{"conditions": [condition]}]}), arguments)
    assert denial.ruling is (Ruling.ALLOW if wanted else Ruling.DENY)
    assert required.ruling is (Ruling.DENY if wanted else Ruling.ALLOW)
    assert denial.doubts == ()


def test_exists_of_a_label_the_agent_does_not_have_is_answered() -> None:
    condition: Json = {"path": "agent.labels.team", "op": "exists", "value": False}
    rules = policy({"require": [{"conditions": [condition]}]})
    assert judged(rules).ruling is Ruling.ALLOW
    assert judged(rules, labels={"team": "x"}).ruling is Ruling.DENY


def test_a_doubt_never_repeats_a_value() -> None:
    for broken in BROKEN.values():
        rules = policy({"deny_if": [{"conditions": [broken.condition]}]})
        for doubt in judged(rules, broken.arguments).doubts:
            assert doubt.startswith(f"{broken.path} ")
