"""Where a rule looks: which paths there are, and what stands at their end."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from approvals.domain.policy.paths import Absent, Each, Facts, Path, Root, read_path, values
from approvals.domain.risk import Category, risk_of
from approvals.domain.strictjson import Json
from tests.domain.builders import NOON, call
from tests.domain.policies import facts


def at(path: str, arguments: Json = None) -> list[object]:
    found = read_path(path)
    assert found is not None
    return list(values(found, facts(arguments)))


def why(path: str, arguments: Json) -> str:
    (found,) = at(path, arguments)
    assert isinstance(found, Absent)
    return found.why


@pytest.mark.parametrize(
    ("text", "root", "steps"),
    [
        ("args.a", Root.ARGS, ("a",)),
        ("args.a.b", Root.ARGS, ("a", "b")),
        ("args.items[0].x", Root.ARGS, ("items", 0, "x")),
        ("args.items[999999]", Root.ARGS, ("items", 999999)),
        ("args.items[*].x[*]", Root.ARGS, ("items", Each.ITEM, "x", Each.ITEM)),
        ("args.größe.api-key", Root.ARGS, ("größe", "api-key")),
        ("args.[*]", None, ()),
        ("agent.name", Root.AGENT_NAME, ()),
        ("agent.labels.desk", Root.AGENT_LABEL, ("desk",)),
        ("server", Root.SERVER, ()),
        ("tool", Root.TOOL, ()),
        ("risk.level", Root.RISK_LEVEL, ()),
        ("risk.category", Root.RISK_CATEGORY, ()),
        ("time.weekday", Root.WEEKDAY, ()),
        ("time.hour", Root.HOUR, ()),
        ("", None, ()),
        ("args", None, ()),
        ("args.", None, ()),
        ("args[0]", None, ()),
        ("args.a.", None, ()),
        ("args..a", None, ()),
        ("args.a b", None, ()),
        ("args.a[01]", None, ()),
        ("args.a[-1]", None, ()),
        ("args.a[1000000]", None, ()),
        ("args.a[x]", None, ()),
        ("args.a[0", None, ()),
        ("Args.a", None, ()),
        ("args.a\n", None, ()),
        ("agent", None, ()),
        ("agent.labels", None, ()),
        ("agent.labels.a.b", None, ()),
        ("time.minute", None, ()),
        ("session", None, ()),
    ],
)
def test_a_path_is_read_whole_or_not_at_all(
    text: str, root: Root | None, steps: tuple[object, ...]
) -> None:
    read = read_path(text)
    if root is None:
        assert read is None
    else:
        assert read == Path(text=text, root=root, steps=steps)  # type: ignore[arg-type]


def test_a_path_leads_to_the_value_whatever_it_is() -> None:
    given: Json = {"a": {"b": [{"x": 1}, {"x": None}]}}
    assert at("args.a.b[1].x", given) == [None]
    assert at("args.a.b[*].x", given) == [1, None]
    assert at("args.a.b[*]", given) == [{"x": 1}, {"x": None}]
    assert at("args.a", given) == [given["a"]]  # type: ignore[index, call-overload]


def test_every_item_of_every_list_is_looked_at() -> None:
    given: Json = {"rows": [{"cells": [1, 2]}, {"cells": []}, {"cells": [3]}]}
    found = at("args.rows[*].cells[*]", given)
    assert [v for v in found if not isinstance(v, Absent)] == [1, 2, 3]
    assert [v for v in found if isinstance(v, Absent)] == [
        Absent(why="is an empty list", missing=True)
    ]


@pytest.mark.parametrize(
    ("path", "arguments", "said"),
    [
        ("args.a", {}, "is missing"),
        ("args.a.b", {"a": {}}, "is missing"),
        ("args.a[1]", {"a": [0]}, "is missing"),
        ("args.a[*]", {"a": []}, "is an empty list"),
        ("args.a[*]", {"a": {}}, "is not a list"),
        ("args.a[*]", {"a": "x"}, "is not a list"),
        ("args.a[0]", {"a": {"0": 1}}, "leads through a value that is no list"),
        ("args.a[0]", {"a": "x"}, "leads through a value that is no list"),
        ("args.a.b", {"a": [1]}, "leads through a value that is no object"),
        ("args.a.b", {"a": None}, "leads through a value that is no object"),
        ("args.a", {"A": 1}, "stands beside a name that differs only in case"),
        ("args.a", {"a": 1, "A": 2}, "stands beside a name that differs only in case"),
        ("args.x.a", {"x": {"a": 1, "A": 2}}, "stands beside a name that differs only in case"),
        ("args.strasse", {"straße": 1}, "stands beside a name that differs only in case"),
    ],
)
def test_where_there_is_no_value_a_sentence_says_why_without_repeating_one(
    path: str, arguments: Json, said: str
) -> None:
    assert why(path, arguments) == said


def test_names_that_differ_in_more_than_case_are_no_twins() -> None:
    assert at("args.a", {"a": 1, "b": 2, "ab": 3}) == [1]


def test_what_is_known_of_the_call_can_be_looked_at() -> None:
    saturday = datetime(2026, 11, 21, 0, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    known = Facts(
        call(agent="bot", server="exchange", tool="t"),
        risk=risk_of(Category.FINANCIAL),
        labels={"desk": "spot"},
        now=saturday,
    )
    texts = {
        "agent.name": "bot",
        "agent.labels.desk": "spot",
        "server": "exchange",
        "tool": "t",
        "risk.level": "critical",
        "risk.category": "Financial",
        "time.weekday": "sat",
        "time.hour": 0,
    }
    for text, value in texts.items():
        path = read_path(text)
        assert path is not None
        assert values(path, known) == [value]


def test_a_label_that_the_agent_does_not_have_is_missing() -> None:
    assert at("agent.labels.team") == [Absent(why="is missing", missing=True)]


def test_hours_and_days_are_those_of_the_given_zone() -> None:
    berlin = facts(now=NOON.replace(hour=23).astimezone(ZoneInfo("Europe/Berlin")))
    hour, day = read_path("time.hour"), read_path("time.weekday")
    assert hour is not None
    assert day is not None
    assert (values(hour, berlin), values(day, berlin)) == ([0], ["sat"])
